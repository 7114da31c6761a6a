#!/usr/bin/env bash
# The night of drift-audit with gcloud alone: what deploy/terraform makes, command by command, without the
# permissions for --read-limits and --check-access. It may run again: what is there is updated or left.
#
#   PROJECT=audit REGION=europe-west1 BUCKET=audit-drift IMAGE=...@sha256:... \
#     PROJECTS="shop-prod shop-staging" bash deploy/gcloud.sh
set -euo pipefail

: "${PROJECT:?project in which the audit runs}"
: "${REGION:?region in which it runs}"
: "${BUCKET:?bucket of baselines and reports}"
: "${IMAGE:?image of drift-audit, by digest}"
: "${PROJECTS:?projects that are audited, with blanks between}"
NAME=${NAME:-drift-audit}
PREFIX=${PREFIX:-drift}
REGIONS=${REGIONS:-}             # regions that are audited; empty: all that Cloud Run names
TASKS=${TASKS:-1}
TIMEOUT=${TIMEOUT:-1800}         # seconds for a task, 300 to 3000
HOURS=${HOURS:-2,14}             # twice a day, or an absence of 23 hours and a half is no news
MERGE_HOURS=${MERGE_HOURS:-3,15} # an hour later
TIME_ZONE=${TIME_ZONE:-Etc/UTC}
KEEP_DAYS=${KEEP_DAYS:-365}      # for which replaced and deleted objects of the store are kept
SEAL_SECRET=${SEAL_SECRET:-drift-audit-seal}
SEAL_VERSION=${SEAL_VERSION:-1}
PROMOTERS=${PROMOTERS:-}         # who may promote: "group:release@example.com"
GATES=${GATES:-}                 # accounts of builds, principal sets of workflows
CHANNELS=${CHANNELS:-}           # notification channels of Cloud Monitoring, with commas between

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
role=${NAME//-/_}
store=gs://$BUCKET/$PREFIX
objects=projects/_/buckets/$BUCKET/objects/$PREFIX
reader=$NAME-reader@$PROJECT.iam.gserviceaccount.com
promoter=$NAME-promoter@$PROJECT.iam.gserviceaccount.com
invoker=$NAME-invoker@$PROJECT.iam.gserviceaccount.com
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What `drift-audit doctor` asks for: no payload, and nothing to change.
reads=run.jobs.get,run.jobs.list,run.locations.list,run.revisions.get,run.revisions.list
reads+=,run.services.get,run.services.list,run.workerpools.get,run.workerpools.list
reads+=,secretmanager.secrets.get,secretmanager.secrets.list
reads+=,secretmanager.versions.get,secretmanager.versions.list

say() { printf '\n== %s\n' "$*" >&2; }

# there WORDS...: whether gcloud can describe it
there() { gcloud "$@" --project="$PROJECT" >/dev/null 2>&1; }

# custom_role PROJECT ID TITLE PERMISSIONS
custom_role() {
  local verb=create
  if gcloud iam roles describe "$2" --project="$1" >/dev/null 2>&1; then verb=update; fi
  gcloud iam roles "$verb" "$2" --project="$1" --title="$3" --permissions="$4" --quiet
}

# may PROJECT ACCOUNT ROLE
may() {
  gcloud projects add-iam-policy-binding "$1" --member="serviceAccount:$2" --role="$3" \
    --condition=None --quiet >/dev/null
}

say "the sealing key, which no file holds"
gcloud services enable cloudresourcemanager.googleapis.com cloudscheduler.googleapis.com \
  eventarc.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com \
  pubsub.googleapis.com run.googleapis.com secretmanager.googleapis.com storage.googleapis.com \
  workflowexecutions.googleapis.com workflows.googleapis.com --project="$PROJECT"
if ! there secrets describe "$SEAL_SECRET"; then
  head -c 32 /dev/urandom | base64 |
    gcloud secrets create "$SEAL_SECRET" --project="$PROJECT" --replication-policy=automatic --data-file=-
fi

say "accounts"
for account in reader promoter invoker; do
  if ! there iam service-accounts describe "$NAME-$account@$PROJECT.iam.gserviceaccount.com"; then
    gcloud iam service-accounts create "$NAME-$account" --project="$PROJECT" \
      --display-name="drift-audit: $account"
  fi
done
for project in $PROJECTS; do
  custom_role "$project" "${role}_reads" "drift-audit reads" "$reads"
  may "$project" "$reader" "projects/$project/roles/${role}_reads"
  may "$project" "$promoter" "projects/$project/roles/${role}_reads"
done
for account in "$reader" "$promoter"; do
  gcloud secrets add-iam-policy-binding "$SEAL_SECRET" --project="$PROJECT" \
    --member="serviceAccount:$account" --role=roles/secretmanager.secretAccessor >/dev/null
done
for member in $PROMOTERS; do
  gcloud iam service-accounts add-iam-policy-binding "$promoter" --project="$PROJECT" \
    --member="$member" --role=roles/iam.serviceAccountTokenCreator >/dev/null
done
for member in $GATES; do
  gcloud iam service-accounts add-iam-policy-binding "$reader" --project="$PROJECT" \
    --member="$member" --role=roles/iam.serviceAccountTokenCreator >/dev/null
done

say "the store"
if ! there storage buckets describe "gs://$BUCKET"; then
  gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention
fi
cat >"$scratch/lifecycle.json" <<JSON
{"rule": [{"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": $KEEP_DAYS}}]}
JSON
gcloud storage buckets update "gs://$BUCKET" --versioning --uniform-bucket-level-access \
  --public-access-prevention --lifecycle-file="$scratch/lifecycle.json"
