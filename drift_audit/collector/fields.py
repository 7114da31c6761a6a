"""
The written tables: which fields are read, and which are status, identity or noise and passed over.

What stands in neither is unknown: it is sealed, compared as a whole and reported, never dropped.
The descriptors of the client library cannot tell these apart (`cloud-run-api.md` §1), so the
tables are written by hand; a test holds them against the installed library. Noise: §1.5 there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from drift_audit.strict import Path

Use = Literal["read", "noise"]
READ: Use = "read"
NOISE: Use = "noise"

Shape = Any
"""READ, NOISE, a dict of field to shape, or a list of one shape for a repeated field."""


class Unread(NamedTuple):
    """A field that is not read: where it stands, what it holds, and whether it is noise."""

    path: Path
    node: Any
    noise: bool = False

    def __repr__(self) -> str:
        """The place alone: nobody knows what such a field holds."""
        return f"Unread({self.name})"

    @property
    def name(self) -> str:
        """The path with dots, without positions: the order of a list carries no meaning."""
        return ".".join(step for step in self.path if isinstance(step, str))


def survey(node: Any, shape: Shape, path: Path = ()) -> Iterator[Unread]:
    """
    List the fields of a document that are not read.

    A shape of READ alone has nothing to list. Wrong types are left alone here: whoever reads the
    field refuses them.
    """
    if shape == NOISE:
        yield Unread(path, node, noise=True)
    elif isinstance(shape, list):
        plain = _plain(shape[0])
        for i, item in enumerate(node if isinstance(node, list) else [node]):
            if not (isinstance(item, dict) and item.keys() <= plain):
                yield from survey(item, shape[0], (*path, i))
    elif isinstance(shape, dict) and isinstance(node, dict):
        for name, value in node.items():
            inner = shape.get(name)
            if inner is None:
                yield Unread((*path, name), value)
            elif inner != READ:
                yield from survey(value, inner, (*path, name))


def parted(node: Any, shape: Shape, inside: Path) -> tuple[list[Unread], list[Unread]]:
    """The same in two: those inside one part, by their place there, and those of all else."""
    unread, depth = list(survey(node, shape)), len(inside)
    within = [u._replace(path=u.path[depth:]) for u in unread if u.path[:depth] == inside]
    return within, [u for u in unread if u.path[:depth] != inside]


def _plain(shape: Shape) -> set[str]:
    """The fields of one item of a list that are read and hold nothing more."""
    return {n for n, inner in shape.items() if inner == READ} if isinstance(shape, dict) else set()


def _fields(use: Use, text: str) -> dict[str, Shape]:
    return dict.fromkeys(text.split(), use)


PROBE = {
    **_fields(READ, "initialDelaySeconds timeoutSeconds periodSeconds failureThreshold"),
    "httpGet": {**_fields(READ, "path port"), "httpHeaders": [_fields(READ, "name value")]},
    "tcpSocket": _fields(READ, "port"),
    "grpc": _fields(READ, "port service"),
}
PROBES = {"livenessProbe": PROBE, "startupProbe": PROBE, "readinessProbe": PROBE}

CONTAINER = {
    **_fields(READ, "name image command args workingDir dependsOn baseImageUri"),
    **_fields(NOISE, "buildInfo"),
    **PROBES,
    "env": [
        {
            **_fields(READ, "name value"),
            "valueSource": {"secretKeyRef": _fields(READ, "secret version")},
        }
    ],
    "resources": _fields(READ, "limits cpuIdle startupCpuBoost"),
    "ports": [_fields(READ, "name containerPort")],
    "volumeMounts": [_fields(READ, "name mountPath subPath")],
    "sourceCode": {"cloudStorageSource": _fields(READ, "bucket object generation")},
}

VOLUME = {
    **_fields(READ, "name"),
    "secret": {
        **_fields(READ, "secret defaultMode"),
        "items": [_fields(READ, "path version mode")],
    },
    "cloudSqlInstance": _fields(READ, "instances"),
    "emptyDir": _fields(READ, "medium sizeLimit"),
    "nfs": _fields(READ, "server path readOnly"),
    "gcs": _fields(READ, "bucket readOnly mountOptions"),
}

TEMPLATE = {
    **_fields(
        READ,
        "revision labels annotations timeout serviceAccount executionEnvironment encryptionKey "
        "maxInstanceRequestConcurrency encryptionKeyRevocationAction "
        "encryptionKeyShutdownDuration sessionAffinity healthCheckDisabled "
        "gpuZonalRedundancyDisabled",
    ),
    "scaling": _fields(READ, "minInstanceCount maxInstanceCount"),
    "vpcAccess": {
        **_fields(READ, "connector egress"),
        "networkInterfaces": [_fields(READ, "network subnetwork tags")],
    },
    "serviceMesh": _fields(READ, "mesh"),
    "nodeSelector": _fields(READ, "accelerator"),
    "containers": [CONTAINER],
    "volumes": [VOLUME],
}

REVISION = {
    **TEMPLATE,
    **_fields(READ, "name uid generation createTime creator conditions launchStage"),
    **_fields(
        NOISE,
        "updateTime deleteTime expireTime service reconciling observedGeneration logUri "
        "satisfiesPzs scalingStatus etag",
    ),
}

PARENT = {
    **_fields(
        READ,
        "name description uid generation labels annotations creator lastModifier client "
        "clientVersion launchStage customAudiences latestReadyRevision latestCreatedRevision",
    ),
    **_fields(
        NOISE,
        "createTime updateTime deleteTime expireTime observedGeneration terminalCondition "
        "conditions satisfiesPzs threatDetectionEnabled reconciling etag",
    ),
    "binaryAuthorization": _fields(READ, "useDefault policy breakglassJustification"),
    "template": TEMPLATE,
}

SERVICE = {
    **PARENT,
    **_fields(READ, "ingress invokerIamDisabled defaultUriDisabled iapEnabled"),
    **_fields(NOISE, "urls uri"),
    "traffic": [_fields(READ, "type revision percent tag")],
    "trafficStatuses": [{**_fields(READ, "type revision percent tag"), **_fields(NOISE, "uri")}],
    "scaling": _fields(READ, "minInstanceCount maxInstanceCount scalingMode manualInstanceCount"),
    "multiRegionSettings": _fields(READ, "regions multiRegionId"),
    "buildConfig": {
        **_fields(READ, "environmentVariables workerPool serviceAccount"),
        **_fields(
            NOISE,
            "name sourceLocation functionTarget imageUri baseImage enableAutomaticUpdates",
        ),
    },
}

WORKER_POOL = {
    **PARENT,
    "scaling": _fields(READ, "manualInstanceCount"),
    "instanceSplits": [_fields(READ, "type revision percent")],
    "instanceSplitStatuses": [_fields(READ, "type revision percent")],
}

EXECUTION = ("labels", "annotations", "parallelism", "taskCount")
"""What the tasks of a job share."""

_OF_A_REVISION = (
    "revision labels annotations scaling maxInstanceRequestConcurrency sessionAffinity "
    "healthCheckDisabled serviceMesh encryptionKeyRevocationAction encryptionKeyShutdownDuration"
).split()

JOB = {
    **{name: PARENT[name] for name in PARENT if not name.startswith(("latest", "custom"))},
    **_fields(READ, "updateTime"),
    **_fields(NOISE, "executionCount latestCreatedExecution startExecutionToken runExecutionToken"),
    "template": {
        **_fields(READ, " ".join(EXECUTION)),
        "template": {
            **{name: TEMPLATE[name] for name in TEMPLATE if name not in _OF_A_REVISION},
            **_fields(READ, "maxRetries"),
        },
    },
}


# Enumerations: v2 spells them by name or by number, v1 by gcloud's words. Ours are gcloud's words.


def _words(*names: tuple[str, str]) -> dict[str, str]:
    """Every spelling of an enumeration, in the order of its numbers, with the canonical word."""
    by_number = {str(i): word for i, (_, word) in enumerate(names)}
    return by_number | dict(names) | {word: word for _, word in names}


EXECUTION_ENVIRONMENT = _words(
    ("EXECUTION_ENVIRONMENT_UNSPECIFIED", "default"),
    ("EXECUTION_ENVIRONMENT_GEN1", "gen1"),
    ("EXECUTION_ENVIRONMENT_GEN2", "gen2"),
)
EGRESS = _words(
    ("VPC_EGRESS_UNSPECIFIED", "private-ranges-only"),
    ("ALL_TRAFFIC", "all-traffic"),
    ("PRIVATE_RANGES_ONLY", "private-ranges-only"),
) | {"all": "all-traffic"}
INGRESS = _words(
    ("INGRESS_TRAFFIC_UNSPECIFIED", ""),  # observed: no revision is active (§1.4)
    ("INGRESS_TRAFFIC_ALL", "all"),
    ("INGRESS_TRAFFIC_INTERNAL_ONLY", "internal"),
    ("INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", "internal-and-cloud-load-balancing"),
    ("INGRESS_TRAFFIC_NONE", "none"),
)
REVOCATION = _words(
    ("ENCRYPTION_KEY_REVOCATION_ACTION_UNSPECIFIED", "default"),
    ("PREVENT_NEW", "prevent-new"),
    ("SHUTDOWN", "shut-down"),
)
SCALING_MODE = _words(
    ("SCALING_MODE_UNSPECIFIED", "automatic"),
    ("AUTOMATIC", "automatic"),
    ("MANUAL", "manual"),
)
ALLOCATION = _words(
    ("TRAFFIC_TARGET_ALLOCATION_TYPE_UNSPECIFIED", "revision"),
    ("TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "latest"),
    ("TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision"),
)
SPLIT = _words(
    ("INSTANCE_SPLIT_ALLOCATION_TYPE_UNSPECIFIED", "revision"),
    ("INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "latest"),
    ("INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision"),
)
CONDITION = _words(
    ("STATE_UNSPECIFIED", "unknown"),
    ("CONDITION_PENDING", "unknown"),
    ("CONDITION_RECONCILING", "unknown"),
    ("CONDITION_FAILED", "false"),
    ("CONDITION_SUCCEEDED", "true"),
)
REVISION_REASON = _words(
    ("REVISION_REASON_UNDEFINED", ""),
    ("PENDING", "Pending"),
    ("RESERVE", "Reserve"),
    ("RETIRED", "Retired"),
    ("RETIRING", "Retiring"),
    ("RECREATING", "Recreating"),
    ("HEALTH_CHECK_CONTAINER_ERROR", "HealthCheckContainerError"),
    ("CUSTOMIZED_PATH_RESPONSE_PENDING", "CustomizedPathResponsePending"),
    ("MIN_INSTANCES_NOT_PROVISIONED", "MinInstancesNotProvisioned"),
    ("ACTIVE_REVISION_LIMIT_REACHED", "ActiveRevisionLimitReached"),
    ("NO_DEPLOYMENT", "NoDeployment"),
    ("HEALTH_CHECK_SKIPPED", "HealthCheckSkipped"),
    ("MIN_INSTANCES_WARMING", "MinInstancesWarming"),
)
LAUNCH_STAGE = _words(
    ("LAUNCH_STAGE_UNSPECIFIED", "GA"),
    ("EARLY_ACCESS", "EARLY_ACCESS"),
    ("ALPHA", "ALPHA"),
    ("BETA", "BETA"),
    ("GA", "GA"),
    ("DEPRECATED", "DEPRECATED"),
    ("UNIMPLEMENTED", "UNIMPLEMENTED"),
    ("PRELAUNCH", "PRELAUNCH"),
)
MEDIUM = _words(("MEDIUM_UNSPECIFIED", "memory"), ("MEMORY", "memory")) | {"Memory": "memory"}


# v1 (Knative), as gcloud prints it and people write it


V1_PROBE = {
    **PROBE,
    **_fields(NOISE, "successThreshold"),
    "httpGet": {**PROBE["httpGet"], **_fields(NOISE, "scheme host")},
    "tcpSocket": {**PROBE["tcpSocket"], **_fields(NOISE, "host")},
}

V1_CONTAINER = {
    **_fields(READ, "name image command args workingDir envFrom"),
    **_fields(NOISE, "imagePullPolicy terminationMessagePath terminationMessagePolicy"),
    **dict.fromkeys(PROBES, V1_PROBE),
    "env": [
        {
            **_fields(READ, "name value"),
            "valueFrom": {
                "secretKeyRef": {**_fields(READ, "name key"), **_fields(NOISE, "optional")},
                **_fields(READ, "configMapKeyRef fieldRef resourceFieldRef"),
            },
        }
    ],
    "resources": _fields(READ, "limits"),
    "ports": [{**_fields(READ, "name containerPort"), **_fields(NOISE, "protocol")}],
    "volumeMounts": [{**_fields(READ, "name mountPath subPath"), **_fields(NOISE, "readOnly")}],
}

V1_VOLUME = {
    **_fields(READ, "name configMap persistentVolumeClaim"),
    "secret": {
        **_fields(READ, "secretName defaultMode"),
        **_fields(NOISE, "optional"),
        "items": [_fields(READ, "key path mode")],
    },
    "csi": {
        **_fields(READ, "driver readOnly"),
        "volumeAttributes": _fields(READ, "bucketName mountOptions"),
    },
    "nfs": VOLUME["nfs"],
    "emptyDir": VOLUME["emptyDir"],
}

V1_METADATA = {
    **_fields(READ, "name namespace labels annotations uid generation creationTimestamp"),
    **_fields(NOISE, "resourceVersion selfLink ownerReferences deletionTimestamp finalizers"),
}

V1_REVISION_SPEC = {
    **_fields(READ, "containerConcurrency timeoutSeconds serviceAccountName"),
    **_fields(NOISE, "enableServiceLinks"),
    "nodeSelector": _fields(READ, "run.googleapis.com/accelerator"),
    "containers": [V1_CONTAINER],
    "volumes": [V1_VOLUME],
}

V1_TEMPLATE = {"metadata": V1_METADATA, "spec": V1_REVISION_SPEC}

V1_SERVICE = {
    **_fields(READ, "apiVersion kind"),
    "metadata": V1_METADATA,
    "spec": {
        "template": V1_TEMPLATE,
        "traffic": [{**_fields(READ, "revisionName latestRevision percent tag"), "url": NOISE}],
        "instanceSplits": [_fields(READ, "revisionName latestRevision percent")],
    },
    "status": {
        **_fields(READ, "traffic latestReadyRevisionName latestCreatedRevisionName instanceSplits"),
        **_fields(NOISE, "conditions observedGeneration address url"),
    },
}

V1_REVISION = {
    **_fields(READ, "apiVersion kind"),
    "metadata": V1_METADATA,
    "spec": V1_REVISION_SPEC,
    "status": {
        **_fields(READ, "conditions imageDigest containerStatuses"),
        **_fields(NOISE, "observedGeneration logUrl serviceName desiredReplicas"),
    },
}

# Labels and annotations that servers and clients write. Those that stand for a v2 field are named
# in `knative`.

NOISY_NAMES = frozenset(
    """
    client.knative.dev/nonce client.knative.dev/user-image
    cloud.googleapis.com/location
    goog-managed-by goog-terraform-provisioned goog-drz-cloudrun-id goog-drz-cloudrun-uuid
    kubectl.kubernetes.io/last-applied-configuration
    run.googleapis.com/build-base-image run.googleapis.com/build-enable-automatic-updates
    run.googleapis.com/build-function-target run.googleapis.com/build-id
    run.googleapis.com/build-image-uri run.googleapis.com/build-name
    run.googleapis.com/build-source-location
    run.googleapis.com/client-name run.googleapis.com/client-version
    run.googleapis.com/creator run.googleapis.com/creatorEmail run.googleapis.com/lastModifier
    run.googleapis.com/lastModifierEmail
    run.googleapis.com/ingress-status run.googleapis.com/operation-id
    run.googleapis.com/satisfiesPzs run.googleapis.com/startupProbeType
    run.googleapis.com/threat-detection
    run.googleapis.com/urls
    serving.knative.dev/configuration serving.knative.dev/configurationGeneration
    serving.knative.dev/configurationUid serving.knative.dev/creator
    serving.knative.dev/lastModifier serving.knative.dev/route serving.knative.dev/routes
    serving.knative.dev/routingState serving.knative.dev/service serving.knative.dev/serviceUid
    """.split()
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")

PROVENANCE = {
    "commit-sha": re.compile(r"[0-9a-f]{7,64}"),
    "gcb-build-id": _UUID,
    "gcb-trigger-id": _UUID,
    "gcb-trigger-region": _NAME,
    "managed-by": _NAME,
    "release-id": _NAME,
    "delivery-pipeline-id": _NAME,
    "target-id": _NAME,
}
"""
Labels that say who or what made a revision, and what their values look like. They change with every
deploy: shown, never compared. A value of another shape is sealed like any label.
"""
