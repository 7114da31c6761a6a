"""
v1 Knative, the form that gcloud prints and people write, mapped onto the v2 shape.

The table behind it is `cloud-run-api.md` §2. Values pass through as they are: what they mean is
decided by the normaliser alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drift_audit import names
from drift_audit.collector import fields, nodes
from drift_audit.collector.normalise import Beside
from drift_audit.collector.resources import Resource
from drift_audit.snapshot import UNKNOWN, Identity, Kind, Unseen
from drift_audit.strict import Node, Path, Refused, load

Doc = dict[str, Any]

KINDS: dict[str, Kind] = {"Service": "service", "Revision": "service", "WorkerPool": "worker-pool"}

REVISION_ANNOTATIONS = {
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

SERVICE_ANNOTATIONS = {
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
}

CLIENT = "run.googleapis.com/client-name"
CLIENT_VERSION = "run.googleapis.com/client-version"
CREATOR = "serving.knative.dev/creator"
SECRETS = "run.googleapis.com/secrets"
CLOUD_SQL = "run.googleapis.com/cloudsql-instances"
LOCATION = "cloud.googleapis.com/location"


def is_knative(doc: Node) -> bool:
    """Tell whether a document claims to be a Kubernetes-style resource."""
    return isinstance(doc, dict) and "kind" in doc and "apiVersion" in doc


def resource(doc: Doc, path: Path = ()) -> Resource:
    """Map one Service, Revision or WorkerPool. Raises Refused for anything else."""
    kind = nodes.text(doc.get("kind"), *path, "kind")
    group = nodes.text(doc.get("apiVersion"), *path, "apiVersion").partition("/")[0]
    if kind not in KINDS or group not in ("serving.knative.dev", "run.googleapis.com"):
        reason = f"a {kind or 'document without kind'} of {group or 'no API'}, not of Cloud Run"
        hint = "Service, Revision and WorkerPool are read"
        raise Refused("wrong-kind", reason, path=path, hint=hint)
    return _revision(doc, path) if kind == "Revision" else _parent(doc, KINDS[kind], path)


def _revision(doc: Doc, path: Path) -> Resource:
    metadata = nodes.mapping(doc.get("metadata"), *path, "metadata")
    labels = nodes.mapping(metadata.get("labels"), *path, "metadata", "labels")
    status = nodes.mapping(doc.get("status"), *path, "status")
    pool = labels.get("run.googleapis.com/workerPool")
    service = nodes.text(labels.get("serving.knative.dev/service") or pool)
    if not service:
        reason = "a revision that does not name its service"
        raise Refused("missing-name", reason, path=(*path, "metadata"))
    identity = _identity(metadata, service, "worker-pool" if pool else "service")
    template, beside = _template(doc, path, _Around(doc, fields.V1_REVISION, path))
    return Resource(
        identity=identity.but(
            revision=nodes.text(metadata.get("name")),
            uid=nodes.text(metadata.get("uid")),
            create_time=nodes.instant(metadata.get("creationTimestamp")),
            generation=_generation(labels.get("serving.knative.dev/configurationGeneration")),
            **_maker(metadata),
        ),
        template=template,
        beside=beside,
        conditions=_conditions(status),
    )


def _parent(doc: Doc, kind: Kind, path: Path) -> Resource:
    metadata = nodes.mapping(doc.get("metadata"), *path, "metadata")
    spec = nodes.mapping(doc.get("spec"), *path, "spec")
    status = nodes.mapping(doc.get("status"), *path, "status")
    template_doc = nodes.mapping(spec.get("template"), *path, "spec", "template")
    inner = nodes.mapping(template_doc.get("metadata"), *path, "spec", "template", "metadata")
    name = nodes.text(metadata.get("name"), *path, "metadata", "name")
    if not name:
        raise Refused("missing-name", "a service without a name", path=(*path, "metadata"))
    where = (*path, "spec", "template")
    template, beside = _template(template_doc, where, _Around(doc, fields.V1_SERVICE, path))
    revision = nodes.text(inner.get("name"))
    if names.is_placeholder(revision):
        template["revision"], revision = revision, ""
    return Resource(
        identity=_identity(metadata, name, kind).but(
            revision=revision or nodes.text(status.get("latestCreatedRevisionName")),
            generation=_generation(metadata.get("generation")),
            **_maker(inner),
        ),
        template=template,
        beside=beside,
        parent=_service(metadata, spec, status, kind),
    )


def _identity(metadata: Doc, service: str, kind: Kind) -> Identity:
    namespace = nodes.text(metadata.get("namespace"))
    labels = nodes.mapping(metadata.get("labels"))
    return Identity(
        project=namespace or UNKNOWN,
        project_number=namespace if namespace.isdecimal() else "",
        region=nodes.text(labels.get(LOCATION)) or UNKNOWN,
        kind=kind,
        service=service,
    )


def _generation(node: Node) -> int | None:
    number = nodes.number(node)
    return number if isinstance(number, int) else None


def _maker(metadata: Doc) -> dict[str, str]:
    """Who made a revision, and what the tool claimed to be."""
    annotations = nodes.mapping(metadata.get("annotations"))
    return {
        "creator": nodes.text(annotations.get(CREATOR)),
        "client": nodes.text(annotations.get(CLIENT)),
        "client_version": nodes.text(annotations.get(CLIENT_VERSION)),
    }


@dataclass(frozen=True)
class _Around:
    """The whole document that holds a revision's part."""

    doc: Doc
    shape: fields.Shape
    path: Path


