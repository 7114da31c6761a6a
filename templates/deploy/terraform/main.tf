locals {
  store       = "gs://${google_storage_bucket.store.name}/${var.prefix}"
  seal_folder = "/etc/drift-audit"
  jobs        = toset(concat(["night"], var.tasks > 1 ? ["merge"] : [], var.audit_deploys ? ["deploy"] : []))

  looks = concat(
    ["--store=${local.store}", "--timeout=${var.timeout - 120}"],
    var.read_limits ? ["--read-limits"] : [],
    var.check_access ? ["--check-access"] : [],
  )

  arguments = {
    night = concat(
      ["audit"],
      var.tasks > 1 ? [] : ["--night"], # a shard is no night yet: merge makes one of all
      local.looks,
      [for project in sort(var.projects) : "--project=${project}"],
      [for region in sort(var.regions) : "--region=${region}"],
    )
    merge  = ["merge", "--store=${local.store}"]
    deploy = concat(["audit"], local.looks)
  }
}

resource "google_project_service" "apis" {
  for_each = toset([
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "eventarc.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_cloud_run_v2_job" "audit" {
  for_each = local.jobs

  project             = var.project
  location            = var.region
  name                = "${var.name}-${each.key}"
  deletion_protection = false

  template {
    task_count  = each.key == "night" ? var.tasks : 1
    parallelism = each.key == "night" ? var.tasks : 1

    template {
      # How a task ends is a verdict. Tried again it would be the same, four times over.
      max_retries     = 0
      timeout         = "${var.timeout}s"
      service_account = google_service_account.reader.email

      volumes {
        name = "seal"
        secret {
          secret = var.seal_secret
          items {
            version = var.seal_version
            path    = "seal.key"
          }
        }
      }

      containers {
        image = var.image
        args  = local.arguments[each.key]

        env {
          name  = "DRIFT_AUDIT_SEAL_KEY_FILE"
          value = "${local.seal_folder}/seal.key"
        }

        # An audit that found drift has succeeded, and alerts tell of it. It fails where it could not see.
        env {
          name  = "DRIFT_AUDIT_FAIL_ON"
          value = "never"
        }

        resources {
          limits = {
            cpu    = "1"
            memory = "1Gi"
          }
        }

        volume_mounts {
          name       = "seal"
          mount_path = local.seal_folder
        }
      }
    }
  }

  depends_on = [
    google_project_service.apis,
    google_secret_manager_secret_iam_member.seal,
  ]
}

# The shards of a night are joined an hour after they began: no task takes that long.
resource "google_cloud_scheduler_job" "start" {
  for_each = setsubtract(local.jobs, ["deploy"])

  project          = var.project
  region           = var.region
  name             = "${var.name}-${each.key}"
  description      = "Starts the job of the same name"
  schedule         = "17 ${join(",", [for hour in var.hours : each.key == "merge" ? hour + 1 : hour])} * * *"
  time_zone        = var.time_zone
  attempt_deadline = "60s"

  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.audit[each.key].id}:run"

    oauth_token {
      service_account_email = google_service_account.invoker.email
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.starts]
}
