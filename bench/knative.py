"""
The same services and revisions in the v1 shape, which is what gcloud reads.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from bench import place

Json = dict[str, Any]

API = "serving.knative.dev/v1"
_STATUS = {4: "True"}


@lru_cache(maxsize=50_000)
def revision(data: bytes) -> str:
    """One revision as JSON text, from its v2 message."""
    from bench.catalog import parsed

    message = parsed("/revisions/", data)
    name = message.name.rpartition("/")[2]
    labels = {
        **dict(message.labels),
        "serving.knative.dev/service": message.service,
        "cloud.googleapis.com/location": place.REGION,
    }
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
    return json.dumps(
        {
            "apiVersion": API,
            "kind": "Revision",
            "metadata": {
                "name": name,
                "namespace": place.NUMBER,
                "uid": message.uid,
                "resourceVersion": message.etag,
                "generation": 1,
                "creationTimestamp": message.create_time.ToJsonString(),
                "labels": labels,
                "annotations": annotations,
            },
            "spec": _spec(message),
            "status": {
                "observedGeneration": 1,
                "logUrl": message.log_uri,
                "conditions": _conditions(message.conditions),
            },
        }
    )


@lru_cache(maxsize=5_000)
def service(data: bytes, newest: bytes) -> str:
    """One service as JSON text, with its template from the newest revision."""
    from bench.catalog import parsed

    message = parsed("service", data)
    made = json.loads(revision(newest))
    name = message.name.rpartition("/")[2]
    target = message.traffic[0]
    traffic: Json = {"percent": target.percent}
    traffic |= {"revisionName": target.revision} if target.revision else {"latestRevision": True}
    latest = message.latest_ready_revision.rpartition("/")[2]
    return json.dumps(
        {
            "apiVersion": API,
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": place.NUMBER,
                "uid": message.uid,
                "resourceVersion": message.etag,
                "generation": message.generation,
                "creationTimestamp": message.create_time.ToJsonString(),
                "labels": {"cloud.googleapis.com/location": place.REGION},
                "annotations": {"run.googleapis.com/ingress": "all"},
            },
            "spec": {
                "template": {
                    "metadata": {
                        "name": latest,
                        "annotations": made["metadata"]["annotations"],
                    },
                    "spec": made["spec"],
                },
                "traffic": [traffic],
            },
            "status": {
                "observedGeneration": message.generation,
                "latestReadyRevisionName": latest,
                "latestCreatedRevisionName": latest,
                "url": message.uri,
                "traffic": [{"revisionName": target.revision or latest, "percent": 100}],
                "conditions": _conditions(message.conditions or [message.terminal_condition]),
            },
        }
    )


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
