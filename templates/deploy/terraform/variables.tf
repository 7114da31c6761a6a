variable "project" {
  description = "Project in which the audit runs and its bucket lies. Best one of its own."
  type        = string
}

variable "region" {
  description = "Region in which the audit runs."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket of baselines and reports. It is created."
  type        = string
}

variable "image" {
  description = "Image of drift-audit, by digest: REGION-docker.pkg.dev/PROJECT/REPOSITORY/drift-audit@sha256:..."
  type        = string
}

variable "projects" {
  description = "Projects whose services are audited."
  type        = set(string)

  validation {
    condition     = length(var.projects) > 0
    error_message = "An audit of no project would see nothing."
  }
}

variable "seal_secret" {
  description = "Secret in Secret Manager, in the same project, that holds the sealing key. It is made by hand, so that no state of Terraform holds the key."
  type        = string
  default     = "drift-audit-seal"
}

variable "seal_version" {
  description = "Version of that secret, by its number: a key that changes by itself would make every baseline unreadable."
  type        = string
  default     = "1"
}

variable "name" {
  description = "What everything is called."
  type        = string
  default     = "drift-audit"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "Four to twenty small letters, digits and hyphens: accounts are named after it."
  }
}

variable "prefix" {
  description = "Folder of the bucket in which the store lies."
  type        = string
  default     = "drift"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]*$", var.prefix))
    error_message = "One folder, without slashes: the conditions of the bucket are made of it."
  }
}

variable "regions" {
  description = "Regions that are audited. Empty: all that Cloud Run names."
  type        = set(string)
  default     = []
}

variable "tasks" {
  description = "Tasks that share a night."
  type        = number
  default     = 1

  validation {
    condition     = var.tasks >= 1 && floor(var.tasks) == var.tasks
    error_message = "A whole number from 1."
  }
}

variable "timeout" {
  description = "Seconds that a task may take. Collecting ends two minutes before, so that the report is still written."
  type        = number
  default     = 1800

  validation {
    condition     = var.timeout >= 300 && var.timeout <= 3000
    error_message = "From 300 to 3000: shards are joined an hour after they began."
  }
}

variable "hours" {
  description = "Hours of the day at which everything is audited. Twice a day: Cloud Monitoring notices an absence of 23 hours and a half at most, so one audit a day cannot be told from none."
  type        = list(number)
  default     = [2, 14]

  validation {
    condition     = length(distinct(var.hours)) >= 2 && alltrue([for hour in var.hours : hour >= 0 && hour <= 22 && floor(hour) == hour])
    error_message = "Two hours or more that differ, from 0 to 22."
  }
}

variable "time_zone" {
  description = "Time zone of those hours."
  type        = string
  default     = "Etc/UTC"
}

variable "read_limits" {
  description = "Whether to ask what databases and connectors take: two permissions more."
  type        = bool
  default     = false
}

variable "check_access" {
  description = "Whether to look at the policies of secrets and services: two permissions more."
  type        = bool
  default     = false
}

variable "promoters" {
  description = "Who may act as the promoter, and so call a revision good: [\"group:release@example.com\"]."
  type        = set(string)
  default     = []
}

variable "gates" {
  description = "Who may act as the reader, as a gate does: the accounts of builds, and of workflows the principal set of their identity pool, principalSet://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/POOL/attribute.repository/OWNER/REPOSITORY."
  type        = set(string)
  default     = []
}

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that alerts go to."
  type        = list(string)
  default     = []
}

variable "audit_deploys" {
  description = "Whether a service in the project of the audit is audited right after each deploy."
  type        = bool
  default     = true
}

variable "keep_days" {
  description = "Days for which replaced and deleted objects of the store are kept."
  type        = number
  default     = 365
}
