"""
What a command of gcloud would deploy: the candidate that it makes of the live service, held against
what is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from drift_audit.audit import Pair, Source
from drift_audit.cli import gcloud
from drift_audit.cli.connection import connection
from drift_audit.cli.gcloud import Command
from drift_audit.cli.revisions import Sides, Words
from drift_audit.cli.subject import Scope, open_source
from drift_audit.collector.originals import Originals, sealed
from drift_audit.collector.settings import with_invokers
from drift_audit.differ import compare
from drift_audit.emulator.rehearsal import Original, Rehearsal
from drift_audit.errors import CommandError, SourceError
from drift_audit.history import KnownGood
from drift_audit.inventory import Inventory, Remembered, Service
from drift_audit.names import INVOKERS
from drift_audit.seal import Sealer
from drift_audit.snapshot import Snapshot, Unseen

TRIED = "gcloud tried the command on this machine: nothing was deployed"


@dataclass(frozen=True)
class Outcome:
    """
    One service or job before a command, None where there was none, and after it; and what of it the
    local server cannot carry from one deploy to the next.
    """

    before: Service | None
    after: Service
    unseen: tuple[Unseen, ...] = ()

    @property
    def candidate(self) -> Snapshot:
        """The revision that the command makes; where it makes none, the one that would serve."""
        newest = self.after.newest
        assert newest is not None
        if self.makes_a_revision or self.after.kind == "job":
            return newest.but(service=self.after.settings)
        serving = (self.after.revision(name) for name in self.after.serving)
        found = next(filter(None, serving), newest)
        return found.but(service=self.after.settings)

    @property
    def makes_a_revision(self) -> bool:
        """Whether there is a revision after the command that was not there before."""
        known = {r.revision for r in self.before.revisions} if self.before else set()
        return self.after.latest_created not in known


def planned(command: Command, read: Words, reference: str | None) -> Sides:
    """
    Both sides of the comparison. Raises CommandError for a command that gcloud refuses, SourceError
    for what could not be read or tried, and what a reference that is not there leads to.
    """
    outcome = _unmade(_outcome(command, read.scope, read.seal))
    after = outcome.after
    read = replace(read, scope=_at(read.scope, after))
    live = open_source(read.scope, read.seal)
    inventory = live.collect()
    if outcome.before is None:
        inventory = inventory.but(unseen=())  # it was looked for, and is going to be made
    elif not _is_still(outcome.before, inventory):
        raise SourceError(f"{after.address}: it was changed while it was read")
    candidate = live.resolve(outcome.candidate)
    candidate = candidate.but(
        seen=candidate.seen.but(unseen=(*candidate.seen.unseen, *outcome.unseen))
    )
    if outcome.before is None:
        pair = Pair(after, candidate, KnownGood(None, "it is not there yet"))
    else:
        service = inventory.services[0].but(settings=outcome.before.settings)
        pair = _with_policy(read.against(reference, service, live, candidate), service)
    pair = replace(pair, service=after)
    return Sides(inventory, _Planned(live, inventory), pair, notes=(TRIED,))


def _with_policy(pair: Pair, service: Service) -> Pair:
    """The same, with who may invoke the service now where its reference does not tell."""
    found = pair.known.snapshot
    told = [str(s.value) for s in service.settings or () if s.name == INVOKERS]
    if found is None or found.service is None or found.setting(INVOKERS) is not None or not told:
        return pair
    settings = with_invokers(found.service, told[0].split(", "))
    return replace(pair, known=replace(pair.known, snapshot=found.but(service=settings)))


def _outcome(command: Command, scope: Scope, seal: Sealer) -> Outcome:
    """Run the command, and read what it made. Raises CommandError and SourceError."""
    originals = Originals(connection(scope.impersonate), scope.budget)
    loaded: list[Original] = []

    def live(name: str) -> Original | None:
        found = originals.read(name)
        if found is not None:
            loaded.append(Original(*found))
        return loaded[-1] if found else None

    with Rehearsal(live, originals.revision, originals.invokers) as rehearsal:
        env = rehearsal.environment | _place(command, scope)
        try:
            gcloud.run(command, env, lambda: _values(loaded))
        except CommandError:
            _check(rehearsal)
            raise
        _check(rehearsal)
    written = rehearsal.written
    if len(written) != 1:
        what = "nothing" if not written else "several services"
        raise CommandError(f"{command.verb} changed {what}, and one is compared")
    [name] = written
    after, before = rehearsal.after(name), rehearsal.before(name)
    now = sealed(after.message, after.revisions, seal)
    if before is None:
        return Outcome(None, now)
    was = sealed(before.message, before.revisions, seal)
    carried = rehearsal.carried(name)
    unseen = lost(was, sealed(carried.message, carried.revisions, seal))
    if (members := rehearsal.invokers(name)) is not None:
        was, now = (_called_by(s, m) for s, m in zip((was, now), members, strict=True))
    return Outcome(was, now, tuple(unseen))


def _called_by(service: Service, members: Collection[str]) -> Service:
    """A service with who may invoke it."""
    return service.but(settings=with_invokers(service.settings or (), members))


def _check(rehearsal: Rehearsal) -> None:
    """Raise what went wrong in reading, and SourceError for what gcloud asked in vain."""
    if rehearsal.failed:
        raise rehearsal.failed
    if strange := rehearsal.strange:
        raise SourceError(
            f"gcloud asked for what a preview does not know: {strange[0]}",
            hint="deploy with --no-traffic --tag=candidate, then drift-audit compare",
        )


def _place(command: Command, scope: Scope) -> dict[str, str]:
    """Where the command deploys to, unless it says so itself: as we are told, else as gcloud is."""
    project, region = scope.project, scope.region
    if not project or not region:
        own = gcloud.settings(command.words)
        project, region = project or own[0], region or own[1]
    told = {"CLOUDSDK_CORE_PROJECT": project, "CLOUDSDK_RUN_REGION": region}
    return {name: value for name, value in told.items() if value}


def _values(loaded: Iterable[Original]) -> Iterator[str]:
    """The plain values of what was read."""
    for original in loaded:
        for one in (original.message.template, *original.revisions):
            task = getattr(one, "template", one)
            for container in task.containers:
                yield from (entry.value for entry in container.env if entry.value)
                yield from container.args


def lost(was: Service, carried: Service) -> Iterator[Unseen]:
    """What is not the same after a deploy that changes nothing."""
    one, other = was.newest, carried.newest
    assert one is not None
    assert other is not None
    pair = one.but(service=was.settings), other.but(service=carried.settings)
    for change in compare(*pair):
        reason = "a deploy with it cannot be tried on this machine"
        yield Unseen(where=str(change.at), reason=reason)


def _at(scope: Scope, service: Service) -> Scope:
    """The scope of one service alone."""
    return replace(
        scope,
        projects=(service.project,),
        regions=(service.region,),
        services=(service.service,),
        kinds=(service.kind,),
    )


def _is_still(before: Service, inventory: Inventory) -> bool:
    """Whether a service is as it was read before the command was tried."""
    found = [s for s in inventory.services if s.address == before.address]
    here = [s for s in before.settings or () if s.name != INVOKERS]
    return [(s.latest_created, list(s.settings or ())) for s in found] == [
        (before.latest_created, here)
    ]


def _unmade(outcome: Outcome) -> Outcome:
    """The same, with what the command makes as a plan: a revision has no name or time yet."""
    after = outcome.after
    if not outcome.makes_a_revision or after.kind == "job":
        planned = (r.but(identity=r.identity.but(planned=True)) for r in after.revisions)
        return replace(outcome, after=after.but(revisions=tuple(planned)))
    name = after.latest_created

    def bare(revision: Snapshot) -> Snapshot:
        if revision.revision != name:
            return revision
        nobody: dict[str, Any] = {"revision": "", "uid": "", "create_time": None, "creator": ""}
        who = revision.identity.but(planned=True, client="gcloud", **nobody)
        return revision.but(identity=who)

    return replace(
        outcome,
        after=after.but(
            latest_created="",
            latest_ready="" if after.latest_ready == name else after.latest_ready,
            traffic=tuple(t.but(revision="") if t.revision == name else t for t in after.traffic),
            revisions=tuple(map(bare, after.revisions)),
        ),
    )


@dataclass(frozen=True)
class _Planned:
    """The live source, with what a command makes of one service."""

    live: Source
    inventory: Inventory

    def collect(self) -> Inventory:
        """What was read."""
        return self.inventory

    def every(self) -> Iterator[Snapshot | Unseen]:
        """Every revision that there is."""
        return self.live.every()

    def chain(self, service: Service) -> Service:
        """The service with its history, and what is planned on top of it."""
        before = next(iter(self.inventory.services), None)
        if before is None:
            return service
        found = self.live.chain(before)
        known = {r.revision for r in service.revisions}
        others = (r for r in found.revisions if r.revision not in known)
        return service.but(
            revisions=(*service.revisions, *others),
            complete=found.complete,
            unseen=(*service.unseen, *found.unseen),
        )

    def remember(self) -> Iterable[Remembered]:
        """Nothing: a plan is no reading."""
        return ()

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """A revision with the secret versions it reads looked up."""
        return self.live.resolve(snapshot)
