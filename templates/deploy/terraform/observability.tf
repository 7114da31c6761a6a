# Metrics are made of the log lines that the jobs write, one JSON object for each event.

locals {
  of_jobs = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=~\"^${var.name}-(night|merge|deploy)$\""
  # Where a night has parts, its verdict is that of the merge.
  verdict  = "${var.name}-${var.tasks > 1 ? "merge" : "night"}"
  of_night = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${local.verdict}\""
  metrics  = "logging.googleapis.com/user"
}

resource "google_logging_metric" "findings" {
  project     = var.project
  name        = "${var.name}-findings"
  description = "Findings of audits that are not waived."
  filter      = "${local.of_jobs} AND jsonPayload.event=\"finding\" AND jsonPayload.waived=false"

  label_extractors = {
    severity = "EXTRACT(jsonPayload.finding_severity)"
    project  = "EXTRACT(jsonPayload.project)"
    service  = "EXTRACT(jsonPayload.service)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key = "severity"
    }
    labels {
      key = "project"
    }
    labels {
      key = "service"
    }
  }
}

resource "google_logging_metric" "audits" {
  project     = var.project
  name        = "${var.name}-audits"
  description = "Nights that came to their end."
  filter      = "${local.of_night} AND jsonPayload.event=\"audit_finished\""

  label_extractors = {
    verdict = "EXTRACT(jsonPayload.verdict)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key = "verdict"
    }
  }
}

resource "google_logging_metric" "duration" {
  project         = var.project
  name            = "${var.name}-duration"
  description     = "Seconds that audits took."
  filter          = "${local.of_jobs} AND jsonPayload.event=\"audit_finished\""
  value_extractor = "EXTRACT(jsonPayload.duration_s)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 24
      growth_factor      = 1.5
      scale              = 1
    }
  }
}

resource "google_logging_metric" "not_started" {
  project     = var.project
  name        = "${var.name}-not-started"
  description = "Jobs that Cloud Scheduler could not start."
  filter      = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=~\"^${var.name}-(night|merge)$\" AND severity>=ERROR"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "drift" {
  project               = var.project
  display_name          = "${var.name}: drift"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "findings of severity high or critical"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_job\" AND metric.type = \"${local.metrics}/${google_logging_metric.findings.name}\" AND metric.labels.severity = one_of(\"high\", \"critical\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["metric.label.project", "metric.label.service"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A service is not as its baseline or the policy says. The report is in ${local.store}/_nights/; it names the deploy that did it and the command that puts it back."
  }
}

resource "google_monitoring_alert_policy" "failure" {
  project               = var.project
  display_name          = "${var.name}: an audit failed"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "a job ended with a failure"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\" AND resource.labels.job_name = monitoring.regex.full_match(\"${var.name}-(night|merge|deploy)\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  conditions {
    display_name = "a job was not started"

    condition_threshold {
      filter          = "resource.type = \"cloud_scheduler_job\" AND metric.type = \"${local.metrics}/${google_logging_metric.not_started.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "An audit did not see everything, could not use its store, or was not started: nothing is known of what it did not see. The exit code in the log of the job says which: 3 not everything was seen, 4 the store or the key was refused, 5 a report could not be written."
  }
}

# The longest absence that Cloud Monitoring notices is 23 hours and a half. All verdicts are one series:
# otherwise the first night that finds drift would be the absence of those that were clean. Nights that
# did not see everything do not count.
resource "google_monitoring_alert_policy" "absence" {
  project               = var.project
  display_name          = "${var.name}: no audit"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "no complete audit for 23 hours and a half"

    condition_absent {
      filter   = "resource.type = \"cloud_run_job\" AND metric.type = \"${local.metrics}/${google_logging_metric.audits.name}\" AND metric.labels.verdict != \"incomplete\""
      duration = "84600s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "No audit saw everything for 23 hours and a half. It never rings before the first audit was there: run the job once by hand."
  }
}
