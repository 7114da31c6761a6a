resource "google_storage_bucket" "store" {
  project                     = var.project
  location                    = var.region
  name                        = var.bucket
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  # What was replaced or deleted can be had back for so long.
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = var.keep_days
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.apis]
}
