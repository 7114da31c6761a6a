"""
A world with a value of its own in every place of a configuration that can hold one, live and as files,
and the lookout that finds any of them again, in every disguise.

Values are shaped alike: what they begin and end with is theirs alone, so that one look for a few
beginnings and ends, in every encoding, finds each part of each of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from drift_audit.emulator.faults import Fault
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.state import Held, State
from drift_audit.emulator.world import read_world
from tests.canary import HASHES, PART, disguises

HEAD, TAIL = "q7zxv4wj", "k8yhm3tp"
LETTERS = "bcdfghjkmnpqrstvwxz"
UNKNOWN = 1023
"""A field number that no message has."""

_LONG = 16
"""Digits of a hash that are no accident in a page full of digests."""


@dataclass
class Planted:
    """Values by the place that they were planted in."""

    seed: int = 0
    values: dict[str, str] = field(default_factory=dict)

    def __call__(self, place: str) -> str:
        """The value of a place: a new one, where it was not asked for before."""
        chance = random.Random(f"{self.seed}/{place}")
        middle = "".join(chance.choice(LETTERS) for _ in range(10))
        return self.values.setdefault(place, f"{HEAD}{middle}{TAIL}")

    def key(self, place: str = "the sealing key") -> str:
        """A sealing key as text; what it decodes to is a value too."""
        return base64.b64encode(self(place).encode().ljust(32, b"=")).decode()


class Lookout:
    """Finds planted values, whole or in part, in every disguise that `tests.canary` knows."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._forms = {
            form: name
            for part in (HEAD, TAIL)
            for name, form in disguises(part).items()
            if not name.startswith(HASHES) and name != "crc32"
        }
        self._hashes = {
            form: (name, _digest(name, value))
            for value in self._values.values()
            for name, form in disguises(value).items()
            if name.startswith(HASHES)
        }
        crcs = "|".join(f"{zlib.crc32(v.encode()):08x}" for v in self._values.values())
        self._crc = re.compile(rf"(?<![0-9a-f])({crcs})(?![0-9a-f])".encode())
        self.encodings = len(disguises(HEAD))
        assert min(map(len, (HEAD, TAIL))) == PART

    def found(self, data: bytes) -> list[str]:
        """How values show, with the place where one was planted, as far as that can be told."""
        told = [
            f"{self._whose(data)}: {name}" for form, name in self._forms.items() if form in data
        ]
        for form, (name, whole) in self._hashes.items():
            if form in data and whole in data:
                told.append(name)
        return [*told, *(["crc32"] if self._crc.search(data) else [])]

    def _whose(self, data: bytes) -> str:
        for place, value in self._values.items():
            middle = value[len(HEAD) : -len(TAIL)]
            for name, form in disguises(middle).items():
                if not name.startswith(HASHES) and form in data:
                    return place
        return "some value"


def _digest(name: str, value: str) -> bytes:
    """So much of a hash, in the form of that name, that it stands nowhere by accident."""
    method, _, base = name.partition(" ")
    digest = hashlib.new(method, value.encode()).digest()
    return base64.b64encode(digest)[:_LONG] if base else digest.hex()[:_LONG].encode()


# Live

AT = "2026-01-0{}T08:00:00Z"
PLACE = {"project": "shop", "region": "europe-west1"}
SCOPE = ("--project=shop", "--region=europe-west1")


