"""
The law that faults are held against, and what runs an audit under them.

A run either says what the same world says without faults, or it ends as incomplete and names all
that it did not see. There is no third outcome.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from drift_audit.audit import Audit, Source
from drift_audit.binding import SecretReference
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Where
from drift_audit.collector.connection import Connection
from drift_audit.collector.secret_versions import without_versions
from drift_audit.emulator.faults import Fault, Schedule
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import World
from drift_audit.errors import ExitCode
from drift_audit.inventory import Inventory, Service, by_age
from drift_audit.names import Kind
from drift_audit.policy import Policy, read_policy
from drift_audit.report import Report
from drift_audit.snapshot import Address, Snapshot
from tests import watch
from tests.builders import NOW, sealer

SLOW = frozenset({"hang", "slow-drip"})
"""Kinds that take their time, so that an attempt must be short."""

WORDS = {"service": "services", "worker-pool": "worker pools", "job": "jobs"}
COLLECTIONS = {"service": "services", "worker-pool": "workerPools", "job": "jobs"}


@dataclass(frozen=True)
class Stage:
    """A world, and what of it is audited."""

    world: World
    regions: Sequence[str] = ("europe-west1",)
    services: Sequence[str] = ()
    expecting: bool = True

    @property
    def where(self) -> Where:
        """What the collector is asked for."""
        return Where(["shop"], self.regions, self.services)

    @cached_property
    def policy(self) -> Policy:
        """It expects everything that is asked for, if it expects anything."""
        if not self.expecting:
            return Policy()
        world = self.world
        names = [f"{s.project}/{s.region}/{s.service}" for s in world.services]
        names += [f"{p.project}/{p.region}/{p.worker_pool}.worker-pool" for p in world.worker_pools]
        names += [f"{j.project}/{j.region}/{j.job}.job" for j in world.jobs]
        if self.services:
            asked = set(self.services)
            names = [n for n in names if n.rpartition("/")[2].partition(".")[0] in asked]
        quoted = ", ".join(f'"{name}"' for name in names)
        return read_policy(f"[scope]\nexpect = [{quoted}]\n")


class Kept:
    """A source that keeps what came out of another one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.inventory: Inventory | None = None
        self.histories: dict[Address, Service] = {}

    def collect(self) -> Inventory:
        self.inventory = self._source.collect()
        return self.inventory

    def chain(self, service: Service) -> Service:
        found = self._source.chain(service)
        self.histories[service.address] = found
        return found

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        return self._source.resolve(snapshot)

    def every(self) -> Iterator[Any]:
        return self._source.every()

    def remember(self) -> Iterable[Any]:
        return self._source.remember()


@dataclass(frozen=True)
class Ran:
    """What an audit came to, what it had read, and the faults that took effect meanwhile."""

    report: Report
    inventory: Inventory
    histories: dict[Address, Service]
    fired: tuple[Fault, ...] = ()
    calls: tuple[str, ...] = ()
    after: Ran | None = field(default=None, repr=False)

    @cached_property
    def services(self) -> dict[Address, Service]:
        """Every service by its address."""
        return {s.address: s for s in self.inventory.services}

    @cached_property
    def said(self) -> frozenset[str]:
        """Everything that is named as not seen or not there."""
        missing = {str(f.address) for f in self.report.findings if f.rule == "service-missing"}
        return frozenset({u.where for u in self.report.unseen} | missing)

    def revisions(self, at: Address) -> dict[str, Snapshot]:
        """The revisions of a service that were read, with its history where that was asked for."""
        service = self.histories.get(at) or self.services[at]
        return {r.revision: r for r in service.revisions}


Collector = Callable[[Stage, Emulator, Budget], Source]


def ours(stage: Stage, emulator: Emulator, budget: Budget) -> Source:
    """The collector that is shipped."""
    connection = Connection(emulator.address, emulator.address, emulator.rest)
    return CloudRun(stage.where, sealer(), budget, connection)


def audited(stage: Stage, emulator: Emulator, budget: Budget, collector: Collector) -> Ran:
    """One audit of what an emulator plays."""
    kept = Kept(collector(stage, emulator, budget))
    report = Audit(stage.policy, NOW).of(kept, None)
    assert kept.inventory is not None
    called = tuple(call.method for call in emulator.calls)
    return Ran(report, kept.inventory, kept.histories, tuple(emulator.fired), called)


