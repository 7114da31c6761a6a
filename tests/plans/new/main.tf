# Nothing is there yet: both resources of services, a job and a worker pool, in modules, counted and for
# each of some names, with what is not known before the apply and with what is marked as sensitive.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

variable "password" {
  type      = string
  sensitive = true
  default   = "cnry-plan-41f7c09a3d"
}

resource "terraform_data" "later" {
  input = var.password
}

module "one" {
  source   = "./service"
  for_each = toset(["api", "web"])
  name     = each.key
  password = var.password
  later    = terraform_data.later.id
}

resource "google_cloud_run_service" "old" {
  count    = 2
  name     = "old-${count.index}"
  location = "europe-west1"
  project  = "shop"
  metadata {
    annotations = { "run.googleapis.com/ingress" = "internal" }
  }
  template {
    metadata {
      annotations = {
        "autoscaling.knative.dev/maxScale"         = "7"
        "run.googleapis.com/cloudsql-instances"    = "shop:europe-west1:db"
        "run.googleapis.com/vpc-access-connector"  = terraform_data.later.id
        "run.googleapis.com/execution-environment" = "gen2"
      }
    }
    spec {
      service_account_name = "old@shop.iam.gserviceaccount.com"
      containers {
        image = "r/old:1"
        env {
          name  = "DB_PASSWORD"
          value = var.password
        }
        env {
          name  = "LATER"
          value = terraform_data.later.id
        }
        env {
          name = "JWT"
          value_from {
            secret_key_ref {
              name = "jwt"
              key  = "7"
            }
          }
        }
        resources {
          limits = { memory = "1Gi" }
        }
        volume_mounts {
          name       = "key"
          mount_path = "/etc/key"
        }
      }
      volumes {
        name = "key"
        secret {
          secret_name = "tls"
          items {
            key  = "latest"
            path = "tls.pem"
          }
        }
      }
    }
  }
  traffic {
    percent         = 100
    latest_revision = true
  }
}

resource "google_cloud_run_v2_job" "nightly" {
  name     = "nightly"
  location = "europe-west1"
  project  = "shop"
  template {
    task_count = 3
    template {
      max_retries = 0
      containers {
        image = "r/nightly:1"
        env {
          name  = "DB_PASSWORD"
          value = var.password
        }
      }
    }
  }
}

resource "google_cloud_run_v2_worker_pool" "queue" {
  name     = "queue"
  location = "europe-west1"
  project  = "shop"
  scaling {
    manual_instance_count = 2
  }
  template {
    containers {
      image = "r/queue:1"
    }
  }
}

resource "google_cloud_run_v2_service" "open" {
  name     = "open-${terraform_data.later.id}"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/open:1"
    }
  }
}

resource "google_cloud_run_v2_service" "dynamic" {
  name     = "dynamic"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/dynamic:1"
      dynamic "env" {
        for_each = terraform_data.later.id == "x" ? ["A"] : []
        content {
          name  = env.value
          value = "x"
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service" "vpc" {
  name     = "vpc"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/vpc:1"
    }
    dynamic "vpc_access" {
      for_each = terraform_data.later.id == "x" ? ["c1"] : []
      content {
        connector = vpc_access.value
      }
    }
  }
}
