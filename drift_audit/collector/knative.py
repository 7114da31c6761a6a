"""
v1 Knative, the form that gcloud prints and people write, mapped onto the v2 shape.

The table behind it is `cloud-run-api.md` §2. Values pass through as they are: what they mean is
decided by the normaliser alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from drift_audit import names
from drift_audit.collector import annotation, fields, nodes
from drift_audit.collector.fields import Unread
from drift_audit.collector.kinds import in_words
from drift_audit.collector.nodes import Object
from drift_audit.collector.normalise import Beside
from drift_audit.collector.resources import Resource, number_in_url
from drift_audit.collector.volumes import CLOUD_SQL
from drift_audit.snapshot import UNKNOWN, Identity, Kind, Unseen
from drift_audit.strict import Node, Path, Refused

Doc = dict[str, Any]

KINDS: dict[str, Kind] = {"Service": "service", "Revision": "service", "WorkerPool": "worker-pool"}

LOCATION = "cloud.googleapis.com/location"


def is_knative(doc: Node) -> bool:
    """Tell whether a document claims to be a Kubernetes-style resource."""
    return isinstance(doc, dict) and "kind" in doc and "apiVersion" in doc


def resource(doc: Doc, path: Path = ()) -> Resource:
    """Map one Service, Revision or WorkerPool. Raises Refused for anything else."""
    kind = nodes.text(doc.get("kind"), *path, "kind")
    group = nodes.text(doc.get("apiVersion"), *path, "apiVersion").partition("/")[0]
    if kind not in KINDS or group not in ("serving.knative.dev", "run.googleapis.com"):
        hint = "Service, Revision and WorkerPool are read"
        reason = f"{in_words(kind, group)}, not of Cloud Run"
        raise Refused("wrong-kind", reason, path=path, hint=hint)
    return _revision(doc, path) if kind == "Revision" else _parent(doc, KINDS[kind], path)


def _revision(doc: Doc, path: Path) -> Resource:
    metadata = nodes.mapping(doc.get("metadata"), *path, "metadata")
    labels = annotation.texts(metadata, "labels", (*path, "metadata"))
    status = nodes.mapping(doc.get("status"), *path, "status")
    pool = labels.get("run.googleapis.com/workerPool")
    service = nodes.text(labels.get("serving.knative.dev/service") or pool)
    if not service:
        reason = "a revision that does not name its service"
        raise Refused("missing-name", reason, path=(*path, "metadata"))
    kind: Kind = "worker-pool" if pool else "service"
    identity = _identity(metadata, service, kind, path)
    unread = list(fields.survey(doc, fields.V1_REVISION))
    template, beside = _template(doc, path, unread)
    created = metadata.get("creationTimestamp")
    return Resource(
        identity=identity.but(
            revision=nodes.text(metadata.get("name"), *path, "metadata", "name"),
            uid=nodes.text(metadata.get("uid"), *path, "metadata", "uid"),
            create_time=nodes.instant(created, *path, "metadata", "creationTimestamp"),
            generation=_generation(labels.get("serving.knative.dev/configurationGeneration")),
            **_maker(metadata),
        ),
        template=template,
        beside=replace(beside, home=(*path, "metadata")),
        conditions=_conditions(status, (*path, "status", "conditions")),
    )


def _parent(doc: Doc, kind: Kind, path: Path) -> Resource:
    metadata = nodes.mapping(doc.get("metadata"), *path, "metadata")
    spec = nodes.mapping(doc.get("spec"), *path, "spec")
    status = nodes.mapping(doc.get("status"), *path, "status")
    where = (*path, "spec", "template")
    template_doc = nodes.mapping(spec.get("template"), *where)
    inner = nodes.mapping(template_doc.get("metadata"), *where, "metadata")
    name = nodes.text(metadata.get("name"), *path, "metadata", "name")
    if not name:
        raise Refused("missing-name", "a service without a name", path=(*path, "metadata"))
    inside, mine = fields.parted(doc, fields.V1_SERVICE, ("spec", "template"))
    template, beside = _template(template_doc, where, inside)
    parent = _service(doc, kind, path)
    parent.setdefault("healthCheckDisabled", template["healthCheckDisabled"])
    revision = nodes.text(inner.get("name"), *where, "metadata", "name")
    if names.is_placeholder(revision):
        template["revision"], revision = revision, ""
    ignored = [*beside.ignored, *(u.name for u in mine if u.noise), *_noise(metadata)]
    known = _identity(metadata, name, kind, path)
    number = known.project_number or number_in_url(name, annotation.urls(metadata, status))
    return Resource(
        identity=known.but(
            project_number=number,
            revision=revision or nodes.text(status.get("latestCreatedRevisionName")),
            generation=_generation(metadata.get("generation")),
            **_maker(inner),
        ),
        template=template,
        beside=replace(beside, home=(*path, "metadata"), ignored=ignored),
        parent=parent,
        parent_path=path,
        parent_unknown=tuple(u for u in mine if not u.noise),
    )


def _identity(metadata: Doc, service: str, kind: Kind, path: Path) -> Identity:
    namespace = nodes.text(metadata.get("namespace"), *path, "metadata", "namespace")
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
    told = nodes.mapping(metadata.get("annotations"))
    return {
        "creator": nodes.text(told.get(annotation.CREATOR)),
        "client": nodes.text(told.get(annotation.CLIENT)),
        "client_version": nodes.text(told.get(annotation.CLIENT_VERSION)),
    }


def _template(holder: Doc, path: Path, unread: Sequence[Unread]) -> tuple[Doc, Beside]:
    """
    The revision's part in the v2 shape, from a Revision or from a Service's template.

    Unknown fields are named as v2 would: what stands in `spec` has no prefix, so that a Revision
    and the template it came from call them alike.
    """
    metadata = nodes.mapping(holder.get("metadata"), *path, "metadata")
    spec = nodes.mapping(holder.get("spec"), *path, "spec")
    where = (*path, "spec")
    notes = annotation.texts(metadata, "annotations", (*path, "metadata"))
    template: Doc = {
        "labels": annotation.texts(metadata, "labels", (*path, "metadata")),
        "timeout": spec.get("timeoutSeconds"),
        "serviceAccount": spec.get("serviceAccountName"),
        "maxInstanceRequestConcurrency": spec.get("containerConcurrency"),
        "healthCheckDisabled": None,
    }
    annotation.move(notes, template, annotation.REVISION)
    hours = nodes.number(notes.pop("run.googleapis.com/encryption-key-shutdown-hours", None))
    template["encryptionKeyShutdownDuration"] = hours * 3600 if isinstance(hours, int) else hours
    interfaces = annotation.take_json(notes, "run.googleapis.com/network-interfaces", list)
    if interfaces:
        template.setdefault("vpcAccess", {})["networkInterfaces"] = interfaces
    selector = nodes.mapping(spec.get("nodeSelector"), *where, "nodeSelector")
    template["nodeSelector"] = {"accelerator": selector.get("run.googleapis.com/accelerator")}
    aliases, unseen = annotation.aliases(notes.pop(annotation.SECRETS, None))
    per_container = _PerContainer(notes, aliases)
    listed = nodes.sequence(spec.get("containers"), *where, "containers")
    template["containers"] = [
        per_container.container(
            nodes.mapping(c, *where, "containers", i), (*where, "containers", i)
        )
        for i, c in enumerate(listed)
    ]
    per_container.close(notes)
    template["volumes"] = [
        _volume(nodes.mapping(v, *where, "volumes", i), aliases, (*where, "volumes", i))
        for i, v in enumerate(nodes.sequence(spec.get("volumes"), *where, "volumes"))
    ]
    _attach(annotation.take_list(notes, annotation.CLOUD_SQL), template, where)
    template["annotations"] = notes
    return template, Beside(
        root=where,
        digests=_digests(holder, template["containers"], (*path, "status")),
        unknown=[
            u._replace(path=u.path[1:]) if u.path[0] == "spec" else u for u in unread if not u.noise
        ],
        ignored=[u.name for u in unread if u.noise],
        unseen=[*unseen, *per_container.unseen],
    )


def _attach(instances: Sequence[str], template: Doc, where: Path) -> None:
    """
    Mount Cloud SQL as v2 spells it: v1 has an annotation, and Cloud Run mounts it itself (§2.3).
    """
    containers = template["containers"]
    if not instances or not containers:
        return
    main = next((c for c in containers if c.get("ports")), containers[0])
    mounted = nodes.sequence(main.get("volumeMounts"), *where, "containers", "volumeMounts")
    name = annotation.CLOUD_SQL  # no volume can be called so
    main["volumeMounts"] = [*mounted, {"name": name, "mountPath": CLOUD_SQL}]
    template["volumes"].append({"name": name, "cloudSqlInstance": {"instances": instances}})


def _noise(metadata: Doc) -> list[str]:
    """System annotations and labels of the service, which stand beside those of its template."""
    found = [*nodes.mapping(metadata.get("annotations")), *nodes.mapping(metadata.get("labels"))]
    return [name for name in found if name in fields.NOISY_NAMES]


_MAPS: dict[str, tuple[str, Callable[[Node], Node]]] = {
    "run.googleapis.com/container-dependencies": ("dependsOn", lambda node: node),
    "run.googleapis.com/base-images": ("baseImageUri", lambda node: node),
    "run.googleapis.com/sources": ("sourceCode", annotation.source_code),
}
"""Annotations that hold a JSON map of containers, the v2 field, and how a value is read."""


class _PerContainer:
    """Maps containers; some of what v2 has per container stands in annotations of the revision."""

    def __init__(self, notes: Doc, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        idle = notes.pop("run.googleapis.com/cpu-throttling", None)
        self._idle = True if idle in (None, "") else idle
        self._boost = notes.pop("run.googleapis.com/startup-cpu-boost", False)
        self._maps = {name: annotation.take_json(notes, name, dict) or {} for name in _MAPS}
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
            **self._mapped(name),
        }

    def _mapped(self, name: str) -> Doc:
        """What annotations that map containers say of one; it is taken out of them."""
        found: Doc = {}
        for name_of_map, (field, shape) in _MAPS.items():
            entries = self._maps[name_of_map]
            shaped = shape(entries.get(name))
            if shaped is not None:
                found[field] = shaped
                del entries[name]
        return found

    def close(self, notes: Doc) -> None:
        """Put back what was said of no container that is there: it stays an annotation."""
        for name, left in self._maps.items():
            if left:
                notes[name] = json.dumps(left, sort_keys=True)

    def _entry(self, entry: Doc, path: Path) -> Doc:
        source = nodes.mapping(entry.get("valueFrom"), *path, "valueFrom")
        found: Doc = {field: entry[field] for field in ("name", "value") if field in entry}
        if "secretKeyRef" in source:
            if any(source.get(kind) for kind in OTHER_SOURCES):
                reason = "a key that comes from several places"
                raise Refused("value-and-reference", reason, path=(*path, "valueFrom"))
            ref = nodes.mapping(source["secretKeyRef"], *path, "valueFrom", "secretKeyRef")
            return found | {"valueSource": {"secretKeyRef": _secret(ref, self._aliases)}}
        unknown = entry.keys() - {"name", "value", "valueFrom"}
        if unknown and "value" not in entry and not source:
            source = dict.fromkeys(unknown, True)  # a misspelled value: it comes from somewhere
        return found | ({"valueSource": source} if source else {})


OTHER_SOURCES = ("configMapKeyRef", "fieldRef", "resourceFieldRef")
"""What Kubernetes has besides; of all of them a key may name one (`core/v1 EnvVarSource`)."""


def _secret(ref: Doc, aliases: Mapping[str, str]) -> Doc:
    name = ref.get("name")
    resolved = aliases.get(name, name) if isinstance(name, str) else name
    return {"secret": resolved} | ({"version": ref["key"]} if "key" in ref else {})


GCSFUSE = "gcsfuse.run.googleapis.com"


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
    csi = nodes.mapping(volume.get("csi"), *path, "csi")
    if csi.get("driver") == GCSFUSE:
        attributes = nodes.mapping(csi.get("volumeAttributes"), *path, "csi", "volumeAttributes")
        options = nodes.text(attributes.get("mountOptions"), *path, "csi", "volumeAttributes")
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


def _digests(holder: Doc, containers: list[Doc], path: Path) -> dict[str, str]:
    """Resolved image digests by container. Older exports have one for the revision alone."""
    status = Object(nodes.mapping(holder.get("status"), *path), path)
    listed = status.objects("containerStatuses")
    found = {one.text("name"): _digest(one) for one in listed}
    if not found and len(containers) == 1:
        found = {nodes.text(containers[0].get("name")): _digest(status)}
    return found


def _digest(holder: Object) -> str:
    return holder.text("imageDigest").rpartition("@")[2]


def _conditions(status: Doc, path: Path) -> list[Doc]:
    listed = nodes.sequence(status.get("conditions"), *path)
    return [
        {
            "type": c.get("type"),
            "state": nodes.text(c.get("status"), *path).lower(),
            "revisionReason": c.get("reason"),
        }
        for c in (nodes.mapping(item, *path, i) for i, item in enumerate(listed))
    ]


def _service(doc: Doc, kind: Kind, path: Path) -> Doc:
    """The service's part in the v2 shape."""
    metadata, spec, status = (nodes.mapping(doc.get(k)) for k in ("metadata", "spec", "status"))
    notes = annotation.texts(metadata, "annotations", (*path, "metadata"))
    labels = annotation.texts(metadata, "labels", (*path, "metadata"))
    parent: Doc = {
        "latestReadyRevision": status.get("latestReadyRevisionName"),
        "latestCreatedRevision": status.get("latestCreatedRevisionName"),
        "multiRegionSettings": {
            "regions": annotation.take_list(notes, annotation.REGIONS),
            "multiRegionId": labels.pop(annotation.MULTI_REGION, None),
        },
    }
    annotation.move(notes, parent, annotation.SERVICE)
    build = annotation.take_json(notes, "run.googleapis.com/build-environment-variables", dict)
    if build:
        parent.setdefault("buildConfig", {})["environmentVariables"] = build
    audiences = annotation.take_json(notes, "run.googleapis.com/custom-audiences", list)
    if audiences:
        parent["customAudiences"] = audiences
    parent |= {"labels": labels, "annotations": notes}
    asked, observed = ("traffic", "trafficStatuses")
    if kind == "worker-pool":
        asked, observed = ("instanceSplits", "instanceSplitStatuses")
    else:
        parent["ingress"] = parent.get("ingress") or "all"
    parent[asked] = _targets(spec.get(asked), (*path, "spec", asked))
    parent[observed] = _targets(status.get(asked), (*path, "status", asked))
    return parent


def _targets(node: Node, path: Path) -> list[Doc]:
    listed = nodes.sequence(node, *path)
    return [_target(nodes.mapping(t, *path, i)) for i, t in enumerate(listed)]


def _target(target: Doc) -> Doc:
    latest = nodes.flag(target.get("latestRevision")) is True
    return {
        "type": "latest" if latest else "revision",
        "revision": target.get("revisionName"),
        "percent": target.get("percent"),
        "tag": target.get("tag"),
    }