def world(plant: Planted) -> dict[str, Any]:
    """What the emulator is told; `furnish` adds what a world cannot say."""
    pem = f"-----BEGIN PRIVATE KEY-----\n{plant('env: PEM')}\n-----END PRIVATE KEY-----\n"
    first = {
        "name": "api-00001-a",
        "at": AT.format(1),
        "by": "one@example.com",
        "image": f"r/api@sha256:{1:064}",
        "container": "app",
        "args": [f"--token={plant('args')}", plant("args, alone")],
        "cloud_sql": ["shop:europe-west1:db"],
        "labels": {"team": plant("label of a revision")},
        "files": {"/etc/key/tls": {"secret": "jwt", "version": "1"}},
        "env": {
            "LEVEL": plant("env: LEVEL"),
            "DB_PASSWORD": plant("env: DB_PASSWORD"),
            "DATABASE_URL": f"postgres://app:{plant('env: password of a URL')}@10.0.0.5:5432/db",
            "REDIS_URL": f"redis://10.0.0.6:6379/0?password={plant('env: query of a URL')}",
            "JSON": json.dumps({"key": plant("env: JSON")}),
            "PEM": pem,
            "API_TOKEN": f"ghp_{plant('env: API_TOKEN')}",
            "SPACES": f"  {plant('env: with spaces')} ",
            "GLUED": f"'A={plant('env: glued')},B_C={plant('env: glued, second')}'",
            "JWT": {"secret": "jwt", "version": "2"},
            "LOST": plant("env: LOST"),
        },
        "sidecars": [
            {"name": "proxy", "image": "r/proxy", "env": {"P": plant("env of a sidecar")}}
        ],
    }
    second = {
        "name": "api-00002-b",
        "at": AT.format(2),
        "by": "two@example.com",
        "args": [f"--token={plant('args of the candidate')}"],
        "env": {
            "DB_PASSWORD": plant("env of the candidate"),
            "ADDED": plant("env: ADDED"),
            "JWT": plant("env: a secret that became plain"),
            "LOST": None,
        },
    }
    web = {"name": "web-00001-a", "at": AT.format(1), "image": "r/web", "env": {"W": plant("env of another service")}}  # fmt: skip
    pool = {"name": "pool-00001-a", "at": AT.format(1), "image": "r/p", "args": [plant("args of a pool")], "env": {"Q": plant("env of a pool")}}  # fmt: skip
    job = {**PLACE, "job": "nightly", "at": AT.format(1), "image": "r/n", "args": [plant("args of a job")], "env": {"J": plant("env of a job")}}  # fmt: skip
    held = {1: plant("payload of a secret"), 2: plant("payload of a second version")}
    return {
        "numbers": {"shop": "123456789012"},
        "page": 1,
        "secrets": [
            {"project": "shop", "name": "jwt", "versions": {"1": "enabled", "2": "enabled"}, "payloads": {str(n): v for n, v in held.items()}},
            {"project": "shop", "name": "seal-key", "versions": {"1": "enabled"}, "payloads": {"1": plant.key()}},
        ],
        "services": [
            {**PLACE, "service": "api", "labels": {"owner": plant("label of a service")}, "traffic": [{"to": "api-00001-a", "percent": 100}], "revisions": [first, second]},
            {**PLACE, "service": "web", "revisions": [web]},
        ],
        "worker_pools": [{**PLACE, "worker_pool": "pool", "revisions": [pool]}],
        "jobs": [job],
    }  # fmt: skip


def furnish(state: State, plant: Planted) -> None:
    """Add what the emulator's own world cannot say, to the messages that it answers with."""
    for name, held in [*state.services.items(), *state.pools.items(), *state.jobs.items()]:
        kind = name.split("/")[-2]
        known = {"services": state.services, "workerPools": state.pools, "jobs": state.jobs}[kind]
        if not name.endswith("/web"):
            known[name] = _furnished(held, kind, plant)


def _furnished(held: Held, kind: str, plant: Planted) -> Held:
    said = {"type": "Odd", "message": plant(f"condition, {kind}")}
    parent = {
        "annotations": {"example.com/note": plant(f"annotation, {kind}")},
        "conditions": [said],
        "terminalCondition": {"message": plant(f"terminal condition, {kind}")},
    }
    if kind != "jobs":
        parent["description"] = plant(f"description, {kind}")
        parent["binaryAuthorization"] = {"breakglassJustification": plant(f"break glass, {kind}")}
    if kind == "services":
        parent["buildConfig"] = {"environmentVariables": {"TOKEN": plant("environment of a build")}}
    ParseDict(parent, held.message)
    _unknown(held.message, plant(f"unknown field, {kind}"))
    for revision in held.revisions:
        _furnish_revision(revision.message, revision.message.name.rpartition("/")[2], plant)
        ParseDict({"conditions": [said]}, revision.message)
    template = held.message.template
    _furnish_revision(template.template if kind == "jobs" else template, f"template, {kind}", plant)
    return held


def _furnish_revision(message: Any, of: str, plant: Planted) -> None:
    box = message.containers[0]
    box.command.append(plant(f"command, {of}"))
    _unknown(box, plant(f"unknown field of a container, {of}"))
    if not of.startswith("template, jobs"):
        message.annotations["example.com/note"] = plant(f"annotation, {of}")
        for probe in (box.liveness_probe, box.startup_probe):
            which = "liveness" if probe is box.liveness_probe else "startup"
            get = {"path": f"/ok?token={plant(f'{which} probe: query, {of}')}", "port": 8080}
            get["httpHeaders"] = [{"name": "X", "value": plant(f"{which} probe: header, {of}")}]
            ParseDict({"httpGet": get}, probe)


def _unknown(message: Any, value: str) -> None:
    """A field that this client library does not know, as it stands on the wire."""
    data = value.encode()
    message.MergeFromString(bytes([0xFA, 0x3F, len(data)]) + data)


@contextmanager
def playing(
    plant: Planted, faults: Iterable[str] = (), document: Mapping[str, Any] | None = None
) -> Iterator[Emulator]:
    """An emulator that plays that world, or a document of its own, with some faults."""
    planned = [Fault.parse(fault) for fault in faults]
    emulator = Emulator(read_world(document or world(plant), "world"), faults=planned)
    if document is None:
        furnish(emulator._desk._state, plant)  # a world cannot say all of it
    with emulator:
        yield emulator


def known(plant: Planted) -> None:
    """Plant all of the world here too: the emulator that plays it lives in another process."""
    furnish(State(read_world(world(plant), "world")), plant)


# Files