def play(stage: Stage, faults: Sequence[Fault] = (), collector: Collector = ours) -> Ran:
    """
    One audit of a stage under faults. Where these deploy something, what there is afterwards is
    audited too, without faults.
    """
    slow = any(f.kind == "hang" or (f.kind == "slow-drip" and f.always) for f in faults)
    # a list that grows with every page has no end, and is given up where the time is over
    endless = any(f.kind == "generation-bump" and f.always for f in faults)
    attempt, seconds = (0.1, 1.5) if slow else (30.0, 3.0 if endless else 60.0)
    with Emulator(stage.world, faults=faults) as emulator, watch.over(emulator):
        budget = Budget(time.monotonic, seconds, attempt=attempt, sleep=lambda _: None)
        ran = audited(stage, emulator, budget, collector)
        if not any(fault.kind == "generation-bump" for fault in ran.fired):
            return ran
        emulator._desk.schedule = Schedule()
        budget = Budget(time.monotonic, 60.0, sleep=lambda _: None)
        after = audited(stage, emulator, budget, ours)
        return Ran(ran.report, ran.inventory, ran.histories, ran.fired, ran.calls, after)


# The law


def broken(truth: Ran, ran: Ran) -> list[str]:
    """How a run breaks the law; nothing where it keeps it."""
    truths = [truth, ran.after] if ran.after else [truth]
    # who says that there is no such version is believed, here and by every rule
    if ran.report.exit_code != ExitCode.INCOMPLETE and not _denies_a_version(ran):
        several = sum(fault.kind == "generation-bump" for fault in ran.fired) > 1
        if several and ran.after:
            return list(_of_no_moment(ran.after, ran))
        differ = [list(_differences(one, ran)) for one in truths]
        return min(differ, key=len)
    missed = [list(_unnamed(one, ran)) for one in truths]
    if ran.after:
        missed.append(list(_of_no_moment(ran.after, ran)))
    return min(missed, key=len)


VERSION = "SecretManagerService/GetSecretVersion"
REVISIONS = "Revisions/ListRevisions"


def _denies_a_version(ran: Ran) -> bool:
    """Tell whether the server said of a secret version that there is none."""
    return any((f.rpc, f.kind) == (VERSION, "NOT_FOUND") for f in ran.fired)


def _cuts_the_history(ran: Ran) -> bool:
    """
    Tell whether a list of revisions ended before its time. Who cuts off what is older than all
    that the service names cannot be found out; nothing is judged by it.
    """
    return any((f.rpc, f.kind) == (REVISIONS, "early-end") for f in ran.fired)


def _differences(truth: Ran, ran: Ran) -> Iterator[str]:
    """Where a run that says it is whole does not say what is true."""
    loose = {f.kind for f in ran.fired}
    told, true = _told(ran, loose), _told(truth, loose)
    if (
        "unknown-field" in loose
    ):  # one revision alone has it: that is a change, and blame is asked for
        asked = true["histories"].keys()
        told["histories"] = {at: s for at, s in told["histories"].items() if at in asked}
    if _cuts_the_history(ran):
        for said in (told, true):
            del said["histories"]
            said.get("counts", {}).pop("revisions", None)  # none are told beside an unknown field
        for at in truth.histories:
            yield from _gaps(at, truth.services[at], truth, ran)
    for part in true:
        if told[part] != true[part]:
            yield f"exit {ran.report.exit_code}, and {part} differs: {_first(true[part], told[part])}"


def _gaps(at: Address, service: Service, truth: Ran, ran: Ran) -> Iterator[str]:
    """What a history lacks that is not older than all that the service names."""
    true, told = truth.revisions(at), ran.revisions(at)
    oldest = min(by_age(true[name]) for name in service.named)
    lost = [name for name in true.keys() - told.keys() if by_age(true[name]) > oldest]
    if lost or told.keys() - true.keys():
        yield f"the history of {at} lacks {sorted(lost)}"


