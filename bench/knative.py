"""
The same services and revisions in the v1 shape, which is what gcloud reads.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from bench import place
from bench.catalog import parsed

Json = dict[str, Any]

API = "serving.knative.dev/v1"
_STATUS = {4: "True"}


@lru_cache(maxsize=50_000)
def revision(data: bytes) -> str:
    """One revision as JSON text, from its v2 message."""
    message = parsed("/revisions/", data)
    labels = {**dict(message.labels), "serving.knative.dev/service": message.service}
    annotations = {
        **dict(message.annotations),
        "autoscaling.knative.dev/minScale": str(message.scaling.min_instance_count),
        "autoscaling.knative.dev/maxScale": str(message.scaling.max_instance_count),
        "run.googleapis.com/vpc-access-connector": message.vpc_access.connector,
        "run.googleapis.com/vpc-access-egress": "private-ranges-only",
        "run.googleapis.com/execution-environment": "gen2",
        "run.googleapis.com/cloudsql-instances": f"{place.PROJECT}:{place.REGION}:shop-main",
        "run.googleapis.com/cpu-throttling": "true",
        "serving.knative.dev/creator": message.creator,
    }
    status = {
        "observedGeneration": 1,
        "logUrl": message.log_uri,
        "conditions": _conditions(message.conditions),
    }
    return _text("Revision", message, labels, annotations, _spec(message), status)


@lru_cache(maxsize=5_000)
def service(data: bytes, newest: bytes) -> str:
    """One service as JSON text, with its template from the newest revision."""
    message, made = parsed("service", data), json.loads(revision(newest))
    target, latest = message.traffic[0], made["metadata"]["name"]
    traffic: Json = {"percent": target.percent}
    traffic |= {"revisionName": target.revision} if target.revision else {"latestRevision": True}
    template = {"name": latest, "annotations": made["metadata"]["annotations"]}
    spec = {"template": {"metadata": template, "spec": made["spec"]}, "traffic": [traffic]}
    status = {
        "observedGeneration": message.generation,
        "latestReadyRevisionName": latest,
        "latestCreatedRevisionName": latest,
        "url": message.uri,
        "traffic": [{"revisionName": target.revision or latest, "percent": 100}],
        "conditions": _conditions([message.terminal_condition]),
    }
    return _text("Service", message, {}, {"run.googleapis.com/ingress": "all"}, spec, status)


def _text(kind: str, message: Any, labels: Json, annotations: Json, *parts: Json) -> str:
    spec, status = parts
    metadata = {
        "name": message.name.rpartition("/")[2],
        "namespace": place.NUMBER,
        "uid": message.uid,
        "resourceVersion": message.etag,
        "generation": message.generation,
        "creationTimestamp": message.create_time.ToJsonString(),
        "labels": {**labels, "cloud.googleapis.com/location": place.REGION},
        "annotations": annotations,
    }
    whole = {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec, "status": status}
    return json.dumps(whole)


def listed(kind: str, items: list[str], token: str) -> bytes:
    """A list of things that are JSON already."""
    metadata = json.dumps({"continue": token} if token else {})
    head = f'{{"apiVersion":"{API}","kind":"{kind}List","metadata":{metadata},"items":['
    return f"{head}{','.join(items)}]}}".encode()


def _conditions(conditions: Any) -> list[Json]:
    return [
        {
            "type": one.type_,
            "status": _STATUS.get(one.state, "Unknown"),
            "lastTransitionTime": one.last_transition_time.ToJsonString(),
        }
        for one in conditions
    ]


def _spec(message: Any) -> Json:
    return {
        "containerConcurrency": message.max_instance_request_concurrency,
        "timeoutSeconds": message.timeout.seconds,
        "serviceAccountName": message.service_account,
        "containers": [_container(c) for c in message.containers],
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}}],
    }


def _container(container: Any) -> Json:
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": [_env(e) for e in container.env],
        "resources": {"limits": dict(container.resources.limits)},
        "ports": [{"name": "http1", "containerPort": 8080}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "startupProbe": {
            "timeoutSeconds": 240,
            "periodSeconds": 240,
            "failureThreshold": 1,
            "tcpSocket": {"port": 8080},
        },
        "livenessProbe": {"periodSeconds": 10, "httpGet": {"path": "/healthz", "port": 8080}},
    }


def _env(entry: Any) -> Json:
    if not entry.HasField("value_source"):
        return {"name": entry.name, "value": entry.value}
    ref = entry.value_source.secret_key_ref
    reference = {"name": ref.secret, "key": ref.version}
    return {"name": entry.name, "valueFrom": {"secretKeyRef": reference}}