custom_role "$PROJECT" "${role}_store_reads" "drift-audit reads its store" \
  storage.objects.get,storage.objects.list
custom_role "$PROJECT" "${role}_store_writes" "drift-audit writes its store" \
  storage.objects.create,storage.objects.delete
for account in "$reader" "$promoter"; do
  gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --member="serviceAccount:$account" \
    --role="projects/$PROJECT/roles/${role}_store_reads" --condition=None >/dev/null
done
cat >"$scratch/reports.json" <<JSON
{
  "title": "reports and cache",
  "expression": "resource.name.startsWith(\"$objects/_nights/\") || resource.name.startsWith(\"$objects/.archive/\")"
}
JSON
cat >"$scratch/baselines.json" <<JSON
{
  "title": "baselines",
  "expression": "resource.name.startsWith(\"$objects/\") && !resource.name.startsWith(\"$objects/_nights/\")"
}
JSON
gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --member="serviceAccount:$reader" \
  --role="projects/$PROJECT/roles/${role}_store_writes" --condition-from-file="$scratch/reports.json" >/dev/null
gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --member="serviceAccount:$promoter" \
  --role="projects/$PROJECT/roles/${role}_store_writes" --condition-from-file="$scratch/baselines.json" >/dev/null

say "the jobs"
custom_role "$PROJECT" "${role}_starts" "drift-audit starts its jobs" run.jobs.run,run.jobs.runWithOverrides

# job NAME TASKS ARGUMENTS: how a task ends is a verdict, so it is never tried again
job() {
  gcloud run jobs deploy "$NAME-$1" --project="$PROJECT" --region="$REGION" --image="$IMAGE" \
    --tasks="$2" --parallelism="$2" --max-retries=0 --task-timeout="${TIMEOUT}s" \
    --service-account="$reader" --cpu=1 --memory=1Gi --args="$3" \
    --set-secrets="/etc/drift-audit/seal.key=$SEAL_SECRET:$SEAL_VERSION" \
    --set-env-vars="DRIFT_AUDIT_SEAL_KEY_FILE=/etc/drift-audit/seal.key,DRIFT_AUDIT_FAIL_ON=never"
  gcloud run jobs add-iam-policy-binding "$NAME-$1" --project="$PROJECT" --region="$REGION" \
    --member="serviceAccount:$invoker" --role="projects/$PROJECT/roles/${role}_starts" >/dev/null
}

