"""
Annotations of v1 that stand for a v2 field, by the level they stand on, and how they are read.

The table behind it is `cloud-run-api.md` §2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from drift_audit import names
from drift_audit.collector import nodes
from drift_audit.collector.nodes import Object
from drift_audit.snapshot import Unseen
from drift_audit.strict import Node, Refused, load

Doc = dict[str, Any]

REVISION = {
    "run.googleapis.com/execution-environment": ("executionEnvironment",),
    "run.googleapis.com/sessionAffinity": ("sessionAffinity",),
    "run.googleapis.com/encryption-key": ("encryptionKey",),
    "run.googleapis.com/post-key-revocation-action-type": ("encryptionKeyRevocationAction",),
    "run.googleapis.com/vpc-access-connector": ("vpcAccess", "connector"),
    "run.googleapis.com/vpc-access-egress": ("vpcAccess", "egress"),
    "run.googleapis.com/mesh": ("serviceMesh", "mesh"),
    "run.googleapis.com/gpu-zonal-redundancy-disabled": ("gpuZonalRedundancyDisabled",),
    "run.googleapis.com/health-check-disabled": ("healthCheckDisabled",),
    "run.googleapis.com/launch-stage": ("launchStage",),
    "autoscaling.knative.dev/minScale": ("scaling", "minInstanceCount"),
    "autoscaling.knative.dev/maxScale": ("scaling", "maxInstanceCount"),
}

SERVICE = {
    "run.googleapis.com/ingress": ("ingress",),
    "run.googleapis.com/minScale": ("scaling", "minInstanceCount"),
    "run.googleapis.com/maxScale": ("scaling", "maxInstanceCount"),
    "run.googleapis.com/scalingMode": ("scaling", "scalingMode"),
    "run.googleapis.com/manualInstanceCount": ("scaling", "manualInstanceCount"),
    "run.googleapis.com/binary-authorization": ("binaryAuthorization", "policy"),
    "run.googleapis.com/binary-authorization-breakglass": (
        "binaryAuthorization",
        "breakglassJustification",
    ),
    "run.googleapis.com/invoker-iam-disabled": ("invokerIamDisabled",),
    "run.googleapis.com/default-url-disabled": ("defaultUriDisabled",),
    "run.googleapis.com/iap-enabled": ("iapEnabled",),
    "run.googleapis.com/description": ("description",),
    "run.googleapis.com/launch-stage": ("launchStage",),
    "run.googleapis.com/health-check-disabled": ("healthCheckDisabled",),
    "run.googleapis.com/build-service-account": ("buildConfig", "serviceAccount"),
    "run.googleapis.com/build-worker-pool": ("buildConfig", "workerPool"),
}

CLIENT = "run.googleapis.com/client-name"
CLIENT_VERSION = "run.googleapis.com/client-version"
CREATOR = "serving.knative.dev/creator"
SECRETS = "run.googleapis.com/secrets"
CLOUD_SQL = "run.googleapis.com/cloudsql-instances"
REGIONS = "run.googleapis.com/regions"
MULTI_REGION = "run.googleapis.com/multi-region-id"
"""A label, unlike the others."""


def texts(metadata: Object, what: str) -> Doc:
    """The annotations or labels of a resource: a copy. Raises Refused for what is no scalar."""
    found = metadata.inside(what)
    for name in found.doc:
        found.text(name)
    return dict(found.doc)


def move(annotations: Doc, into: Doc, table: Mapping[str, tuple[str, ...]]) -> None:
    """Take annotations that stand for a v2 field out, and put them where the field is."""
    for name, (*parents, leaf) in table.items():
        if name in annotations:
            holder = into
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[leaf] = annotations.pop(name)


def take_json(annotations: Doc, name: str, kind: type) -> Any:
    """An annotation that holds JSON, taken out; one that does not parse stays an annotation."""
    try:
        [found] = load(nodes.text(annotations.get(name)))
    except (Refused, ValueError):
        return None
    return annotations.pop(name) and found if isinstance(found, kind) else None


def take_list(annotations: Doc, name: str) -> list[str]:
    """An annotation that holds a list with commas, taken out; empty entries mean nothing."""
    entries = nodes.text(annotations.pop(name, None)).split(",")
    return [entry.strip() for entry in entries if entry.strip()]


def aliases(node: Node) -> tuple[dict[str, str], list[Unseen]]:
    """
    The aliases of secrets in other projects: `alias:projects/P/secrets/NAME`, comma separated.

    An entry that cannot be read leaves open which secret its alias means.
    """
    found: dict[str, str] = {}
    unseen: list[Unseen] = []
    for entry in filter(None, nodes.text(node).strip().split(",")):
        alias, _, target = entry.strip().partition(":")
        if names.SECRET.fullmatch(alias) and names.SECRET_PATH.fullmatch(target):
            found[alias] = target
        else:
            reason = "an entry is not of the form alias:projects/P/secrets/NAME"
            unseen.append(Unseen(where=f"annotation {SECRETS}", reason=reason))
    return found, unseen


_SOURCE = re.compile(r"gs://(?P<bucket>[^/#]+)/(?P<object>[^#]+)#(?P<generation>[0-9]+)")


def source_code(node: Node) -> Doc | None:
    """Where code was deployed from, in the v2 shape; None for what is not `gs://B/O#GENERATION`."""
    parts = _SOURCE.fullmatch(node) if isinstance(node, str) else None
    return {"cloudStorageSource": parts.groupdict()} if parts else None


def urls(metadata: Object, status: Object) -> Iterator[Node]:
    """The URLs of a service, wherever it tells them."""
    yield status.doc.get("url")
    notes = dict(metadata.inside("annotations").doc)
    yield from take_json(notes, "run.googleapis.com/urls", list) or ()