def _template(holder: Doc, path: Path, around: _Around) -> tuple[Doc, Beside]:
    """The revision's part in the v2 shape, from a Revision or from a Service's template."""
    metadata = nodes.mapping(holder.get("metadata"), *path, "metadata")
    spec = nodes.mapping(holder.get("spec"), *path, "spec")
    where = (*path, "spec")
    annotations = dict(nodes.mapping(metadata.get("annotations"), *path, "metadata", "annotations"))
    template: Doc = {
        "labels": metadata.get("labels"),
        "timeout": spec.get("timeoutSeconds"),
        "serviceAccount": spec.get("serviceAccountName"),
        "maxInstanceRequestConcurrency": spec.get("containerConcurrency"),
    }
    _move(annotations, template, REVISION_ANNOTATIONS)
    hours = nodes.number(annotations.pop("run.googleapis.com/encryption-key-shutdown-hours", None))
    if isinstance(hours, int):
        template["encryptionKeyShutdownDuration"] = hours * 3600
    interfaces = _json(annotations, "run.googleapis.com/network-interfaces", list)
    if interfaces:
        template.setdefault("vpcAccess", {})["networkInterfaces"] = interfaces
    selector = nodes.mapping(spec.get("nodeSelector"), *where, "nodeSelector")
    template["nodeSelector"] = {"accelerator": selector.get("run.googleapis.com/accelerator")}
    aliases, unseen = _aliases(annotations.pop(SECRETS, None))
    per_container = _PerContainer(annotations, aliases)
    listed = nodes.sequence(spec.get("containers"), *where, "containers")
    template["containers"] = [
        per_container.container(
            nodes.mapping(c, *where, "containers", i), (*where, "containers", i)
        )
        for i, c in enumerate(listed)
    ]
    template["volumes"] = [
        _volume(nodes.mapping(v, *where, "volumes", i), aliases, (*where, "volumes", i))
        for i, v in enumerate(nodes.sequence(spec.get("volumes"), *where, "volumes"))
    ]
    instances = nodes.text(annotations.pop(CLOUD_SQL, None))
    if instances:
        attached = [i.strip() for i in instances.split(",")]
        template["volumes"].append({"cloudSqlInstance": {"instances": attached}})
    template["annotations"] = annotations
    unread = list(fields.survey(around.doc, around.shape))
    return template, Beside(
        home=(*around.path, "metadata"),
        root=where,
        digests=_digests(holder, template["containers"]),
        unknown=[(p, node) for p, node, noise in unread if not noise],
        ignored=[p for p, _, noise in unread if noise] + _noise_beside(holder, around.doc),
        unseen=[*unseen, *per_container.unseen],
    )