# scheduled NAME HOURS
scheduled() {
  local verb=create
  if there scheduler jobs describe "$NAME-$1" --location="$REGION"; then verb=update; fi
  gcloud scheduler jobs "$verb" http "$NAME-$1" --project="$PROJECT" --location="$REGION" \
    --schedule="17 $2 * * *" --time-zone="$TIME_ZONE" --http-method=POST --attempt-deadline=60s \
    --max-retry-attempts=0 --oauth-service-account-email="$invoker" \
    --uri="https://run.googleapis.com/v2/projects/$PROJECT/locations/$REGION/jobs/$NAME-$1:run"
}

looks=--store=$store,--timeout=$((TIMEOUT - 120))
places=
for project in $PROJECTS; do places+=,--project=$project; done
for region in $REGIONS; do places+=,--region=$region; done
if [ "$TASKS" -gt 1 ]; then # a shard is no night yet: merge makes one of all
  job night "$TASKS" "audit,$looks$places"
else
  job night 1 "audit,--night,$looks$places"
fi
scheduled night "$HOURS"
if [ "$TASKS" -gt 1 ]; then
  job merge 1 "merge,--store=$store"
  scheduled merge "$MERGE_HOURS"
fi

say "an audit at every deploy in $PROJECT"
job deploy 1 "audit,$looks"
may "$PROJECT" "$invoker" roles/eventarc.eventReceiver
may "$PROJECT" "$invoker" roles/workflows.invoker
cat >"$scratch/variables.yaml" <<YAML
JOB: $NAME-deploy
LOCATION: $REGION
ARGUMENTS: '["audit", "--store=$store", "--timeout=$((TIMEOUT - 120))"]'
YAML
gcloud workflows deploy "$NAME-deploys" --project="$PROJECT" --location="$REGION" \
  --source="$here/deploys.workflow.yaml" --service-account="$invoker" \
  --env-vars-file="$scratch/variables.yaml"
