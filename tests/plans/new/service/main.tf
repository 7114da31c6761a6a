terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

variable "name" {}
variable "later" {}
variable "password" {
  sensitive = true
}

resource "google_cloud_run_v2_service" "this" {
  name     = var.name
  location = "europe-west1"
  project  = "shop"

  template {
    service_account = var.later
    timeout         = "60s"
    volumes {
      name = "key"
      secret {
        secret = "tls"
        items {
          path    = "tls.pem"
          version = var.later
        }
      }
    }
    containers {
      image = "r/${var.name}:1"
      args  = ["--token", var.password]
      env {
        name  = "DB_PASSWORD"
        value = var.password
      }
      env {
        name  = "EMPTY"
        value = ""
      }
      env {
        name  = "LATER"
        value = var.later
      }
      env {
        name = "VERSION"
        value_source {
          secret_key_ref {
            secret  = "jwt"
            version = var.later
          }
        }
      }
      env {
        name = "JWT"
        value_source {
          secret_key_ref {
            secret  = "projects/other/secrets/jwt"
            version = "7"
          }
        }
      }
      dynamic "ports" {
        for_each = [9000]
        content {
          container_port = ports.value
        }
      }
      resources {
        limits = { cpu = "2" }
      }
      volume_mounts {
        name       = "key"
        mount_path = "/etc/key"
      }
    }
  }
}
