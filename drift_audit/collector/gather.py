"""
Reads what one location holds of one kind, and tells what of it could not be read.

Nothing is believed that can be checked: every revision that a service names must have been read,
every service that a revision names must have been listed, and the list is looked at once more
after the revisions were read, so that a deploy in between does not pass for a configuration.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import TypeVar

from drift_audit import names
from drift_audit.collector.api import IN_FLIGHT, LISTS, Api, Family, Location
from drift_audit.collector.budget import Missing, Unanswered
from drift_audit.collector.listing import Message
from drift_audit.collector.normalise import status
from drift_audit.collector.parents import Gathered, Parent, Wanted, mark
from drift_audit.collector.plan import plan
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import from_v2, join
from drift_audit.collector.series import Series
from drift_audit.inventory import Memory, Service, by_age
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Snapshot, Unseen
from drift_audit.strict import Refused

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def _ahead(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """
    What a function makes of each item, in order, with some of them under way and none too far
    ahead: results that nobody takes yet would pile up.
    """
    under_way: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        under_way.append((item, executor.submit(function, item)))
        if len(under_way) > LISTS:
            first, result = under_way.popleft()
            yield first, result.result()
    for item, result in under_way:
        yield item, result.result()


class Gatherer:
    """Reads one kind of resource in one location. `executor` runs the calls beside each other."""

    def __init__(
        self,
        api: Api,
        at: Location,
        family: Family,
        wanted: Wanted,
        sealer: Sealer,
        executor: Executor,
        memory: Memory,
    ) -> None:
        self._api, self._at, self._family = api, at, family
        self._wanted, self._sealer, self._executor = wanted, sealer, executor
        self._memory = memory
        self._known: dict[str, Snapshot] = {}
        self._found = Gathered()
        self._told: set[Unseen] = set()

    @property
    def found(self) -> Gathered:
        """What was found so far."""
        return self._found

    def gather(self) -> Gathered:
        """Everything of this kind that is in scope here, and what is missing of it."""
        parents = self._listed({})
        if not self._found.blind:
            self._look_for_remembered(parents)
        read: dict[str, Snapshot] = {}
        if self._family.revisions and any(parent.known is None for parent in parents.values()):
            read = self._read(parents)
            parents, read = self._settled(parents, read)
        for parent in parents.values():
            if service := self._joined(parent, read):
                self._found.services.append(service)
                self._found.parents.append(replace(parent))  # without what was made of it
        return self._found

    def every(self, beside: Executor) -> Iterator[Snapshot | Unseen]:
        """
        Every revision in scope that still exists, service by service, as they are read; then what
        is missing. `beside` lists several services at a time: no more than those are held.
        """
        parents = {name: replace(parent) for name, parent in self._listed({}).items()}
        read: set[int] = set()  # hashes: the names of a long history would outweigh its pages
        in_order = (parents[name] for name in sorted(parents))
        for parent, messages in _ahead(beside, self._history, in_order):
            snapshots = self._in_series(parent, messages)
            here = {f"{parent.name}/revisions/{s.revision}" for s in snapshots}
            snapshots += self._get((parent, name) for name in parent.wanted - here).values()
            read |= {hash(name) for name in here | parent.wanted}
            once = {s.revision: s for s in snapshots}  # one that changed in the list came twice
            yield from sorted(once.values(), key=by_age, reverse=True)
            parents[parent.name] = replace(parent)  # without what was made of it
        if parents and self._family.revisions:
            moved = self._settled(parents, {})[1]
            yield from (s for name, s in sorted(moved.items()) if hash(name) not in read)
        yield from self._found.unseen

    def _in_series(self, parent: Parent, messages: Iterable[Message]) -> list[Snapshot]:
        """The revisions of one service; those that cannot be taken apart are unseen."""
        if not self._family.revisions:
            return [s for message in messages if (s := self._snapshot(parent, message))]
        series = Series(parent.resource, self._sealer)
        found: list[Snapshot] = []
        for message in messages:
            try:
                found.append(series.snapshot(message))
            except Refused as refused:
                self._miss(f"revision {message.name}", str(refused))
        return found

    def _history(self, parent: Parent) -> list[Message]:
        """The revisions of one service; of a job, itself, which has none."""
        if not self._family.revisions:
            return [parent.message]
        found: list[Message] = []
        try:
            found.extend(self._api.revisions(self._at, parent.name))
        except (Unanswered, Missing) as error:
            reason = str(error) or "there is no such service any more"
            self._miss(f"revisions of {parent.name}", reason)
        return found

    def _covers(self, name: str) -> bool:
        return self._wanted.covers(name, self._address(name))

    # Parents

    def _listed(self, before: Mapping[str, Parent]) -> dict[str, Parent]:
        """What there is in scope, by full name; what stands as it did before is not read anew."""
        found: dict[str, Parent] = {}
        for message in self._messages():
            short = message.name.rpartition("/")[2]
            self._found.names.add(short)
            if not self._covers(short):
                continue
            known = before.get(message.name)
            same = known if known is not None and known.mark == mark(message) else None
            if parent := same or self._parent(message):
                found[message.name] = parent
        return found

    def _messages(self) -> Iterator[Message]:
        """The parents as they are now; those that cannot be had are unseen."""
        if names := self._wanted.named:
            for name in names:
                full = self._family.name(self._at, name)
                if message := self._again(full):
                    yield message
            return
        what = f"{self._family.words} of {self._at}"
        try:
            yield from self._api.parents(self._at, self._family, self._unreachable)
        except (Unanswered, Missing) as error:
            self._found.blind = True
            self._miss(what, str(error) or "no such project or region")

    def _again(self, full: str) -> Message | None:
        """One parent as it is now, None if there is none (any more)."""
        try:
            return self._api.parent(self._at, self._family, full)
        except Missing:
            return None
        except Unanswered as error:
            self._found.blind = True
            self._miss(f"{self._family.kind} {full}", str(error))
            return None

    def _unreachable(self, place: str) -> None:
        self._found.blind = True
        self._miss(f"location {place}", "the API could not reach it")

    def _parent(self, message: Message) -> Parent | None:
        data = message.SerializeToString(deterministic=True)
        seal_mark = self._sealer.mark(message.name, data)
        remembered = (
            self._memory.recall(self._address(message.name)) if self._family.revisions else None
        )
        if remembered is not None:
            if remembered.mark == seal_mark:
                return Parent(message.name, message, seal_mark, remembered.service)
            self._known |= {r.identity.uid: r for r in remembered.service.revisions}
        parent = Parent(message.name, message, seal_mark)
        try:
            _ = parent.wanted  # what cannot be taken apart is told here, and once
        except Refused as refused:
            self._miss(f"{self._family.kind} {message.name}", str(refused))
            return None
        return parent

    def _look_for_remembered(self, parents: dict[str, Parent]) -> None:
        """
        Ask for the services that an earlier run saw and that were not listed: they are gone, or the
        list was short.
        """
        here = {self._address(name) for name in parents}
        for at in self._memory.services(self._at.project, self._at.region):
            name, kind = names.taken_apart(at.service)
            if kind != self._family.kind or at in here or not self._covers(name):
                continue
            if parent := self._stranger(self._family.name(self._at, name)):
                parents[parent.name] = parent
            elif not self._found.blind:
                self._memory.forget(at)

    def _address(self, name: str) -> Address:
        place = names.place(self._family.kind, name.rpartition("/")[2])
        return Address(project=self._at.project, region=self._at.region, service=place)

    # Revisions

    def _read(self, parents: dict[str, Parent]) -> dict[str, Snapshot]:
        """The revisions that the parents name, by full name, by the cheaper of two plans."""
        fresh = [parent for parent in parents.values() if parent.known is None]
        wanted = {revision: parent for parent in fresh for revision in parent.wanted}
        read: dict[str, Snapshot] = {}
        if self._family.kind == "service" and not self._wanted.named:
            generations = (parent.message.generation for parent in parents.values())
            chosen = plan(len(wanted), generations, self._api.latency, IN_FLIGHT)
            _log.debug("revisions of %s: %s", self._at, chosen)
            if chosen.way == "sweep":
                read, strangers = self._sweep(wanted, parents)
                for stranger in filter(None, map(self._stranger, strangers)):
                    parents[stranger.name] = stranger
                    wanted |= dict.fromkeys(stranger.wanted, stranger)
        missing = [(parent, name) for name, parent in wanted.items() if name not in read]
        return read | self._get(missing)

    def _sweep(
        self, wanted: dict[str, Parent], parents: Collection[str]
    ) -> tuple[dict[str, Snapshot], list[str]]:
        """
        The wanted revisions out of all that the location holds, and services that were not listed.
        """
        read: dict[str, Snapshot] = {}
        strangers: set[str] = set()
        try:
            for message in self._api.revisions(self._at, f"{self._at}/services/-"):
                owner = message.name.partition("/revisions/")[0]
                if message.name in wanted:
                    if snapshot := self._snapshot(wanted[message.name], message):
                        read[message.name] = snapshot
                elif owner not in parents and self._covers(owner.rpartition("/")[2]):
                    strangers.add(owner)
        except (Unanswered, Missing) as error:
            _log.debug("the sweep of %s ended early: %s", self._at, error)  # the rest is got
        return read, sorted(strangers)

    def _stranger(self, name: str) -> Parent | None:
        """A service that should have been listed and was not; None if it is gone by now."""
        message = self._again(name)
        if message is None:
            return None
        _log.debug("%s is there and was not listed", name)
        self._found.names.add(name.rpartition("/")[2])
        return self._parent(message)

    def _get(self, wanted: Iterable[tuple[Parent, str]]) -> dict[str, Snapshot]:
        """Revisions one by one, beside each other."""
        pairs = sorted(wanted, key=lambda pair: pair[1])
        read = self._executor.map(lambda pair: self._revision(*pair), pairs)
        found = zip((name for _, name in pairs), read, strict=True)
        return {name: snapshot for name, snapshot in found if snapshot}

    def _revision(self, parent: Parent, name: str) -> Snapshot | None:
        try:
            return self._snapshot(parent, self._api.revision(self._at, name))
        except (Unanswered, Missing) as error:
            self._miss(f"revision {name}", str(error) or "it does not exist any more")
            return None

    def _snapshot(self, parent: Parent, message: Message) -> Snapshot | None:
        """A revision; of one that an earlier run has read, only how it stands now."""
        resource = parent.resource
        try:
            if known := self._known.get(message.uid):
                name = known.identity.revision
                conditions = [to_json(condition) for condition in message.conditions]
                return known.but(status=status(conditions, name, resource.traffic))
            return from_v2(to_json(message)).of(resource).snapshot(self._sealer, resource.traffic)
        except Refused as refused:
            self._miss(f"revision {message.name}", str(refused))
            return None

    def _joined(self, parent: Parent, read: dict[str, Snapshot]) -> Service | None:
        if parent.known is not None:
            return parent.known
        own = [read[name] for name in parent.wanted if name in read]
        complete = not self._family.revisions
        try:
            return join(parent.resource, own, self._sealer, complete=complete)
        except Refused as refused:
            self._miss(f"{self._family.kind} {parent.name}", str(refused))
            return None

    # What moved meanwhile

    def _settled(
        self, parents: dict[str, Parent], read: dict[str, Snapshot]
    ) -> tuple[dict[str, Parent], dict[str, Snapshot]]:
        """
        The parents and revisions after a second look at the list: what was changed while it was
        read is read again, once. What has moved again by then is told as such.
        """
        saw_all = not self._found.blind
        now = self._listed(parents)
        vanished = sorted(parents.keys() - now.keys())  # deleted meanwhile, or the list was short
        if saw_all and self._found.blind:
            now |= {name: parents[name] for name in vanished}  # the second look failed, as is told
            vanished = []
        for name, message in zip(vanished, self._executor.map(self._again, vanished), strict=True):
            if message is None:
                self._found.names.discard(name.rpartition("/")[2])
            elif parent := self._parent(message):
                now[name] = parent
        moved = {n: p for n, p in now.items() if n not in parents or parents[n].mark != p.mark}
        if not moved:
            return now, read
        _log.debug("%s: changed while it was read: %s", self._at, ", ".join(sorted(moved)))
        unknown = [parent for parent in moved.values() if parent.known is None]
        read |= self._get((parent, name) for parent in unknown for name in parent.wanted)
        for name, message in zip(moved, self._executor.map(self._again, moved), strict=True):
            if message is not None and mark(message) != moved[name].mark:
                self._miss(f"{self._family.kind} {name}", "it was changed while it was read, twice")
        return now, read

    def _miss(self, where: str, reason: str) -> None:
        missed = Unseen(where=where, reason=reason)
        if missed not in self._told:
            self._told.add(missed)
            self._found.unseen.append(missed)
