"""
The v2 form of what is put through v1: the template of a service, and the service itself.

Every field of `cloud-run-api.md` §2 is carried over; what v2 has no field for stays in v1 alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from drift_audit.emulator import annotations as at
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.status import invalid
from drift_audit.emulator.v2 import SCALE
from drift_audit.emulator.world import World


def service(document: Json) -> Json:
    """What v2 shows of a service besides its template: labels, annotations, fields, traffic."""
    metadata = document.get("metadata") or {}
    notes = metadata.get("annotations") or {}
    targets = document["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
    return {
        "labels": at.of_users(metadata.get("labels") or {}),
        "annotations": at.of_users(notes),
        "ingress": "INGRESS_TRAFFIC_ALL",
        **at.fields(notes, at.SERVICE),
        "traffic": [_target(t) for t in targets],
    }


def _target(target: Json) -> Json:
    found = {name: target[name] for name in ("percent", "tag") if target.get(name)}
    if target.get("revisionName"):
        return found | {"type": SCALE + "REVISION", "revision": target["revisionName"]}
    return found | {"type": SCALE + "LATEST"}


def client(template: Json) -> str:
    """Name and version of the client that a template claims to be of."""
    notes = (template.get("metadata") or {}).get("annotations") or {}
    return f"{notes.get(at.CLIENT, '')} {notes.get(at.CLIENT_VERSION, '')}".strip()


def template(document: Json, world: World) -> Json:
    """What v2 shows of a template. Raises Refusal for what no template can be."""
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    notes = metadata.get("annotations") or {}
    if not spec.get("containers"):
        raise invalid("spec.template.spec.containers: must have at least one container")
    reader = _Reader(notes, world)
    found: Json = {
        "labels": at.of_users(metadata.get("labels") or {}),
        "annotations": at.of_users(notes),
        "timeout": f"{spec['timeoutSeconds']}s" if spec.get("timeoutSeconds") else None,
        "serviceAccount": spec.get("serviceAccountName"),
        "maxInstanceRequestConcurrency": spec.get("containerConcurrency"),
        **at.fields(notes, at.REVISION),
        "containers": [reader.container(c) for c in spec["containers"]],
        "volumes": [reader.volume(v) for v in spec.get("volumes") or ()],
    }
    accelerator = (spec.get("nodeSelector") or {}).get(at.RUN + "accelerator")
    if accelerator:
        found["nodeSelector"] = {"accelerator": accelerator}
    main = next((c for c in found["containers"] if c.get("ports")), found["containers"][0])
    _give_cpu(found["containers"], main, notes)
    if instances := [i.strip() for i in notes.get(at.CLOUD_SQL, "").split(",") if i.strip()]:
        mounts = main.setdefault("volumeMounts", [])
        mounts.append({"name": "cloudsql", "mountPath": "/cloudsql"})
        volume = {"name": "cloudsql", "cloudSqlInstance": {"instances": instances}}
        found["volumes"].append(volume)
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def _give_cpu(containers: list[Json], main: Json, notes: Mapping[str, str]) -> None:
    """What v1 says of the revision as a whole is, in v2, said of its containers."""
    try:
        idle = at.truth(notes.get(at.CPU_THROTTLING, "true"))
        boost = at.truth(notes.get(at.STARTUP_BOOST, "false"))
    except KeyError:
        raise invalid("an annotation of the cpu is neither true nor false") from None
    for container in containers:
        if container is main or (idle, boost) != (True, False):
            told = {"cpuIdle": idle, "startupCpuBoost": boost}
            container.setdefault("resources", {}).update(told)


_PASSED = "name image command args workingDir ports dependsOn".split()
_PROBES = "startupProbe livenessProbe readinessProbe".split()
_TIMES = "initialDelaySeconds timeoutSeconds periodSeconds failureThreshold".split()
_SOURCE = re.compile(r"gs://(?P<bucket>[^/#]+)/(?P<object>[^#]+)#(?P<generation>[0-9]+)")


class _Reader:
    """Reads containers and volumes with what the annotations of their revision say of them."""

    def __init__(self, notes: Mapping[str, str], world: World) -> None:
        self._world = world
        entries = filter(None, notes.get(at.SECRETS, "").split(","))
        pairs = (entry.strip().partition(":") for entry in entries)
        self._aliases = {alias: name for alias, _, name in pairs}
        try:
            self._maps = {
                field: json.loads(notes[name])
                for name, field in at.PER_CONTAINER.items()
                if notes.get(name)
            }
        except ValueError:
            raise invalid("an annotation that maps containers is not JSON") from None

    def container(self, document: Json) -> Json:
        """One container."""
        found = {name: deepcopy(document[name]) for name in _PASSED if document.get(name)}
        for name in _PROBES:
            if document.get(name):
                found[name] = _probe(document[name])
        for field, told in self._maps.items():
            if document.get("name", "") in told:
                found[field] = told[document.get("name", "")]
        if "sourceCode" in found and (parts := _SOURCE.fullmatch(str(found["sourceCode"]))):
            found["sourceCode"] = {"cloudStorageSource": parts.groupdict()}
        for port in found.get("ports", ()):
            port.pop("protocol", None)
        if limits := (document.get("resources") or {}).get("limits"):
            found["resources"] = {"limits": limits}
        if mounts := document.get("volumeMounts"):
            known = ("name", "mountPath", "subPath")
            found["volumeMounts"] = [{k: m[k] for k in known if k in m} for m in mounts]
        found["env"] = [self._entry(e) for e in document.get("env") or ()]
        return found

    def _entry(self, entry: Json) -> Json:
        ref = (entry.get("valueFrom") or {}).get("secretKeyRef")
        if ref is None:
            return {"name": entry["name"], "value": entry.get("value") or ""}
        source = {"secret": self._secret(ref["name"]), "version": ref.get("key") or "latest"}
        return {"name": entry["name"], "valueSource": {"secretKeyRef": source}}

    def _secret(self, name: str) -> str:
        """The secret behind a name: one of the same project, or what the name is an alias of."""
        if name not in self._aliases:
            return name
        _, project, *rest = self._aliases[name].split("/")
        return "/".join(("projects", self._world.project(project), *rest))

    def volume(self, document: Json) -> Json:
        """One volume."""
        found: Json = {"name": document["name"]}
        if secret := document.get("secret"):
            items = [
                {"path": i["path"], "version": i.get("key") or "latest"}
                | ({"mode": i["mode"]} if "mode" in i else {})
                for i in secret.get("items") or ()
            ]
            told: Json = {"secret": self._secret(secret["secretName"]), "items": items}
            mode = {"defaultMode": secret["defaultMode"]} if "defaultMode" in secret else {}
            return found | {"secret": told | mode}
        if csi := document.get("csi"):
            attributes = csi.get("volumeAttributes") or {}
            options = attributes.get("mountOptions", "")
            told = {"bucket": attributes.get("bucketName")}
            if options:
                told["mountOptions"] = options.split(",")
            return found | {"gcs": told | ({"readOnly": True} if csi.get("readOnly") else {})}
        if "emptyDir" in document:
            told = dict(document["emptyDir"] or {})
            return found | {"emptyDir": told | ({"medium": "MEMORY"} if "medium" in told else {})}
        return found | {k: v for k, v in document.items() if k == "nfs"}


def _probe(document: Json) -> Json:
    found = {name: document[name] for name in _TIMES if name in document}
    known: dict[str, tuple[str, ...]] = {
        "httpGet": ("path", "port", "httpHeaders"),
        "tcpSocket": ("port",),
        "grpc": ("port", "service"),
    }
    for kind, names in known.items():
        told: Any = document.get(kind)
        if told is not None:
            found[kind] = {name: told[name] for name in names if name in told}
    return found