for method in v1.Services.CreateService v1.Services.ReplaceService \
  v2.Services.CreateService v2.Services.UpdateService; do
  verb=${method##*.}
  trigger=$NAME-${method%%.*}-$(printf %s "${verb%Service}" | tr '[:upper:]' '[:lower:]')
  if ! there eventarc triggers describe "$trigger" --location=global; then
    gcloud eventarc triggers create "$trigger" --project="$PROJECT" --location=global \
      --destination-workflow="$NAME-deploys" --destination-workflow-location="$REGION" \
      --event-filters=type=google.cloud.audit.log.v1.written \
      --event-filters=serviceName=run.googleapis.com \
      --event-filters="methodName=google.cloud.run.$method" --service-account="$invoker"
  fi
done

say "metrics and alerts"
of_jobs="resource.type=\\\"cloud_run_job\\\" AND resource.labels.job_name=~\\\"^$NAME-(night|merge|deploy)\$\\\""
verdict=$NAME-night
if [ "$TASKS" -gt 1 ]; then verdict=$NAME-merge; fi # where a night has parts, its verdict is that of the merge
of_night="resource.type=\\\"cloud_run_job\\\" AND resource.labels.job_name=\\\"$verdict\\\""
user=logging.googleapis.com/user

# metric NAME, with its configuration on standard input
metric() {
  local verb=create
  if there logging metrics describe "$NAME-$1"; then verb=update; fi
  cat >"$scratch/metric.json"
  gcloud logging metrics "$verb" "$NAME-$1" --project="$PROJECT" --config-from-file="$scratch/metric.json"
}

# alert NAME, with its configuration on standard input; one that is there is left as it is. Policies
# are part of gcloud's alpha commands.
alert() {
  local found
  cat >"$scratch/alert.json"
  found=$(gcloud alpha monitoring policies list --project="$PROJECT" --filter="displayName=\"$NAME: $1\"" --format="value(name)")
  if [ -z "$found" ]; then
    gcloud alpha monitoring policies create --project="$PROJECT" --policy-from-file="$scratch/alert.json" \
      ${CHANNELS:+"--notification-channels=$CHANNELS"}
  fi
}

metric findings <<JSON
{
  "filter": "$of_jobs AND jsonPayload.event=\"finding\" AND jsonPayload.waived=false",
  "labelExtractors": {
    "severity": "EXTRACT(jsonPayload.finding_severity)",
    "project": "EXTRACT(jsonPayload.project)",
    "service": "EXTRACT(jsonPayload.service)"
  },
  "metricDescriptor": {
    "metricKind": "DELTA",
    "valueType": "INT64",
    "labels": [{"key": "severity"}, {"key": "project"}, {"key": "service"}]
  }
}
JSON
metric audits <<JSON
{
  "filter": "$of_night AND jsonPayload.event=\"audit_finished\"",
  "labelExtractors": {"verdict": "EXTRACT(jsonPayload.verdict)"},
  "metricDescriptor": {"metricKind": "DELTA", "valueType": "INT64", "labels": [{"key": "verdict"}]}
}
JSON
metric duration <<JSON
{
  "filter": "$of_jobs AND jsonPayload.event=\"audit_finished\"",
  "valueExtractor": "EXTRACT(jsonPayload.duration_s)",
  "metricDescriptor": {"metricKind": "DELTA", "valueType": "DISTRIBUTION", "unit": "s"},
  "bucketOptions": {"exponentialBuckets": {"numFiniteBuckets": 24, "growthFactor": 1.5, "scale": 1}}
}
JSON
metric not-started <<JSON
{
  "filter": "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=~\"^$NAME-(night|merge)\$\" AND severity>=ERROR",
  "metricDescriptor": {"metricKind": "DELTA", "valueType": "INT64"}
}
JSON
alert drift <<JSON
{
  "displayName": "$NAME: drift",
  "combiner": "OR",
  "conditions": [{
    "displayName": "findings of severity high or critical",
    "conditionThreshold": {
      "filter": "resource.type = \"cloud_run_job\" AND metric.type = \"$user/$NAME-findings\" AND metric.labels.severity = one_of(\"high\", \"critical\")",
      "comparison": "COMPARISON_GT",
      "thresholdValue": 0,
      "duration": "0s",
      "aggregations": [{
        "alignmentPeriod": "3600s",
        "perSeriesAligner": "ALIGN_SUM",
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": ["metric.label.project", "metric.label.service"]
      }]
    }
  }]
}
JSON
alert "an audit failed" <<JSON
{
  "displayName": "$NAME: an audit failed",
  "combiner": "OR",
  "conditions": [
    {
      "displayName": "a job ended with a failure",
      "conditionThreshold": {
        "filter": "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\" AND resource.labels.job_name = monitoring.regex.full_match(\"$NAME-(night|merge|deploy)\")",
        "comparison": "COMPARISON_GT",
        "thresholdValue": 0,
        "duration": "0s",
        "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA"}]
      }
    },
    {
      "displayName": "a job was not started",
      "conditionThreshold": {
        "filter": "resource.type = \"cloud_scheduler_job\" AND metric.type = \"$user/$NAME-not-started\"",
        "comparison": "COMPARISON_GT",
        "thresholdValue": 0,
        "duration": "0s",
        "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_SUM"}]
      }
    }
  ]
}
JSON
alert "no audit" <<JSON
{
  "displayName": "$NAME: no audit",
  "combiner": "OR",
  "conditions": [{
    "displayName": "no complete audit for 23 hours and a half",
    "conditionAbsent": {
      "filter": "resource.type = \"cloud_run_job\" AND metric.type = \"$user/$NAME-audits\" AND metric.labels.verdict != \"incomplete\"",
      "duration": "84600s",
      "aggregations": [{
        "alignmentPeriod": "300s",
        "perSeriesAligner": "ALIGN_SUM",
        "crossSeriesReducer": "REDUCE_SUM"
      }]
    }
  }]
}
JSON

say "run it once by hand: the alert on absence begins with the first audit"
printf 'gcloud run jobs execute %s --project=%s --region=%s --wait\n' "$NAME-night" "$PROJECT" "$REGION"