def _move(annotations: Doc, into: Doc, table: Mapping[str, tuple[str, ...]]) -> None:
    """Take annotations that stand for a v2 field out, and put them where the field is."""
    for name, (*parents, leaf) in table.items():
        if name in annotations:
            holder = into
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[leaf] = annotations.pop(name)


def _noise_beside(holder: Doc, doc: Doc) -> list[str]:
    """System annotations and labels of the service, which stand beside those of its template."""
    metadata = {} if doc is holder else nodes.mapping(doc.get("metadata"))
    found = [*nodes.mapping(metadata.get("annotations")), *nodes.mapping(metadata.get("labels"))]
    return [name for name in found if name in fields.NOISY_NAMES]


def _json(annotations: Doc, name: str, kind: type) -> Any:
    """An annotation that holds JSON; one that does not parse stays an annotation."""
    try:
        [found] = load(nodes.text(annotations.get(name)))
    except (Refused, ValueError):
        return None
    return annotations.pop(name) and found if isinstance(found, kind) else None


def _aliases(node: Node) -> tuple[dict[str, str], list[Unseen]]:
    """
    The aliases of secrets in other projects: `alias:projects/P/secrets/NAME`, comma separated.

    An entry that cannot be read leaves open which secret its alias means.
    """
    aliases: dict[str, str] = {}
    unseen: list[Unseen] = []
    for entry in filter(None, nodes.text(node).strip().split(",")):
        alias, _, target = entry.strip().partition(":")
        if names.SECRET.fullmatch(alias) and names.SECRET_PATH.fullmatch(target):
            aliases[alias] = target
        else:
            reason = "an entry is not of the form alias:projects/P/secrets/NAME"
            unseen.append(Unseen(where=f"annotation {SECRETS}", reason=reason))
    return aliases, unseen


