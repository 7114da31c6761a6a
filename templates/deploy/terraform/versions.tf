# The night of drift-audit: a job on Cloud Run, what starts it, who it is, where its baselines and
# reports lie, and what rings when it finds something, fails, or does not run at all.
#
#   terraform init
#   terraform apply -var-file=audit.tfvars

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}
