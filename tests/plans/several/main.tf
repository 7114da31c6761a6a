# What else a plan can do: keep, delete, replace, forget and take over services, and create a secret that
# one of them is bound to.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_secret_manager_secret" "fresh" {
  secret_id = "fresh"
  project   = "shop"
  replication {
    auto {}
  }
}

resource "google_cloud_run_v2_service" "kept" {
  name     = "kept"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/kept:1"
    }
  }
}

resource "google_cloud_run_v2_service" "api" {
  name     = "api"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/api:1"
      env {
        name = "FRESH"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.fresh.secret_id
            version = "latest"
          }
        }
      }
      env {
        name = "GONE"
        value_source {
          secret_key_ref {
            secret  = "gone"
            version = "latest"
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service" "moved" {
  name     = "moved"
  location = "europe-west4"
  project  = "shop"
  template {
    containers {
      image = "r/moved:1"
    }
  }
}

resource "google_cloud_run_v2_service" "taken" {
  name     = "taken"
  location = "europe-west1"
  project  = "shop"
  template {
    containers {
      image = "r/taken:1"
    }
  }
}

removed {
  from = google_cloud_run_v2_service.forgotten
  lifecycle {
    destroy = false
  }
}
