"""
What the emulator holds at this moment, for all fronts alike.

It begins as the world says and moves with every deploy. Messages are replaced and never changed,
so whoever holds one reads it in peace.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from google.cloud import run_v2
from google.protobuf.json_format import ParseDict

from drift_audit.emulator import v2
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.world import World

INVOKER = "roles/run.invoker"

DEPLOY = dt.timedelta(minutes=1)
"""How much later than all there is the next deploy happens: the world has no clock but its own."""


@dataclass(frozen=True)
class Revision:
    """
    One revision, as v2 shows it, and what v1 alone tells: the generation of its service that it is
    of, the claimed client, and the template, if that was put through v1.
    """

    message: Any
    generation: int
    client: str = ""
    document: Json | None = None

    @property
    def short(self) -> str:
        """Its name without those of its parents."""
        return str(self.message.name).rpartition("/")[2]


@dataclass(frozen=True)
class Held:
    """
    One service, worker pool or job, as v2 shows it, its revisions, newest first, and what clients
    wrote of it, if that was put through v1.
    """

    message: Any
    revisions: tuple[Revision, ...] = ()
    document: Json | None = None

    @property
    def short(self) -> str:
        """Its name without project and region."""
        return str(self.message.name).rpartition("/")[2]


def message(kind: Any, body: Json) -> Any:
    """A protobuf message from its JSON form."""
    return ParseDict(body, kind.pb()())


class State:
    """
    The services, worker pools and jobs by full name, and the bindings of IAM that services have.
    `lock` is for those that change them.
    """

    def __init__(self, world: World) -> None:
        self.lock = threading.RLock()
        self.services = dict(_held(run_v2.Service, v2.services(world), world.services))
        self.pools = dict(_held(run_v2.WorkerPool, v2.pools(world), world.worker_pools))
        self.jobs = {job["name"]: Held(message(run_v2.Job, job)) for job in v2.jobs(world)}
        self.policies: dict[str, list[Json]] = {
            s.name: [{"role": INVOKER, "members": list(s.invokers)}] if s.invokers else []
            for s in world.services
        }
        known = (*world.services, *world.worker_pools)
        times = [r.at for one in known for r in one.revisions] + [j.at for j in world.jobs]
        self._now = max(times, default=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def now(self) -> str:
        """The time of a deploy: later than everything before it."""
        self._now += DEPLOY
        return v2.instant(self._now)

    def written(self, name: str) -> dict[str, Held]:
        """The services or the jobs, whichever a full name is one of."""
        return self.jobs if is_job(name) else self.services

    def below(self, parent: str, known: dict[str, Held]) -> list[Held]:
        """What a location holds of one kind."""
        return [one for name, one in list(known.items()) if name.startswith(f"{parent}/")]

    def parent(self, name: str) -> Held | None:
        """The service or worker pool of that name."""
        return self.services.get(name) or self.pools.get(name)

    def redeploy(self, name: str, kind: str = "") -> bool:
        """
        Move something on: the same configuration is deployed again.

        `name` is that of a resource, of one of its revisions, or of a location, in which the first
        moves of a kind (`WorkerPools`, `Jobs`), by default the first service. Tells whether there
        was anything.
        """
        name = name.partition("/revisions/")[0]
        if name.endswith("/workerPools/-"):
            kind = "WorkerPools"
        name = name.removesuffix("/-").removesuffix("/services").removesuffix("/workerPools")
        held = {"WorkerPools": self.pools, "Jobs": self.jobs}
        for known in (held.get(kind, self.services), self.services, self.pools, self.jobs):
            for full in (name, *(n for n in list(known) if n.startswith(f"{name}/"))):
                if full in known:
                    with self.lock:
                        known[full] = self._moved(known[full])
                    return True
        return False

    def _moved(self, held: Held) -> Held:
        number = held.message.generation + 1
        if not held.revisions:
            return replace(held, message=touched(held.message, number, self.now()))
        newest = held.revisions[0]
        name = f"{held.message.name}/revisions/{revision_name(held.short, number)}"
        now = self.now()
        body = copy(newest.message, name=name, uid=v2.uid(name), etag=v2.etag(name, 1))
        body.create_time.FromJsonString(now)
        body.update_time.FromJsonString(now)
        moved = touched(held.message, number, now)
        moved.template.revision = name.rpartition("/")[2]
        again = replace(newest, message=body, generation=number)
        return settled(moved, (again, *held.revisions), renamed(held.document))


def is_job(name: str) -> bool:
    """Whether a full name is that of a job, and not of a service."""
    return "/jobs/" in name


def _held(
    kind: Any, listed: Iterable[tuple[Json, list[Json]]], told: Any
) -> Iterator[tuple[str, Held]]:
    for (parent, revisions), of_world in zip(listed, told, strict=True):
        clients = [r.client or "" for r in of_world.whole()]
        numbered = zip(revisions, reversed(list(enumerate(clients, 1))), strict=True)
        held = tuple(
            Revision(message(run_v2.Revision, r), n, client) for r, (n, client) in numbered
        )
        yield parent["name"], Held(message(kind, parent), held)


def copy(original: Any, **changed: Any) -> Any:
    """The same message with some scalar fields changed."""
    found = type(original)()
    found.CopyFrom(original)
    for field, value in changed.items():
        setattr(found, field, value)
    return found


def touched(original: Any, number: int, now: str) -> Any:
    """The same resource after a change: another generation, and an etag that was never before."""
    found = copy(
        original,
        generation=number,
        observed_generation=number,
        etag=v2.etag(original.name, number),
    )
    found.update_time.FromJsonString(now)
    return found


def stamped(name: str, before: Held | None, now: str, caller: str) -> Json:
    """What the server itself writes of a service or job that is put: which, whose, and when."""
    first = before.message if before else None
    number = first.generation + 1 if first else 1
    return {
        "name": name,
        "uid": v2.uid(name),
        "generation": str(number),
        "observedGeneration": str(number),
        "createTime": first.create_time.ToJsonString() if first else now,
        "updateTime": now,
        "creator": first.creator if first else caller,
        "lastModifier": caller,
        "etag": v2.etag(name, number),
    }


def revision_name(service: str, number: int) -> str:
    """A name as Cloud Run makes it up, always the same for the same deploy."""
    digest = hashlib.sha256(f"{service}/{number}".encode()).digest()
    letters = "bcdfghjkmnpqrstvwxz0123456789"
    suffix = "".join(letters[byte % len(letters)] for byte in itertools.islice(digest, 3))
    return f"{service}-{number:05}-{suffix}"


def renamed(document: Json | None) -> Json | None:
    """What clients wrote of a service, without the name of a revision that is not the newest."""
    if document is None:
        return None
    found = deepcopy(document)
    found["spec"]["template"].get("metadata", {}).pop("name", None)
    return found


def settled(parent: Any, revisions: tuple[Revision, ...], document: Json | None = None) -> Held:
    """
    A service or worker pool after a change: what its revisions make of it, and those retired that
    no traffic or split names.
    """
    newest = revisions[0]
    ready = next((r for r in revisions if _is_ready(r)), newest)
    parent = copy(
        parent,
        latest_created_revision=newest.message.name,
        latest_ready_revision=ready.message.name,
    )
    told = v2.condition("Ready", _is_ready(newest))
    parent.terminal_condition.CopyFrom(message(run_v2.Condition, told))
    pool = isinstance(parent, run_v2.WorkerPool.pb())
    asked, observed = ("instance_splits", "instance_split_statuses") if pool else _TRAFFIC
    parent.ClearField(observed)
    addressed = set()
    for target in getattr(parent, asked):
        serves = {field.name: value for field, value in target.ListFields()}
        getattr(parent, observed).add(**serves)
        addressed.add(target.revision.rpartition("/")[2] or ready.short)
    return Held(
        parent, tuple(_active(r, on=r.short in addressed) for r in revisions), document=document
    )


def _is_ready(revision: Revision) -> bool:
    succeeded = run_v2.Condition.State.CONDITION_SUCCEEDED
    return any(c.type_ == "Ready" and c.state == succeeded for c in revision.message.conditions)


_TRAFFIC = ("traffic", "traffic_statuses")


def _active(revision: Revision, *, on: bool) -> Revision:
    found = copy(revision.message)
    kept = [c for c in found.conditions if c.type_ != "Active"]
    found.ClearField("conditions")
    found.conditions.extend(kept)
    told = v2.condition("Active", on, "" if on else "RETIRED")
    found.conditions.append(message(run_v2.Condition, told))
    return replace(revision, message=found)
