# A service is audited as soon as somebody deployed it: Eventarc tells a workflow of each entry in the
# audit log, and the workflow starts the job for that service. Eventarc hears of its own project only;
# services of other projects wait for the night.

locals {
  # What gcloud and the console call, and what the API and Terraform call.
  methods = var.audit_deploys ? {
    v1-create  = "google.cloud.run.v1.Services.CreateService"
    v1-replace = "google.cloud.run.v1.Services.ReplaceService"
    v2-create  = "google.cloud.run.v2.Services.CreateService"
    v2-update  = "google.cloud.run.v2.Services.UpdateService"
  } : {}
}

resource "google_workflows_workflow" "deploys" {
  count = var.audit_deploys ? 1 : 0

  project             = var.project
  region              = var.region
  name                = "${var.name}-deploys"
  description         = "Audits the service that was just deployed"
  service_account     = google_service_account.invoker.id
  source_contents     = file("${path.module}/deploys.workflow.yaml")
  deletion_protection = false

  user_env_vars = {
    JOB       = google_cloud_run_v2_job.audit["deploy"].name
    LOCATION  = var.region
    ARGUMENTS = jsonencode(local.arguments.deploy)
  }

  depends_on = [google_project_service.apis]
}

resource "google_project_iam_member" "hears" {
  for_each = var.audit_deploys ? toset(["roles/eventarc.eventReceiver", "roles/workflows.invoker"]) : []

  project = var.project
  role    = each.value
  member  = google_service_account.invoker.member
}

resource "google_eventarc_trigger" "deploys" {
  for_each = local.methods

  project         = var.project
  location        = "global" # hears of all regions
  name            = "${var.name}-${each.key}"
  service_account = google_service_account.invoker.email

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.audit.log.v1.written"
  }

  matching_criteria {
    attribute = "serviceName"
    value     = "run.googleapis.com"
  }

  matching_criteria {
    attribute = "methodName"
    value     = each.value
  }

  destination {
    workflow = google_workflows_workflow.deploys[0].id
  }

  depends_on = [google_project_iam_member.hears]
}
