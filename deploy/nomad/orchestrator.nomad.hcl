# fff-orchestrator opens, commits, proves and finalises runs; one instance leads, the others stand by.
#
#   nomad job run -var image=… -var nats_url=nats://… deploy/nomad/orchestrator.nomad.hcl

variable "datacenters" {
  type        = list(string)
  description = "Where it may run."
  default     = ["*"]
}

variable "image" {
  type        = string
  description = "Image with all programs."
  default     = "fastfeaturefetch/fff:local"
}

variable "nats_url" {
  type        = string
  description = "URL of the NATS servers, several separated by commas."
}

variable "aws_region" {
  type        = string
  description = "Region of DynamoDB and S3; credentials are those of the machine's role."
  default     = "us-east-1"
}

variable "count" {
  type        = number
  description = "Instances at the start."
  default     = 2
}

variable "cpu" {
  type        = number
  description = "MHz of an instance."
  default     = 500
}

variable "memory" {
  type        = number
  description = "MiB of an instance; docs/bounds.md says what it needs."
  default     = 2048
}

variable "dataset_volume" {
  type        = string
  description = "Host volume of output.dir, the same for writers and orchestrators, writable for user 65532; empty where every run file has output.s3."
  default     = "fff-dataset"
}

variable "stream_replicas" {
  type        = number
  description = "Replicas of every stream; 3 on a cluster of three NATS servers."
  default     = 1
}

job "fff-orchestrator" {
  type        = "service"
  datacenters = var.datacenters

  # One after the other; an instance that leaves finishes what it has in hand.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "orchestrator" {
    count = var.count

    restart {
      attempts = 10
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    # A second one takes over; more have nothing to do.
    scaling {
      enabled = false
      min     = 1
      max     = 3
    }

    dynamic "volume" {
      for_each = var.dataset_volume == "" ? [] : [var.dataset_volume]
      labels   = ["dataset"]
      content {
        type   = "host"
        source = volume.value
      }
    }

    network {
      port "http" {}
    }

    service {
      name     = "fff-orchestrator"
      provider = "nomad"
      port     = "http"
      tags     = ["metrics"]

      check {
        type     = "http"
        path     = "/readyz"
        interval = "10s"
        timeout  = "5s"
      }
    }

    task "orchestrator" {
      driver = "docker"

      config {
        image   = var.image
        command = "fff-orchestrator"
        ports   = ["http"]
      }

      # FFF_SHUTDOWN_GRACE, and some seconds to give back what remains.
      kill_timeout = "40s"

      # A run file's relative output.dir is below the image's working directory.
      dynamic "volume_mount" {
        for_each = var.dataset_volume == "" ? [] : ["dataset"]
        content {
          volume      = volume_mount.value
          destination = "/data"
        }
      }

      env {
        FFF_NATS_URL        = var.nats_url
        FFF_HTTP_ADDR       = ":${NOMAD_PORT_http}"
        FFF_SHUTDOWN_GRACE  = "30s"
        AWS_REGION          = var.aws_region
        FFF_STREAM_REPLICAS = var.stream_replicas
        GOMEMLIMIT          = "${floor(var.memory * 0.9)}MiB"
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
