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
from drift_audit.collector.settings import noisy
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
    one = Object(doc, path)
    kind, group = one.text("kind"), one.text("apiVersion").partition("/")[0]
    if kind not in KINDS or group not in ("serving.knative.dev", "run.googleapis.com"):
        hint = "Service, Revision and WorkerPool are read"
        reason = f"{in_words(kind, group)}, not of Cloud Run"
        raise Refused("wrong-kind", reason, path=path, hint=hint)
    return _revision(one) if kind == "Revision" else _parent(one, KINDS[kind])


def _revision(one: Object) -> Resource:
    metadata = one.inside("metadata")
    labels = annotation.texts(metadata, "labels")
    pool = labels.get("run.googleapis.com/workerPool")
    service = nodes.text(labels.get("serving.knative.dev/service") or pool)
    if not service:
        reason = "a revision that does not name its service"
        raise Refused("missing-name", reason, path=metadata.path)
    identity = _identity(metadata, service, "worker-pool" if pool else "service")
    template, beside = _template(one, list(fields.survey(one.doc, fields.V1_REVISION)))
    return Resource(
        identity=identity.but(
            revision=metadata.text("name"),
            uid=metadata.text("uid"),
            create_time=metadata.instant("creationTimestamp"),
            generation=_generation(labels.get("serving.knative.dev/configurationGeneration")),
            **_maker(metadata),
        ),
        template=template,
        beside=replace(beside, home=metadata.path),
        conditions=_conditions(one.inside("status")),
    )


def _parent(one: Object, kind: Kind) -> Resource:
    metadata, status = one.inside("metadata"), one.inside("status")
    holder = one.inside("spec").inside("template")
    inner = holder.inside("metadata")
    name = metadata.text("name")
    if not name:
        raise Refused("missing-name", "a service without a name", path=metadata.path)
    inside, mine = fields.parted(one.doc, fields.V1_SERVICE, ("spec", "template"))
    template, beside = _template(holder, inside)
    parent = _service(one, kind)
    parent.setdefault("healthCheckDisabled", template["healthCheckDisabled"])
    revision = inner.text("name")
    if names.is_placeholder(revision):
        template["revision"], revision = revision, ""
    ignored = [*beside.ignored, *(u.name for u in mine if u.noise), *noisy(metadata.doc)]
    known = _identity(metadata, name, kind)
    number = known.project_number or number_in_url(name, annotation.urls(metadata, status))
    return Resource(
        identity=known.but(
            project_number=number,
            revision=revision or status.text("latestCreatedRevisionName"),
            generation=_generation(metadata.doc.get("generation")),
            **_maker(inner),
        ),
        template=template,
        beside=replace(beside, home=metadata.path, ignored=ignored),
        parent=parent,
        parent_path=one.path,
        parent_unknown=tuple(u for u in mine if not u.noise),
    )


def _identity(metadata: Object, service: str, kind: Kind) -> Identity:
    namespace = metadata.text("namespace")
    return Identity(
        project=namespace or UNKNOWN,
        project_number=namespace if namespace.isdecimal() else "",
        region=metadata.inside("labels").text(LOCATION) or UNKNOWN,
        kind=kind,
        service=service,
    )


def _generation(node: Node) -> int | None:
    number = nodes.number(node)
    return number if isinstance(number, int) else None


def _maker(metadata: Object) -> dict[str, str]:
    """Who made a revision, and what the tool claimed to be."""
    told = metadata.inside("annotations")
    return {
        "creator": told.text(annotation.CREATOR),
        "client": told.text(annotation.CLIENT),
        "client_version": told.text(annotation.CLIENT_VERSION),
    }


def _template(holder: Object, unread: Sequence[Unread]) -> tuple[Doc, Beside]:
    """
    The revision's part in the v2 shape, from a Revision or from a Service's template.

    Unknown fields are named as v2 would: what stands in `spec` has no prefix, so that a Revision
    and the template it came from call them alike.
    """
    metadata, spec = holder.inside("metadata"), holder.inside("spec")
    notes = annotation.texts(metadata, "annotations")
    template = _of_revision(spec, notes) | {"labels": annotation.texts(metadata, "labels")}
    aliases, unseen = annotation.aliases(notes.pop(annotation.SECRETS, None))
    per_container = _PerContainer(notes, aliases)
    template["containers"] = [per_container.container(c) for c in spec.objects("containers")]
    per_container.close(notes)
    template["volumes"] = [_volume(v, aliases) for v in spec.objects("volumes")]
    _attach(annotation.take_list(notes, annotation.CLOUD_SQL), template, spec.path)
    template["annotations"] = notes
    return template, Beside(
        root=spec.path,
        digests=_digests(holder.inside("status"), template["containers"]),
        unknown=[
            u._replace(path=u.path[1:]) if u.path[0] == "spec" else u for u in unread if not u.noise
        ],
        ignored=[u.name for u in unread if u.noise],
        unseen=[*unseen, *per_container.unseen],
    )


