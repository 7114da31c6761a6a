output "store" {
  description = "What --store takes."
  value       = local.store
}

output "reader" {
  description = "Account of audits and gates."
  value       = google_service_account.reader.email
}

output "promoter" {
  description = "Account that may promote baselines."
  value       = google_service_account.promoter.email
}

output "first_audit" {
  description = "Run it once by hand: the alert on absence begins with the first audit."
  value       = "gcloud run jobs execute ${google_cloud_run_v2_job.audit["night"].name} --project=${var.project} --region=${var.region} --wait"
}
