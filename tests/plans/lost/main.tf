# The founding incident, planned: what would drop SERVICE_SECRET and JWT_SECRET_KEY.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_cloud_run_v2_service" "backend" {
  name     = "api"
  location = "europe-west1"
  project  = "shop"
  ingress  = "INGRESS_TRAFFIC_ALL"
  labels   = { team = "api" }

  template {
    service_account = "api@shop.iam.gserviceaccount.com"
    scaling {
      min_instance_count = 1
      max_instance_count = 20
    }
    vpc_access {
      connector = "projects/shop/locations/europe-west1/connectors/c1"
      egress    = "PRIVATE_RANGES_ONLY"
    }
    volumes {
      name = "key"
      secret {
        secret = "service-secret"
        items {
          path    = "tls"
          version = "1"
        }
      }
    }
    volumes {
      name = "cloudsql"
      cloud_sql_instance {
        instances = ["shop:europe-west1:db"]
      }
    }
    containers {
      name  = "app"
      image = "r/api:2"
      ports {
        container_port = 8080
      }
      resources {
        limits   = { cpu = "1000m", memory = "512Mi" }
        cpu_idle = true
      }
      env {
        name  = "LOG_LEVEL"
        value = "info"
      }
      volume_mounts {
        name       = "key"
        mount_path = "/etc/key"
      }
      volume_mounts {
        name       = "cloudsql"
        mount_path = "/cloudsql"
      }
    }
  }
}