def _first(one: Any, other: Any) -> str:
    """Where two documents begin to differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *other]:
            if one.get(key) != other.get(key):
                return f"{key}/{_first(one.get(key), other.get(key))}"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            if mine != theirs:
                return f"{number}/{_first(mine, theirs)}"
    return f"{str(one)[:300]} is told as {str(other)[:300]}"


UNKNOWN = "field-1023"

JUDGED = frozenset({"counts", "headline", "verdict", "exit_code", "rules"})
"""What an unknown field may change: it is compared as a whole and told as not known."""


def _told(ran: Ran, kinds: Iterable[str]) -> dict[str, Any]:
    """What a run says: its report, and what it read."""
    told: dict[str, Any] = ran.report.model_dump(mode="json")
    told["inventory"] = ran.inventory.model_dump(mode="json")
    told["histories"] = {str(at): s.model_dump(mode="json") for at, s in ran.histories.items()}
    if "unknown-field" in kinds:
        told = {part: _known(value) for part, value in told.items() if part not in JUDGED}
    return told


def _known(value: Any) -> Any:
    """
    The same without what is said of a field that nobody knows, and without the history of keys,
    which is told where anything differs.
    """
    if isinstance(value, dict):
        return {key: _known(v) for key, v in value.items() if key != "history"}
    if isinstance(value, list):
        return [_known(v) for v in value if not _of_unknown(v)]
    return value


def _of_unknown(value: Any) -> bool:
    """Tell whether an item is about the unknown field itself."""
    if not isinstance(value, dict):
        return False
    own = [v for v in value.values() if isinstance(v, str)]
    own += [str(v) for v in (value.get("address") or {}).values()] if "address" in value else []
    return any(UNKNOWN in text for text in own)


def _bare(snapshot: Snapshot) -> Any:
    """A revision as it is itself: not what is sent to it, and not what its secrets stand for."""
    found = without_versions(snapshot).model_dump(mode="json")
    del found["status"], found["service"]
    # the number of a project tells nothing that its id does not
    found["identity"].pop("project_number")
    return _known(found)


def _unnamed(truth: Ran, ran: Ran) -> Iterator[str]:
    """What is missing or wrong in an incomplete run and not named there."""
    for at, service in truth.services.items():
        if _names_service(ran, at, service.kind):
            continue
        if at not in ran.services:
            yield f"{at} is missing and not named"
            continue
        yield from _unnamed_of(service, truth, ran)


def _unnamed_of(service: Service, truth: Ran, ran: Ran) -> Iterator[str]:
    at, kind = service.address, service.kind
    found, full = ran.services[at], _full(at, kind)
    history = f"revisions of {full}" in ran.said
    true, told = truth.revisions(at), ran.revisions(at)
    needed = {r.revision for r in service.revisions}
    lost = [n for n in needed if n not in told or _bare(told[n]) != _bare(true[n])]
    for name in lost:
        if not {f"revision {full}/revisions/{name}", f"revision {name}"} & ran.said:
            yield f"revision {name} is missing and not named"
    if not lost and at in truth.histories and not history:
        if at not in ran.histories:
            yield f"the history of {at} was not asked for"
        else:
            yield from _gaps(at, service, truth, ran)
    if _settings(service) != _settings(found) or service.traffic != found.traffic:
        yield f"{at} is not as it is"
    for name in needed - set(lost):
        yield from _unnamed_versions(true[name], told[name], ran)


def _settings(service: Service) -> Any:
    return _known([s.model_dump(mode="json") for s in service.settings or ()])


def _asked(service: Service) -> Any:
    """Where requests are sent, as it was asked for: the latest is another one after each deploy."""
    return [t.but(revision="") if t.latest else t for t in service.traffic]


def _unnamed_versions(true: Snapshot, told: Snapshot, ran: Ran) -> Iterator[str]:
    """Secret versions that are said to be something else than they are."""
    pairs = zip(true.references, told.references, strict=True)
    for (_, one), (_, other) in pairs:
        if _version(one) == _version(other):
            continue
        secret = f"projects/{one.project or true.identity.project}/secrets/{one.secret}"
        if other.version_state == "unseen":
            if f"secret {secret}/versions/{one.asked}" not in ran.said:
                yield f"{one} is unseen and not named"
        elif other.version_state == "not-found" and _denies_a_version(ran):
            continue
        elif (one.resolved, one.version_state) != (other.resolved, other.version_state):
            yield f"{one} is {one.resolved} {one.version_state} and told as {other.resolved} {other.version_state}"
        elif f"expiry and aliases of secret {secret}" not in ran.said:
            yield f"the times of {one} are not told, and not named"


def _version(ref: SecretReference) -> Any:
    return ref.resolved, ref.version_state, ref.destroyed_at, ref.expires_at, ref.rotates_at


def _full(at: Address, kind: Kind) -> str:
    name = at.service.partition(".")[0]
    return f"projects/{at.project}/locations/{at.region}/{COLLECTIONS[kind]}/{name}"


def _names_service(ran: Ran, at: Address, kind: Kind) -> bool:
    """Tell whether a service, or a list that it stands in, is named as not seen."""
    place = f"projects/{at.project}/locations/{at.region}"
    naming = {
        str(at),
        f"{kind} {_full(at, kind)}",
        f"service {at.service.partition('.')[0]}",
        f"{WORDS[kind]} of {place}",
        f"location {place}",
        f"regions of projects/{at.project}",
    }
    return bool(naming & ran.said)


def _of_no_moment(after: Ran, ran: Ran) -> Iterator[str]:
    """
    What was true at no moment, where services were deployed again and again meanwhile: a deploy
    adds a revision and changes nothing else.
    """
    for at, service in after.services.items():
        if _names_service(ran, at, service.kind):
            continue
        if at not in ran.services:
            yield f"{at} is missing and not named"
            continue
        found = ran.services[at]
        if _settings(service) != _settings(found) or _asked(service) != _asked(found):
            yield f"{at} is not as it is"
        full = _full(at, service.kind)
        for name in sorted(found.named - ran.revisions(at).keys()):
            if not {f"revision {full}/revisions/{name}", f"revision {name}"} & ran.said:
                yield f"revision {name} is missing and not named"


def positions(calls: Iterable[str]) -> dict[str, list[int]]:
    """The first, middle and last call of each rpc."""
    return {rpc: sorted({1, (n + 1) // 2, n}) for rpc, n in Counter(calls).items()}
