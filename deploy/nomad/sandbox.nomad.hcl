# fff-sandbox stands in for DynamoDB and the feature service, to try the services out. They
# need AWS_ENDPOINT_URL_DYNAMODB=http://<its address>:8000 and any credentials then, and the
# run file http://<its address>:8090/features.
#
#   nomad job run -var run_file=run.yaml deploy/nomad/sandbox.nomad.hcl

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

variable "run_file" {
  type        = string
  description = "Run file that says which tables and families there are, on the machine that submits the job."
  default     = "examples/run.yaml"
}

job "fff-sandbox" {
  type        = "service"
  datacenters = var.datacenters

  group "sandbox" {
    count = 1

    network {
      port "dynamodb" {
        static = 8000
      }
      port "features" {
        static = 8090
      }
    }

    service {
      name     = "fff-sandbox"
      provider = "nomad"
      port     = "dynamodb"

      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "5s"
      }
    }

    task "sandbox" {
      driver = "docker"

      config {
        image   = var.image
        command = "fff-sandbox"
        args    = ["/local/run.yaml"]
        ports   = ["dynamodb", "features"]
      }

      kill_timeout = "10s"

      template {
        destination = "local/run.yaml"
        data        = file(var.run_file)
      }

      env {
        FFF_SANDBOX_DYNAMODB_ADDR        = "0.0.0.0:8000"
        FFF_SANDBOX_FEATURE_SERVICE_ADDR = "0.0.0.0:8090"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
