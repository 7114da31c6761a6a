# Planning ends with an error at one service, after another one was planned.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_cloud_run_v2_service" "api" {
  name     = "api"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/api:1"
    }
  }
}

resource "google_cloud_run_v2_service" "web" {
  name     = "web"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = google_cloud_run_v2_service.api.template[0].containers[0].image
    }
  }
  lifecycle {
    precondition {
      condition     = google_cloud_run_v2_service.api.location == "elsewhere"
      error_message = "Not there."
    }
  }
}