def write(folder: Path, plant: Planted) -> None:
    """Exported files of every kind that is read, with values in the places that those have."""
    before, after = manifest(plant, "before"), manifest(plant, "after")
    del after["spec"]["template"]["spec"]["containers"][0]["env"][0]
    listed = [revision(plant, name, at) for name, at in (("api-00002-b", 2), ("api-00001-a", 1))]
    del listed[0]["spec"]["containers"][0]["env"][0]
    files: dict[str, Any] = {
        "before.json": before,
        "after.json": after,
        "revisions.json": listed,
        "v2.json": v2(plant),
        "plan.json": plan(plant),
        "keys.json": {"settings": "a:S", "keys": [{"field": "jwt", "names": ["JWT"], "required": "yes"}]},
    }  # fmt: skip
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document))
    (folder / "folder").mkdir()
    items = {"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "items": [before]}
    (folder / "folder" / "services.json").write_text(json.dumps(items))
    (folder / "folder" / "revisions.json").write_text(json.dumps(listed))
    (folder / "app.py").write_text(APP.format(plant("default of a setting"), plant("app: printed")))


APP = """
import sys
from pydantic_settings import BaseSettings

class Settings(BaseSettings):
    jwt: str
    token: str = {0!r}

print({1!r})
print({1!r}, file=sys.stderr)
"""


def _env(plant: Planted, of: str) -> list[dict[str, Any]]:
    return [
        {"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": "7"}}},
        {"name": "DB_PASSWORD", "value": plant(f"{of}: env")},
        {"name": "URL", "value": f"https://u:{plant(f'{of}: env, URL')}@host/"},
        {"name": "DB_PASSWORD", "value": plant(f"{of}: env, shadowed")},
    ]


def _box(plant: Planted, of: str) -> dict[str, Any]:
    header = {"name": "Authorization", "value": f"Bearer {plant(f'{of}: probe header')}"}
    return {
        "image": "i",
        "env": _env(plant, of),
        "args": [plant(f"{of}: args")],
        "command": ["run", plant(f"{of}: command")],
        "livenessProbe": {"httpGet": {"path": "/", "httpHeaders": [header]}},
        "unheard": {"of": [plant(f"{of}: unknown field, nested")]},
    }


def manifest(plant: Planted, of: str) -> dict[str, Any]:
    """A service as gcloud exports it."""
    last = {"spec": plant(f"{of}: last applied")}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "api",
            "namespace": "123",
            "labels": {"cloud.googleapis.com/location": "europe-west1", "x": plant(f"{of}: label")},
            "annotations": {
                "note": plant(f"{of}: annotation"),
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps(last),
                "run.googleapis.com/description": plant(f"{of}: description"),
                "run.googleapis.com/custom-audiences": plant(f"{of}: annotation that is no JSON"),
            },
        },
        "spec": {
            "template": {
                "metadata": {"annotations": {"deep": plant(f"{of}: annotation of a template")}},
                "spec": {
                    "containers": [_box(plant, of)],
                    "volumes": [{"name": "odd", "hostPath": {"path": plant(f"{of}: odd volume")}}],
                },
            }
        },
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "message": plant(f"{of}: condition")}
            ]
        },
        "extra": plant(f"{of}: unknown field"),
    }


def revision(plant: Planted, name: str, at: int) -> dict[str, Any]:
    """A revision as gcloud lists it."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": name,
            "namespace": "123",
            "creationTimestamp": AT.format(at),
            "annotations": {"note": plant(f"{name}: annotation")},
            "labels": {
                "serving.knative.dev/service": "api",
                "cloud.googleapis.com/location": "europe-west1",
            },
        },
        "spec": {"containers": [_box(plant, name)]},
    }


def v2(plant: Planted) -> dict[str, Any]:
    """A service as the v2 API answers."""
    return {
        "name": "projects/shop/locations/europe-west1/services/other",
        "description": plant("v2: description"),
        "annotations": {"note": plant("v2: annotation")},
        "odd": plant("v2: unknown field"),
        "template": {
            "containers": [
                {
                    "image": "i",
                    "args": [plant("v2: args")],
                    "env": [{"name": "DB_PASSWORD", "value": plant("v2: env")}],
                    "unheard": plant("v2: unknown field of a container"),
                }
            ],
            "annotations": {"note": plant("v2: annotation of a template")},
        },
    }


def plan(plant: Planted) -> dict[str, Any]:
    """A plan of terraform, as `terraform show -json` prints it."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "plans" / "lost.json").read_text())
    [one] = found["resource_changes"]
    for side in ("before", "after"):
        [template] = one["change"][side]["template"]
        template["annotations"] = {"note": plant(f"plan, {side}: annotation")}
        [box, *_] = template["containers"]
        box["args"] = [plant(f"plan, {side}: args")]
        box.setdefault("env", []).append(
            {"name": "PLAIN", "value": plant(f"plan, {side}: env"), "value_source": []}
        )
    one["change"]["after"]["odd"] = plant("plan: unknown attribute")
    found["variables"] = {"password": {"value": plant("plan: variable")}}
    found["output_changes"] = {"o": {"after": plant("plan: output")}}
    return found
