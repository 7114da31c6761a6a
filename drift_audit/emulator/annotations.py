"""
Annotations of v1 that stand for a v2 field, read and written (`cloud-run-api.md` §2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drift_audit.emulator.deployed import Json
from drift_audit.emulator.status import invalid

RUN = "run.googleapis.com/"
CREATOR = "serving.knative.dev/creator"
LAST_MODIFIER = "serving.knative.dev/lastModifier"
CLIENT = RUN + "client-name"
CLIENT_VERSION = RUN + "client-version"
SECRETS = RUN + "secrets"
CLOUD_SQL = RUN + "cloudsql-instances"
INGRESS_STATUS = RUN + "ingress-status"
OPERATION = RUN + "operation-id"
URLS = RUN + "urls"
CPU_THROTTLING = RUN + "cpu-throttling"
STARTUP_BOOST = RUN + "startup-cpu-boost"

LOCATION = "cloud.googleapis.com/location"
"""A label: the region, which names of v1 do not tell."""

SYSTEM = (
    "run.googleapis.com",
    "cloud.googleapis.com",
    "serving.knative.dev",
    "autoscaling.knative.dev",
)
"""Namespaces that v2 does not show as labels or annotations: it has fields for them."""

PER_CONTAINER = {
    RUN + "container-dependencies": "dependsOn",
    RUN + "base-images": "baseImageUri",
    RUN + "sources": "sourceCode",
}
"""Annotations that hold a JSON map of containers, and the v2 field of a container."""


@dataclass(frozen=True)
class Note:
    """One annotation, the path of the v2 field, and how text becomes its value and the reverse."""

    name: str
    path: tuple[str, ...]
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _text(name: str, *path: str) -> Note:
    return Note(name, path, str, str)


def _number(name: str, *path: str) -> Note:
    return Note(name, path, int, str)


def _flag(name: str, *path: str) -> Note:
    return Note(name, path, truth, lambda value: str(value).lower())


def _word(name: str, words: Mapping[str, str], *path: str) -> Note:
    names = {value: word for word, value in reversed(list(words.items()))}
    return Note(name, path, words.__getitem__, names.__getitem__)


def _json(name: str, *path: str) -> Note:
    return Note(name, path, json.loads, lambda value: json.dumps(value, separators=(",", ":")))


def truth(text: str) -> bool:
    """What gcloud spells `True` and servers spell `true`."""
    return {"true": True, "false": False}[text.lower()]


INGRESS = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "none": "INGRESS_TRAFFIC_NONE",
}

EGRESS = {
    "all-traffic": "ALL_TRAFFIC",
    "all": "ALL_TRAFFIC",
    "private-ranges-only": "PRIVATE_RANGES_ONLY",
}

REVISION = (
    _word(
        RUN + "execution-environment",
        {"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"},
        "executionEnvironment",
    ),
    _flag(RUN + "sessionAffinity", "sessionAffinity"),
    _text(RUN + "encryption-key", "encryptionKey"),
    _word(
        RUN + "post-key-revocation-action-type",
        {"prevent-new": "PREVENT_NEW", "shut-down": "SHUTDOWN"},
        "encryptionKeyRevocationAction",
    ),
    Note(
        RUN + "encryption-key-shutdown-hours",
        ("encryptionKeyShutdownDuration",),
        lambda text: f"{int(text) * 3600}s",
        lambda value: str(int(value.removesuffix("s")) // 3600),
    ),
    _text(RUN + "vpc-access-connector", "vpcAccess", "connector"),
    _word(RUN + "vpc-access-egress", EGRESS, "vpcAccess", "egress"),
    _json(RUN + "network-interfaces", "vpcAccess", "networkInterfaces"),
    _text(RUN + "mesh", "serviceMesh", "mesh"),
    _flag(RUN + "gpu-zonal-redundancy-disabled", "gpuZonalRedundancyDisabled"),
    _flag(RUN + "health-check-disabled", "healthCheckDisabled"),
    _number("autoscaling.knative.dev/minScale", "scaling", "minInstanceCount"),
    _number("autoscaling.knative.dev/maxScale", "scaling", "maxInstanceCount"),
)

SERVICE = (
    _word(RUN + "ingress", INGRESS, "ingress"),
    _number(RUN + "minScale", "scaling", "minInstanceCount"),
    _number(RUN + "maxScale", "scaling", "maxInstanceCount"),
    _word(
        RUN + "scalingMode",
        {"automatic": "AUTOMATIC", "manual": "MANUAL"},
        "scaling",
        "scalingMode",
    ),
    _number(RUN + "manualInstanceCount", "scaling", "manualInstanceCount"),
    Note(
        RUN + "binary-authorization",
        ("binaryAuthorization",),
        lambda text: {"useDefault": True} if text == "default" else {"policy": text},
        lambda value: "default" if value.get("useDefault") else value.get("policy", ""),
    ),
    _text(
        RUN + "binary-authorization-breakglass", "binaryAuthorization", "breakglassJustification"
    ),
    _flag(RUN + "invoker-iam-disabled", "invokerIamDisabled"),
    _flag(RUN + "default-url-disabled", "defaultUriDisabled"),
    _flag(RUN + "iap-enabled", "iapEnabled"),
    _json(RUN + "custom-audiences", "customAudiences"),
    _text(RUN + "description", "description"),
    _text(RUN + "launch-stage", "launchStage"),
    _flag(RUN + "threat-detection", "threatDetectionEnabled"),
    _text(RUN + "build-service-account", "buildConfig", "serviceAccount"),
    _text(RUN + "build-worker-pool", "buildConfig", "workerPool"),
    _json(RUN + "build-environment-variables", "buildConfig", "environmentVariables"),
    _text(CLIENT, "client"),
    _text(CLIENT_VERSION, "clientVersion"),
)


def fields(notes: Mapping[str, str], table: tuple[Note, ...]) -> Json:
    """The v2 fields that annotations stand for. Raises Refusal for a value that is none."""
    found: Json = {}
    for note in table:
        if note.name in notes:
            holder = found
            for part in note.path[:-1]:
                holder = holder.setdefault(part, {})
            try:
                holder[note.path[-1]] = note.read(notes[note.name])
            except (ValueError, KeyError):
                raise invalid(f"annotation {note.name} has no value that it can have") from None
    return found


def notes(document: Mapping[str, Any], table: tuple[Note, ...]) -> dict[str, str]:
    """The annotations that stand for v2 fields."""
    found = {}
    for note in table:
        value: Any = document
        for part in note.path:
            value = value.get(part) if isinstance(value, dict) else None
        if value not in (None, ""):
            found[note.name] = note.write(value)
    return found


def of_users(pairs: Mapping[str, str]) -> dict[str, str]:
    """The labels or annotations that are not of a system namespace."""
    return {k: v for k, v in pairs.items() if k.partition("/")[0] not in SYSTEM}
