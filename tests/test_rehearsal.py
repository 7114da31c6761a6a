"""What a rehearsal can carry through a deploy, and what it tells that it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.cloud import run_v2
from google.protobuf.json_format import ParseDict

from drift_audit.cli.planned import lost
from drift_audit.collector.originals import sealed
from drift_audit.emulator.desk import Asked
from drift_audit.emulator.rehearsal import Original, Rehearsal
from drift_audit.errors import SourceError
from tests.builders import sealer

SERVICE = "projects/shop/locations/europe-west1/services/api"
JOB = "projects/shop/locations/europe-west1/jobs/nightly"

PROBE = {
    "initialDelaySeconds": 3,
    "timeoutSeconds": 4,
    "periodSeconds": 11,
    "failureThreshold": 5,
}
ENV = [
    {"name": "A", "value": "1"},
    {"name": "B"},
    {"name": "S", "valueSource": {"secretKeyRef": {"secret": "s", "version": "3"}}},
    {
        "name": "F",
        "valueSource": {
            "secretKeyRef": {"secret": "projects/other/secrets/f", "version": "latest"}
        },
    },
]
VOLUMES = [
    {
        "name": "keys",
        "secret": {
            "secret": "projects/other/secrets/k",
            "items": [{"path": "p", "version": "2", "mode": 292}],
            "defaultMode": 256,
        },
    },
    {"name": "memory", "emptyDir": {"medium": "MEMORY", "sizeLimit": "1Mi"}},
    {"name": "files", "nfs": {"server": "10.0.0.1", "path": "/x", "readOnly": True}},
    {"name": "bucket", "gcs": {"bucket": "b", "readOnly": True, "mountOptions": ["a=b"]}},
    {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:i"]}},
]
TASK: dict[str, Any] = {
    "containers": [
        {
            "name": "app",
            "image": "r/a:1",
            "command": ["c"],
            "args": ["--a"],
            "workingDir": "/w",
            "dependsOn": ["side"],
            "env": ENV,
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "volumeMounts": [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in VOLUMES],
            "startupProbe": {**PROBE, "tcpSocket": {"port": 9}},
        },
        {
            "name": "side",
            "image": "r/s:1",
            "env": [{"name": "Z", "value": "1"}],
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
        },
    ],
    "volumes": VOLUMES,
    "timeout": "77s",
    "serviceAccount": "a@b.iam.gserviceaccount.com",
    "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    "encryptionKey": "projects/p/locations/l/keyRings/k/cryptoKeys/c",
    "vpcAccess": {
        "connector": "projects/shop/locations/europe-west1/connectors/c",
        "egress": "ALL_TRAFFIC",
    },
    "nodeSelector": {"accelerator": "nvidia-l4"},
    "gpuZonalRedundancyDisabled": True,
}
APP, SIDE = TASK["containers"]
TEMPLATE: dict[str, Any] = {
    **TASK,
    "labels": {"commit-sha": "a", "x": "y"},
    "annotations": {"my.org/a": "b"},
    "scaling": {"minInstanceCount": 2, "maxInstanceCount": 9},
    "containers": [
        {
            **APP,
            "resources": {
                "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
                "startupCpuBoost": True,
            },
            "ports": [{"name": "h2c", "containerPort": 9000}],
            "livenessProbe": {
                **PROBE,
                "httpGet": {
                    "path": "/h",
                    "port": 8,
                    "httpHeaders": [{"name": "H", "value": "v"}],
                },
            },
            "readinessProbe": {**PROBE, "grpc": {"port": 7, "service": "s"}},
            "baseImageUri": "b/i",
        },
        {**SIDE, "resources": {**SIDE["resources"], "startupCpuBoost": True}},
    ],
    "encryptionKeyRevocationAction": "SHUTDOWN",
    "encryptionKeyShutdownDuration": "7200s",
    "maxInstanceRequestConcurrency": 33,
    "serviceMesh": {"mesh": "projects/p/locations/global/meshes/m"},
    "sessionAffinity": True,
    "healthCheckDisabled": True,
}
META = {
    "uid": "u",
    "generation": "5",
    "observedGeneration": "5",
    "labels": {"team": "t"},
    "annotations": {"my.org/s": "x"},
    "createTime": "2026-01-01T00:00:00Z",
    "updateTime": "2026-01-02T00:00:00Z",
    "creator": "c@example.com",
    "lastModifier": "m@example.com",
    "client": "gcloud",
    "clientVersion": "528.0.0",
    "launchStage": "BETA",
    "binaryAuthorization": {"useDefault": True},
    "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
    "etag": "e",
}
ALLOCATION = "TRAFFIC_TARGET_ALLOCATION_TYPE_"
WHOLE = {
    **META,
    "name": SERVICE,
    "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "description": "d",
    "template": TEMPLATE,
    "traffic": [
        {"type": f"{ALLOCATION}REVISION", "revision": "api-1", "percent": 90, "tag": "t"},
        {"type": f"{ALLOCATION}LATEST", "percent": 10},
    ],
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 50, "scalingMode": "AUTOMATIC"},
    "invokerIamDisabled": True,
    "defaultUriDisabled": True,
    "iapEnabled": True,
    "customAudiences": ["https://a"],
    "urls": ["https://api-123456789012.europe-west1.run.app"],
    "latestCreatedRevision": f"{SERVICE}/revisions/api-1",
    "latestReadyRevision": f"{SERVICE}/revisions/api-1",
    "threatDetectionEnabled": True,
    "buildConfig": {"serviceAccount": "x", "environmentVariables": {"a": "b"}},
}
WHOLE_JOB: dict[str, Any] = {
    **META,
    "name": JOB,
    "template": {
        "labels": {"x": "y"},
        "annotations": {"my.org/a": "b"},
        "parallelism": 2,
        "taskCount": 3,
        "template": {**TASK, "maxRetries": 0},
    },
}


def original(document, **template):
    """A service with its newest revision, or a job, from JSON, with some of its template set."""
    name = document["name"]
    if "/jobs/" in name:
        return Original(ParseDict(document, run_v2.Job.pb()()))
    document = {**document, "template": document["template"] | template}
    revision = {k: v for k, v in document["template"].items() if k != "healthCheckDisabled"} | {
        "name": document["latestCreatedRevision"],
        "uid": "r",
        "service": "api",
        "launchStage": "BETA",
        "createTime": META["createTime"],
        "conditions": [{"type": "Ready", "state": "CONDITION_SUCCEEDED"}],
    }
    return Original(
        ParseDict(document, run_v2.Service.pb()()), [ParseDict(revision, run_v2.Revision.pb()())]
    )


def not_carried(found):
    """What a deploy that changes nothing changes all the same, here."""
    name = found.message.name
    seal = sealer()
    with Rehearsal(lambda _: found, lambda _: None, lambda _: ()) as rehearsal:
        rehearsal.fetch(Asked(name))
        same = rehearsal.carried(name)
    was = sealed(found.message, found.revisions, seal)
    return [u.where for u in lost(was, sealed(same.message, same.revisions, seal))]


@pytest.mark.parametrize("document", [WHOLE, WHOLE_JOB], ids=["service", "job"])
def test_everything_is_carried(document):
    """A deploy that changes nothing changes nothing, whatever the service or job has."""
    assert not_carried(original(document)) == []


OF_TIMES_AND_STATES = {
    *("deleteTime", "expireTime", "conditions", "trafficStatuses", "uri", "satisfiesPzs"),
    *("reconciling", "executionCount", "latestCreatedExecution", "latestSucceededExecution"),
}
NOT_WRITTEN = {
    "multiRegionSettings",  # of services in several regions at once, which are written elsewhere
    "revision",  # the name of the next revision
    *("startExecutionToken", "runExecutionToken"),  # to run a job at once
}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (run_v2.Service, WHOLE),
        (run_v2.RevisionTemplate, TEMPLATE),
        (run_v2.Job, WHOLE_JOB),
        (run_v2.ExecutionTemplate, WHOLE_JOB["template"]),
        (run_v2.TaskTemplate, WHOLE_JOB["template"]["template"]),
    ],
)
def test_every_field_is_tried(kind, document):
    """The documents above have every field that the API knows, but for states and a few by name."""
    known = {field.json_name for field in kind.pb().DESCRIPTOR.fields}

    assert known - document.keys() - OF_TIMES_AND_STATES - NOT_WRITTEN == set()


def test_what_is_not_carried_is_told():
    """A boost is said of a whole revision in v1, so that one container alone cannot have it."""
    found = original(WHOLE, containers=[TEMPLATE["containers"][0], SIDE])

    assert not_carried(found) == ["shop/europe-west1/api/setting/side/startup_cpu_boost"]


def test_only_who_knows_the_password_is_answered():
    """Others on the machine cannot read what is in memory."""
    found = original(WHOLE)
    path = "apis/serving.knative.dev/v1/namespaces/shop/services/api"
    with Rehearsal(lambda _: found, lambda _: None, lambda _: ()) as rehearsal:
        env = rehearsal.environment
        host = f"{env['CLOUDSDK_PROXY_ADDRESS']}:{env['CLOUDSDK_PROXY_PORT']}"
        url = f"http://{host}/{path}"
        given = [
            {},
            {"Proxy-Authorization": "Basic cmVoZWFyc2FsOg=="},
            {"Proxy-Authorization": "Bearer \xff"},
        ]
        refused = [requests.get(url, headers=one, timeout=5) for one in given]
        tunnel = requests.request("CONNECT", f"http://{host}/", timeout=5)
        strange = rehearsal.strange

    assert {r.status_code for r in refused} == {407}
    assert {r.text for r in refused} == {"{}"}
    assert (tunnel.status_code, len(strange)) == (403, 1)


def test_what_cannot_be_read_is_kept():
    """An error of reading is refused to the command, and told when it is over."""

    def live(_):
        raise SourceError("no answer")

    with (
        Rehearsal(live, lambda _: None, lambda _: ()) as rehearsal,
        pytest.raises(SourceError, match="no answer"),
    ):
        rehearsal.fetch(Asked(SERVICE))
