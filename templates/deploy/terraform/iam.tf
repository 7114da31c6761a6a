# Three accounts. The reader looks, the promoter looks and says what is good, the invoker starts jobs.
# None of them may read what is in the secrets of the audited projects, nor change a service.

locals {
  # What `drift-audit doctor` asks for.
  reads = concat(
    [
      "run.jobs.get",
      "run.jobs.list",
      "run.locations.list",
      "run.revisions.get",
      "run.revisions.list",
      "run.services.get",
      "run.services.list",
      "run.workerpools.get",
      "run.workerpools.list",
      "secretmanager.secrets.get",
      "secretmanager.secrets.list",
      "secretmanager.versions.get",
      "secretmanager.versions.list",
    ],
    var.read_limits ? ["cloudsql.instances.get", "vpcaccess.connectors.get"] : [],
    var.check_access ? ["run.services.getIamPolicy", "secretmanager.secrets.getIamPolicy"] : [],
  )

  role    = replace(var.name, "-", "_")
  objects = "projects/_/buckets/${google_storage_bucket.store.name}/objects/${var.prefix}"

  lookers = {
    reader   = google_service_account.reader
    promoter = google_service_account.promoter
  }
}

resource "google_service_account" "reader" {
  project      = var.project
  account_id   = "${var.name}-reader"
  display_name = "drift-audit: looks, and writes reports"
}

resource "google_service_account" "promoter" {
  project      = var.project
  account_id   = "${var.name}-promoter"
  display_name = "drift-audit: looks, and writes baselines"
}

resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "${var.name}-invoker"
  display_name = "drift-audit: starts its jobs, and nothing else"
}

# What is looked at

resource "google_project_iam_custom_role" "reads" {
  for_each = var.projects

  project     = each.value
  role_id     = "${local.role}_reads"
  title       = "drift-audit reads"
  description = "Configuration of Cloud Run and metadata of secrets. No payload, and nothing to change."
  permissions = local.reads
}

resource "google_project_iam_member" "reader" {
  for_each = var.projects

  project = each.value
  role    = google_project_iam_custom_role.reads[each.key].id
  member  = google_service_account.reader.member
}

resource "google_project_iam_member" "promoter" {
  for_each = var.projects

  project = each.value
  role    = google_project_iam_custom_role.reads[each.key].id
  member  = google_service_account.promoter.member
}

# The sealing key: the one payload that they read, granted on this secret alone

resource "google_secret_manager_secret_iam_member" "seal" {
  for_each = local.lookers

  project   = var.project
  secret_id = var.seal_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}

# The store: both read all of it. The reader writes reports and its cache, the promoter everything but
# the reports. Replacing an object takes the permission to delete it; the bucket keeps what was there.

resource "google_project_iam_custom_role" "store_reads" {
  project     = var.project
  role_id     = "${local.role}_store_reads"
  title       = "drift-audit reads its store"
  permissions = ["storage.objects.get", "storage.objects.list"]
}

resource "google_project_iam_custom_role" "store_writes" {
  project     = var.project
  role_id     = "${local.role}_store_writes"
  title       = "drift-audit writes its store"
  permissions = ["storage.objects.create", "storage.objects.delete"]
}

resource "google_storage_bucket_iam_member" "reads" {
  for_each = local.lookers

  bucket = google_storage_bucket.store.name
  role   = google_project_iam_custom_role.store_reads.id
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "reports" {
  bucket = google_storage_bucket.store.name
  role   = google_project_iam_custom_role.store_writes.id
  member = google_service_account.reader.member

  condition {
    title       = "reports and cache"
    description = "Below _nights/ and .archive/ only: an audit never writes what it is held against."
    expression  = "resource.name.startsWith(\"${local.objects}/_nights/\") || resource.name.startsWith(\"${local.objects}/.archive/\")"
  }
}

resource "google_storage_bucket_iam_member" "baselines" {
  bucket = google_storage_bucket.store.name
  role   = google_project_iam_custom_role.store_writes.id
  member = google_service_account.promoter.member

  condition {
    title       = "baselines"
    description = "The store without its reports."
    expression  = "resource.name.startsWith(\"${local.objects}/\") && !resource.name.startsWith(\"${local.objects}/_nights/\")"
  }
}

# Who starts, and who acts as whom

resource "google_project_iam_custom_role" "starts" {
  project     = var.project
  role_id     = "${local.role}_starts"
  title       = "drift-audit starts its jobs"
  permissions = ["run.jobs.run", "run.jobs.runWithOverrides"]
}

resource "google_cloud_run_v2_job_iam_member" "starts" {
  for_each = local.jobs

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_job.audit[each.key].name
  role     = google_project_iam_custom_role.starts.id
  member   = google_service_account.invoker.member
}

resource "google_service_account_iam_member" "promoters" {
  for_each = var.promoters

  service_account_id = google_service_account.promoter.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

resource "google_service_account_iam_member" "gates" {
  for_each = var.gates

  service_account_id = google_service_account.reader.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}