class _PerContainer:
    """Maps containers; some of what v2 has per container stands in annotations of the revision."""

    def __init__(self, annotations: Doc, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._idle = annotations.pop("run.googleapis.com/cpu-throttling", True)
        self._boost = annotations.pop("run.googleapis.com/startup-cpu-boost", False)
        self._depends = _json(annotations, "run.googleapis.com/container-dependencies", dict) or {}
        self._bases = _json(annotations, "run.googleapis.com/base-images", dict) or {}
        self.unseen: list[Unseen] = []

    def container(self, doc: Doc, path: Path) -> Doc:
        """One container in the v2 shape."""
        name = nodes.text(doc.get("name"), *path, "name")
        passed = ("name", "image", "command", "args", "workingDir", "ports", "volumeMounts")
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        if doc.get("envFrom"):
            reason = "brings keys that the configuration does not show"
            self.unseen.append(Unseen(where=f"envFrom of container {name}".rstrip(), reason=reason))
        resources = nodes.mapping(doc.get("resources"), *path, "resources")
        return {
            **{field: doc[field] for field in (*passed, *probes) if field in doc},
            "env": [
                self._entry(nodes.mapping(e, *path, "env", i), (*path, "env", i))
                for i, e in enumerate(nodes.sequence(doc.get("env"), *path, "env"))
            ],
            "resources": {
                "limits": resources.get("limits"),
                "cpuIdle": self._idle,
                "startupCpuBoost": self._boost,
            },
            "dependsOn": self._depends.get(name),
            "baseImageUri": self._bases.get(name),
        }

    def _entry(self, entry: Doc, path: Path) -> Doc:
        source = nodes.mapping(entry.get("valueFrom"), *path, "valueFrom")
        found = {field: entry[field] for field in ("name", "value") if field in entry}
        if "secretKeyRef" in source:
            ref = nodes.mapping(source["secretKeyRef"], *path, "valueFrom", "secretKeyRef")
            return found | {"valueSource": {"secretKeyRef": _secret(ref, self._aliases)}}
        unknown = entry.keys() - {"name", "value", "valueFrom"}
        if unknown and "value" not in entry and not source:
            source = dict.fromkeys(unknown, True)  # a misspelled value: it comes from somewhere
        return found | ({"valueSource": source} if source else {})


def _secret(ref: Doc, aliases: Mapping[str, str]) -> Doc:
    name = ref.get("name")
    resolved = aliases.get(name, name) if isinstance(name, str) else name
    return {"secret": resolved} | ({"version": ref["key"]} if "key" in ref else {})


def _volume(volume: Doc, aliases: Mapping[str, str], path: Path) -> Doc:
    found: Doc = {"name": volume.get("name")}
    if "secret" in volume:
        secret = nodes.mapping(volume["secret"], *path, "secret")
        name = secret.get("secretName")
        items = nodes.sequence(secret.get("items"), *path, "secret", "items")
        return found | {
            "secret": {
                "secret": aliases.get(name, name) if isinstance(name, str) else name,
                "defaultMode": secret.get("defaultMode"),
                "items": [_item(nodes.mapping(i, *path, "secret", "items")) for i in items],
            }
        }
    if "csi" in volume:
        csi = nodes.mapping(volume["csi"], *path, "csi")
        attributes = nodes.mapping(csi.get("volumeAttributes"), *path, "csi", "volumeAttributes")
        options = nodes.text(attributes.get("mountOptions"))
        bucket = {
            "bucket": attributes.get("bucketName"),
            "readOnly": csi.get("readOnly"),
            "mountOptions": options.split(",") if options else [],
        }
        return found | {"gcs": bucket}
    return found | {kind: v for kind, v in volume.items() if kind != "name"}


def _item(item: Doc) -> Doc:
    return {"path": item.get("path"), "mode": item.get("mode")} | (
        {"version": item["key"]} if "key" in item else {}
    )


def _digests(holder: Doc, containers: list[Doc]) -> dict[str, str]:
    """Resolved image digests by container. Older exports have one for the revision alone."""
    status = nodes.mapping(holder.get("status"))
    listed = [nodes.mapping(s) for s in nodes.sequence(status.get("containerStatuses"))]
    found = {nodes.text(s.get("name")): _digest(s.get("imageDigest")) for s in listed}
    if not found and len(containers) == 1:
        found = {nodes.text(containers[0].get("name")): _digest(status.get("imageDigest"))}
    return found


def _digest(node: Node) -> str:
    return nodes.text(node).rpartition("@")[2]


def _conditions(status: Doc) -> list[Doc]:
    listed = (nodes.mapping(c) for c in nodes.sequence(status.get("conditions")))
    return [
        {
            "type": c.get("type"),
            "state": nodes.text(c.get("status")).lower(),
            "revisionReason": c.get("reason"),
        }
        for c in listed
    ]


def _service(metadata: Doc, spec: Doc, status: Doc, kind: Kind) -> Doc:
    """The service's part in the v2 shape."""
    annotations = dict(nodes.mapping(metadata.get("annotations")))
    parent: Doc = {
        "labels": metadata.get("labels"),
        "latestReadyRevision": status.get("latestReadyRevisionName"),
        "latestCreatedRevision": status.get("latestCreatedRevisionName"),
    }
    _move(annotations, parent, SERVICE_ANNOTATIONS)
    annotations.pop("run.googleapis.com/launch-stage", None)
    audiences = _json(annotations, "run.googleapis.com/custom-audiences", list)
    if audiences:
        parent["customAudiences"] = audiences
    parent["annotations"] = annotations
    asked, observed = ("traffic", "trafficStatuses")
    if kind == "worker-pool":
        asked, observed = ("instanceSplits", "instanceSplitStatuses")
    parent[asked] = [_target(t) for t in nodes.sequence(spec.get(asked))]
    parent[observed] = [_target(t) for t in nodes.sequence(status.get(asked))]
    return parent


def _target(node: Node) -> Doc:
    target = nodes.mapping(node, "traffic")
    latest = nodes.flag(target.get("latestRevision")) is True
    return {
        "type": "latest" if latest else "revision",
        "revision": target.get("revisionName"),
        "percent": target.get("percent"),
        "tag": target.get("tag"),
    }
