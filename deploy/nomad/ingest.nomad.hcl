# fff-ingest turns records into requests; one instance has a run at a time.
#
#   nomad job run -var image=… -var nats_url=nats://… deploy/nomad/ingest.nomad.hcl

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
  default     = 1024
}

job "fff-ingest" {
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

  group "ingest" {
    count = var.count

    restart {
      attempts = 10
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    # For the Nomad Autoscaler: messages that wait, as the NATS exporter tells Prometheus.
    scaling {
      enabled = false
      min     = 1
      max     = 20
      policy {
        cooldown            = "1m"
        evaluation_interval = "15s"
        check "queue" {
          source = "prometheus"
          query  = "sum(jetstream_consumer_num_pending{stream_name=\"FFF_INGEST\"})"
          strategy "target-value" {
            target = 200
          }
        }
      }
    }

    network {
      port "http" {}
    }

    service {
      name     = "fff-ingest"
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

    task "ingest" {
      driver = "docker"

      config {
        image   = var.image
        command = "fff-ingest"
        ports   = ["http"]
      }

      # FFF_SHUTDOWN_GRACE, and some seconds to give back what remains.
      kill_timeout = "40s"

      env {
        FFF_NATS_URL       = var.nats_url
        FFF_HTTP_ADDR      = ":${NOMAD_PORT_http}"
        FFF_SHUTDOWN_GRACE = "30s"
        AWS_REGION         = var.aws_region
        GOMEMLIMIT         = "${floor(var.memory * 0.9)}MiB"
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
