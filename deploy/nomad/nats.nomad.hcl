# One NATS server with JetStream. A cluster of three is better run on machines of its own,
# with deploy/nats/cluster.conf.
#
#   nomad job run -var config_dir=deploy/nats deploy/nomad/nats.nomad.hcl

variable "datacenters" {
  type        = list(string)
  description = "Where it may run."
  default     = ["*"]
}

variable "image" {
  type        = string
  description = "Image of the server."
  default     = "nats:2.15"
}

variable "config_dir" {
  type        = string
  description = "Directory of nats.conf and of what it includes, on the machine that submits the job."
  default     = "deploy/nats"
}

variable "volume" {
  type        = string
  description = "Host volume of the streams, on a disk that keeps what it says it has written."
  default     = "fff-nats"
}

variable "memory" {
  type        = number
  description = "MiB of the server."
  default     = 2048
}

job "fff-nats" {
  type        = "service"
  datacenters = var.datacenters

  group "nats" {
    count = 1

    volume "nats" {
      type   = "host"
      source = var.volume
    }

    network {
      port "client" {
        static = 4222
      }
    }

    service {
      name     = "nats"
      provider = "nomad"
      port     = "client"

      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "5s"
      }
    }

    task "nats" {
      driver = "docker"

      config {
        image = var.image
        args  = ["--config", "/local/nats.conf"]
        ports = ["client"]
      }

      kill_timeout = "30s"

      volume_mount {
        volume      = "nats"
        destination = "/data"
      }

      template {
        destination = "local/nats.conf"
        data        = file("${var.config_dir}/nats.conf")
      }

      template {
        destination = "local/limits.conf"
        data        = file("${var.config_dir}/limits.conf")
      }

      template {
        destination = "local/jetstream.conf"
        data        = file("${var.config_dir}/jetstream.conf")
      }

      env {
        GOMEMLIMIT = "${floor(var.memory * 0.9)}MiB"
      }

      resources {
        cpu    = 1000
        memory = var.memory
      }
    }
  }
}
