"""
The v1 documents of what v2 shows: services and revisions as gcloud gets them.

What was put through v1 keeps its own text; only what the server says of it is written here.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from google.protobuf.json_format import MessageToDict

from drift_audit.emulator import annotations as at
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.state import Held, Revision
from drift_audit.emulator.world import World

GROUP = "serving.knative.dev/v1"
SERVICE_LABEL = "serving.knative.dev/service"
POOL_LABEL = "run.googleapis.com/workerPool"


def service(held: Held, world: World) -> Json:
    """A service with its status."""
    shown = MessageToDict(held.message)
    own = part(held, world)
    metadata = own["metadata"]
    notes = metadata.get("annotations", {}) | {
        at.CREATOR: shown.get("creator", ""),
        at.LAST_MODIFIER: shown.get("lastModifier", ""),
        at.OPERATION: _operation(shown),
        at.URLS: json.dumps(shown.get("urls", [])),
    }
    if at.RUN + "ingress" in notes:
        notes[at.INGRESS_STATUS] = notes[at.RUN + "ingress"]
    return {
        "apiVersion": GROUP,
        "kind": "Service",
        "metadata": {
            **metadata_of(shown, "services", world),
            "generation": int(shown["generation"]),
            "labels": service_labels(held),
            "annotations": notes,
        },
        "spec": own["spec"],
        "status": _status(shown),
    }


def part(held: Held, world: World) -> Json:
    """What clients write of a service: labels, annotations and spec."""
    if held.document is not None:
        return deepcopy(held.document)
    shown = MessageToDict(held.message)
    template = template_of(shown["template"], held.revisions[0].client, world)
    if revision := shown["template"].get("revision"):
        template["metadata"]["name"] = revision
    notes = shown.get("annotations", {}) | at.notes(shown, at.SERVICE)
    traffic = [_target(t) for t in shown.get("traffic", ())]
    return {
        "metadata": {"labels": shown.get("labels", {}), "annotations": notes},
        "spec": {"template": template, "traffic": traffic},
    }


def revision(one: Revision, held: Held, world: World) -> Json:
    """A revision with its status."""
    shown = MessageToDict(one.message)
    template = deepcopy(one.document) if one.document else template_of(shown, one.client, world)
    metadata = template["metadata"]
    notes = metadata.get("annotations", {}) | {at.OPERATION: _operation(shown)}
    if shown.get("creator"):
        notes[at.CREATOR] = shown["creator"]
    digests = [_digest(c) for c in template["spec"]["containers"]]
    return {
        "apiVersion": GROUP,
        "kind": "Revision",
        "metadata": {
            **metadata_of(shown, "revisions", world),
            "generation": 1,
            "labels": revision_labels(one, held),
            "annotations": notes,
        },
        "spec": template["spec"],
        "status": {
            "observedGeneration": 1,
            "conditions": [_condition(c) for c in shown.get("conditions", ())],
            "imageDigest": digests[0]["imageDigest"],
            "containerStatuses": digests,
        },
    }


def metadata_of(shown: Json, plural: str, world: World, group: str = GROUP) -> Json:
    """What the server says of a document: its name, its number, its version."""
    _, project, _, _, _, *_, short = shown["name"].split("/")
    namespace = world.number(project)  # the number, though clients ask by id
    return {
        "name": short,
        "namespace": namespace,
        "selfLink": f"/apis/{group}/namespaces/{namespace}/{plural}/{short}",
        "uid": shown["uid"],
        "resourceVersion": shown["etag"],
        "creationTimestamp": shown["createTime"],
    }


def _operation(shown: Json) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, shown["etag"]))


def service_labels(held: Held) -> dict[str, str]:
    """The labels of a service."""
    own = held.document["metadata"].get("labels", {}) if held.document else held.message.labels
    return {**own, at.LOCATION: held.message.name.split("/")[3]}


def revision_labels(one: Revision, held: Held) -> dict[str, str]:
    """The labels of a revision: its own, and those that say what it belongs to."""
    own = one.document["metadata"].get("labels", {}) if one.document else one.message.labels
    pool = "/workerPools/" in one.message.name
    return {
        **own,
        (POOL_LABEL if pool else SERVICE_LABEL): held.short,
        "serving.knative.dev/configuration": held.short,
        "serving.knative.dev/configurationGeneration": str(one.generation),
        "serving.knative.dev/serviceUid": held.message.uid,
        at.LOCATION: one.message.name.split("/")[3],
    }


def _digest(container: Json) -> Json:
    """The image as it was resolved; a tag resolves to a digest of its own, always the same."""
    image, _, digest = container.get("image", "").partition("@")
    digest = digest or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    name = {"name": container["name"]} if container.get("name") else {}
    return name | {"imageDigest": f"{image}@{digest}"}


def _condition(condition: Json) -> Json:
    states = {"CONDITION_SUCCEEDED": "True", "CONDITION_FAILED": "False"}
    found = {
        "type": condition["type"],
        "status": states.get(condition.get("state", ""), "Unknown"),
    }
    reason = condition.get("revisionReason")
    return found | ({"reason": reason.title().replace("_", "")} if reason else {})


def _status(shown: Json) -> Json:
    url = next(iter(shown.get("urls", ())), "")
    ready = _condition(shown["terminalCondition"])
    kinds = ("Ready", "ConfigurationsReady", "RoutesReady")
    latest = shown["latestReadyRevision"].rpartition("/")[2]
    traffic = []
    for target in shown.get("traffic", ()):
        found = _target(target) | {"revisionName": target.get("revision") or latest}
        if target.get("tag"):
            found["url"] = url.replace("https://", f"https://{target['tag']}---")
        traffic.append(found)
    return {
        "observedGeneration": int(shown["observedGeneration"]),
        "conditions": [ready | {"type": kind} for kind in kinds],
        "latestReadyRevisionName": latest,
        "latestCreatedRevisionName": shown["latestCreatedRevision"].rpartition("/")[2],
        "traffic": traffic,
        "url": url,
        "address": {"url": url},
    }


def _target(target: Json) -> Json:
    found: Json = {"percent": target["percent"]} if target.get("percent") else {}
    if target.get("tag"):
        found["tag"] = target["tag"]
    if target.get("revision"):
        return found | {"revisionName": target["revision"]}
    return found | {"latestRevision": True}


def template_of(shown: Mapping[str, Any], client: str, world: World) -> Json:
    """The template that a revision was made of, from what v2 shows of either."""
    shown = deepcopy(dict(shown))
    notes = shown.get("annotations", {}) | at.notes(shown, at.REVISION)
    claimed, _, version = client.partition(" ")
    told = {at.CLIENT: claimed, at.CLIENT_VERSION: version}
    notes |= {name: value for name, value in told.items() if value}
    containers, volumes = shown["containers"], shown.get("volumes", [])
    if instances := _detached(containers, volumes):
        notes[at.CLOUD_SQL] = ",".join(instances)
    notes |= _per_container(containers)
    aliases = _Aliases(world)
    spec: Json = {
        "containerConcurrency": shown.get("maxInstanceRequestConcurrency"),
        "timeoutSeconds": _seconds(shown.get("timeout")),
        "serviceAccountName": shown.get("serviceAccount"),
        "containers": [_container(c, aliases) for c in containers],
        "volumes": [_volume(v, aliases) for v in volumes],
    }
    if accelerator := shown.get("nodeSelector", {}).get("accelerator"):
        spec["nodeSelector"] = {at.RUN + "accelerator": accelerator}
    if aliases.known:
        notes[at.SECRETS] = ",".join(f"{alias}:{name}" for name, alias in aliases.known.items())
    return {
        "metadata": {"labels": shown.get("labels", {}), "annotations": notes},
        "spec": {name: value for name, value in spec.items() if value},
    }


def _seconds(duration: str | None) -> int | None:
    return int(float(duration.removesuffix("s"))) if duration else None


def _detached(containers: list[Json], volumes: list[Json]) -> list[str]:
    """Take the volumes of Cloud SQL out, which v1 has in an annotation; gives their instances."""
    attached = {v["name"]: v["cloudSqlInstance"] for v in volumes if "cloudSqlInstance" in v}
    volumes[:] = [v for v in volumes if v["name"] not in attached]
    for container in containers:
        mounts = [m for m in container.get("volumeMounts", ()) if m["name"] not in attached]
        container["volumeMounts"] = mounts
    return [one for source in attached.values() for one in source["instances"]]


def _per_container(containers: list[Json]) -> dict[str, str]:
    """The annotations of a revision that stand for what v2 has in containers, taken out of them."""
    found = {}
    main = next((c for c in containers if c.get("ports")), containers[0])
    if not main.get("resources", {}).get("cpuIdle"):
        found[at.CPU_THROTTLING] = "false"
    if main.get("resources", {}).get("startupCpuBoost"):
        found[at.STARTUP_BOOST] = "true"
    for name, field in at.PER_CONTAINER.items():
        told = {c.get("name", ""): c.pop(field) for c in containers if field in c}
        if field == "sourceCode":
            told = {k: _source(v["cloudStorageSource"]) for k, v in told.items()}
        if told:
            found[name] = json.dumps(told, separators=(",", ":"))
    return found


def _source(code: Json) -> str:
    return f"gs://{code['bucket']}/{code['object']}#{code['generation']}"


class _Aliases:
    """Names v1 uses for secrets: their own in the same project, made-up ones for others (§2.5)."""

    def __init__(self, world: World) -> None:
        self.known: dict[str, str] = {}
        self._world = world

    def of(self, secret: str) -> str:
        if not secret.startswith("projects/"):
            return secret
        _, project, _, name = secret.split("/")
        full = f"projects/{self._world.number(project)}/secrets/{name}"
        alias = f"{name[:5]}-{uuid.uuid5(uuid.NAMESPACE_URL, full)}"
        return self.known.setdefault(full, alias)


def _container(container: Json, aliases: _Aliases) -> Json:
    found = {k: v for k, v in container.items() if k not in ("env", "resources") and v}
    limits = container.get("resources", {}).get("limits")
    env = [_entry(entry, aliases) for entry in container.get("env", ())]
    return (
        found
        | ({"env": env} if env else {})
        | ({"resources": {"limits": limits}} if limits else {})
    )


def _entry(entry: Json, aliases: _Aliases) -> Json:
    if "valueSource" not in entry:
        return entry
    ref = entry["valueSource"]["secretKeyRef"]
    source = {"name": aliases.of(ref["secret"]), "key": ref.get("version", "latest")}
    return {"name": entry["name"], "valueFrom": {"secretKeyRef": source}}


def _volume(volume: Json, aliases: _Aliases) -> Json:
    found: Json = {"name": volume["name"]}
    if secret := volume.get("secret"):
        items = [_item(i) for i in secret.get("items", ())]
        told = {"secretName": aliases.of(secret["secret"]), "items": items}
        mode = {"defaultMode": secret["defaultMode"]} if "defaultMode" in secret else {}
        return found | {"secret": told | mode}
    if gcs := volume.get("gcs"):
        attributes = {"bucketName": gcs["bucket"]}
        if gcs.get("mountOptions"):
            attributes["mountOptions"] = ",".join(gcs["mountOptions"])
        csi = {"driver": "gcsfuse.run.googleapis.com", "volumeAttributes": attributes}
        return found | {"csi": csi | ({"readOnly": True} if gcs.get("readOnly") else {})}
    if "emptyDir" in volume:
        medium = {"medium": "Memory"} if volume["emptyDir"].get("medium") else {}
        return found | {"emptyDir": volume["emptyDir"] | medium}
    return volume


def _item(item: Json) -> Json:
    found = {"key": item.get("version", "latest"), "path": item["path"]}
    return found | ({"mode": item["mode"]} if "mode" in item else {})