def _of_revision(spec: Object, notes: Doc) -> Doc:
    """What concerns the revision as a whole; what annotations say of it is taken out of them."""
    template: Doc = {
        "timeout": spec.doc.get("timeoutSeconds"),
        "serviceAccount": spec.doc.get("serviceAccountName"),
        "maxInstanceRequestConcurrency": spec.doc.get("containerConcurrency"),
        "healthCheckDisabled": None,
    }
    annotation.move(notes, template, annotation.REVISION)
    hours = nodes.number(notes.pop("run.googleapis.com/encryption-key-shutdown-hours", None))
    template["encryptionKeyShutdownDuration"] = hours * 3600 if isinstance(hours, int) else hours
    interfaces = annotation.take_json(notes, "run.googleapis.com/network-interfaces", list)
    if interfaces:
        template.setdefault("vpcAccess", {})["networkInterfaces"] = interfaces
    selector = spec.inside("nodeSelector").doc
    template["nodeSelector"] = {"accelerator": selector.get("run.googleapis.com/accelerator")}
    return template


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

    def container(self, one: Object) -> Doc:
        """One container in the v2 shape."""
        name = one.text("name")
        passed = ("name", "image", "command", "args", "workingDir", "ports", "volumeMounts")
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        if one.doc.get("envFrom"):
            reason = "brings keys that the configuration does not show"
            self.unseen.append(Unseen(where=f"envFrom of container {name}".rstrip(), reason=reason))
        return {
            **{field: one.doc[field] for field in (*passed, *probes) if field in one.doc},
            "env": [self._entry(entry) for entry in one.objects("env")],
            "resources": {
                "limits": one.inside("resources").doc.get("limits"),
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

    def _entry(self, one: Object) -> Doc:
        entry, source = one.doc, one.inside("valueFrom")
        found: Doc = {field: entry[field] for field in ("name", "value") if field in entry}
        if "secretKeyRef" in source.doc:
            if any(source.doc.get(kind) for kind in OTHER_SOURCES):
                reason = "a key that comes from several places"
                raise Refused("value-and-reference", reason, path=source.path)
            ref = source.inside("secretKeyRef").doc
            return found | {"valueSource": {"secretKeyRef": _secret(ref, self._aliases)}}
        unknown = entry.keys() - {"name", "value", "valueFrom"}
        if unknown and "value" not in entry and not source.doc:
            # a misspelled value: it comes from somewhere
            return found | {"valueSource": dict.fromkeys(unknown, True)}
        return found | ({"valueSource": source.doc} if source.doc else {})


OTHER_SOURCES = ("configMapKeyRef", "fieldRef", "resourceFieldRef")
"""What Kubernetes has besides; of all of them a key may name one (`core/v1 EnvVarSource`)."""


def _secret(ref: Mapping[str, Any], aliases: Mapping[str, str]) -> Doc:
    version = {"version": ref["key"]} if "key" in ref else {}
    return {"secret": _meant(ref.get("name"), aliases)} | version


def _meant(name: Node, aliases: Mapping[str, str]) -> Node:
    """The secret that a name stands for."""
    return aliases.get(name, name) if isinstance(name, str) else name


GCSFUSE = "gcsfuse.run.googleapis.com"


def _volume(one: Object, aliases: Mapping[str, str]) -> Doc:
    found: Doc = {"name": one.doc.get("name")}
    if "secret" in one.doc:
        secret = one.inside("secret")
        return found | {
            "secret": {
                "secret": _meant(secret.doc.get("secretName"), aliases),
                "defaultMode": secret.doc.get("defaultMode"),
                "items": [_item(item.doc) for item in secret.objects("items")],
            }
        }
    csi = one.inside("csi")
    if csi.doc.get("driver") == GCSFUSE:
        attributes = csi.inside("volumeAttributes")
        options = attributes.text("mountOptions")
        bucket = {
            "bucket": attributes.doc.get("bucketName"),
            "readOnly": csi.doc.get("readOnly"),
            "mountOptions": options.split(",") if options else [],
        }
        return found | {"gcs": bucket}
    return found | {kind: v for kind, v in one.doc.items() if kind != "name"}


def _item(item: Mapping[str, Any]) -> Doc:
    version = {"version": item["key"]} if "key" in item else {}
    return {"path": item.get("path"), "mode": item.get("mode")} | version


def _digests(status: Object, containers: list[Doc]) -> dict[str, str]:
    """Resolved image digests by container. Older exports have one for the revision alone."""
    found = {one.text("name"): _digest(one) for one in status.objects("containerStatuses")}
    if not found and len(containers) == 1:
        found = {nodes.text(containers[0].get("name")): _digest(status)}
    return found


def _digest(holder: Object) -> str:
    return holder.text("imageDigest").rpartition("@")[2]


def _conditions(status: Object) -> list[Doc]:
    return [
        {
            "type": one.doc.get("type"),
            "state": one.text("status").lower(),
            "revisionReason": one.doc.get("reason"),
        }
        for one in status.objects("conditions")
    ]


def _service(one: Object, kind: Kind) -> Doc:
    """The service's part in the v2 shape."""
    metadata, spec, status = (one.inside(part) for part in ("metadata", "spec", "status"))
    notes = annotation.texts(metadata, "annotations")
    labels = annotation.texts(metadata, "labels")
    parent: Doc = {
        "latestReadyRevision": status.doc.get("latestReadyRevisionName"),
        "latestCreatedRevision": status.doc.get("latestCreatedRevisionName"),
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
    parent[asked] = [_target(target.doc) for target in spec.objects(asked)]
    parent[observed] = [_target(target.doc) for target in status.objects(asked)]
    return parent


def _target(target: Mapping[str, Any]) -> Doc:
    latest = nodes.flag(target.get("latestRevision")) is True
    return {
        "type": "latest" if latest else "revision",
        "revision": target.get("revisionName"),
        "percent": target.get("percent"),
        "tag": target.get("tag"),
    }
