"""
What is kept of every revision that an audit read, for the day on which it exists no more, and which
deploys did what to which key, told from that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Protocol

from drift_audit.binding import Binding, LiteralValue, SecretReference, Source, State
from drift_audit.finding import Cause
from drift_audit.frozen import Frozen, Instant
from drift_audit.inventory import Service, by_age
from drift_audit.snapshot import Address, Snapshot, Status, Unseen
from drift_audit.timeline import Steps, What, follow


class Keeper(Protocol):
    """Keeps the revisions that audits read."""

    def note(self, service: Service) -> None:
        """Remember the revisions that were read of a service."""


class NoKeeper:
    """Nothing is kept."""

    def note(self, service: Service) -> None:
        """It is not kept."""


def bare(snapshot: Snapshot) -> Snapshot:
    """
    The revision as it was deployed, and nothing that changes without a deploy: no status, no
    traffic, nothing of what its secrets stood for. No value stays readable: what is revealed today
    may not be tomorrow.
    """
    return snapshot.but(
        bindings=tuple(map(_bare_binding, snapshot.bindings)),
        mounts=tuple(m.but(source=_bare(m.source)) for m in snapshot.mounts),
        service=None,
        status=Status(),
    )


def _bare_binding(binding: Binding) -> Binding:
    source, shadowed = _bare(binding.source), tuple(map(_bare, binding.shadowed))
    if source is binding.source and shadowed == binding.shadowed:
        return binding
    return binding.but(source=source, shadowed=shadowed)


def _bare(source: Source) -> Source:
    if isinstance(source, SecretReference):
        return SecretReference(project=source.project, secret=source.secret, version=source.version)
    if isinstance(source, LiteralValue) and source.clear is not None:
        return source.but(clear=None)
    return source


class Deploy(Frozen):
    """Which revision a deploy made, when, by whom and with what."""

    revision: str
    uid: str
    create_time: Instant | None = None
    creator: str = ""
    client: str = ""


@dataclass(frozen=True)
class Record:
    """
    One service: its deploys, oldest first, and what they did to its keys and files. The plain
    values of the revisions that stand `apart` cannot be held against those before them.
    """

    deploys: tuple[Deploy, ...] = ()
    steps: Steps = field(default_factory=dict)
    apart: tuple[str, ...] = ()


def recorded(chain: Sequence[Snapshot], known: Record | None = None) -> Record:
    """
    The record of revisions, oldest first. `known` is that of those up to the first one of the
    chain, which goes on from there.
    """
    before = known or Record()
    names = {deploy.revision for deploy in before.deploys[:-1]}
    told = told_apart(chain, names)
    added = told[1:] if known else told
    return Record(
        deploys=(*before.deploys, *map(_deploy, added)),
        steps=follow(told, known=known.steps if known else None),
        apart=(*before.apart, *apart(told)),
    )


def told_apart(chain: Iterable[Snapshot], taken: Collection[str]) -> list[Snapshot]:
    """
    The same with names of their own: a service that was deleted and made anew may have given its
    revisions the names of earlier ones. Those after the first, or that is `taken`, are called by
    the uid too.
    """
    names, told = {*taken}, []
    for one in chain:
        who = one.identity
        if who.revision in names:
            who = who.but(revision=f"{who.revision} ({who.uid})")
        names.add(who.revision)
        told.append(one if who is one.identity else one.but(identity=who))
    return told


def apart(chain: Sequence[Snapshot]) -> tuple[str, ...]:
    """The revisions whose plain values are sealed with another key than those just before."""
    ids = [_key_ids(one) for one in chain]
    pairs = zip(pairwise(ids), chain[1:], strict=True)
    return tuple(one.revision for (before, after), one in pairs if before and after - before)


def _key_ids(snapshot: Snapshot) -> frozenset[str]:
    sources = (binding.source for binding in snapshot.bindings)
    seals = (source.sealed for source in sources if isinstance(source, LiteralValue))
    return frozenset(seal.key_id for seal in seals if seal is not None)


def untold(names: Iterable[str], home: str) -> list[Unseen]:
    """What cannot be told of the revisions that stand apart."""
    reason = "sealed with another key than those before: a change just there is not seen"
    return [Unseen(where=f"plain values of {home} in {name}", reason=reason) for name in names]


def deleted(service: Service, kept: Iterable[Snapshot]) -> tuple[list[Snapshot], list[Unseen]]:
    """
    The kept revisions of a service that are not among those that were read, and what cannot be told
    of them.
    """
    there = {one.identity.uid for one in service.revisions}
    named = {one.identity.revision for one in service.revisions}
    gone = told_apart((one for one in kept if one.identity.uid not in there), named)
    living = (one for one in service.revisions if one.identity.revision)
    borders = apart(sorted((*gone, *living), key=by_age)) if gone else ()
    return gone, untold(borders, str(service.address))


def _deploy(snapshot: Snapshot) -> Deploy:
    who = snapshot.identity
    return Deploy(
        revision=who.revision,
        uid=who.uid,
        create_time=who.create_time,
        creator=who.creator,
        client=" ".join(filter(None, (who.client, who.client_version))),
    )


def keepable(revisions: Iterable[Snapshot]) -> list[Snapshot]:
    """
    Those that can be kept, oldest first, as they are kept: what stands in for a revision that was
    not read has no uid.
    """
    there = (one for one in revisions if one.identity.uid and one.identity.revision)
    return sorted(map(bare, there), key=by_age)


class KeptStep(Frozen):
    """
    What one deploy did to one key, as `drift_audit.timeline.Step` tells it, and the deploy.
    `previous` is the revision that was kept before; one between them, which no audit read, may have
    done it.
    """

    deploy: Deploy
    previous: str = ""
    what: What
    state: State | None = None
    says: str
    cause: Cause | None = None


class KeptLine(Frozen):
    """One key or mounted file over all the revisions that were kept, oldest first."""

    at: Address
    steps: tuple[KeptStep, ...]

    @property
    def changed(self) -> bool:
        """Whether any deploy did something to it."""
        return any(step.what != "there" for step in self.steps)


class KeptKeys(Frozen):
    """
    Keys and files over the services of a store. Of the services that were looked at, `without`
    never had one of them; `unchanged` counts the places that no deploy did anything to.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/kept-keys"] = "drift-audit/kept-keys"
    services: int
    revisions: int
    without: int = 0
    unchanged: int = 0
    lines: tuple[KeptLine, ...] = ()
    unseen: tuple[Unseen, ...] = ()


def together(several: Sequence[KeptKeys]) -> KeptKeys:
    """What several locations tell, as one."""
    return KeptKeys(
        services=sum(one.services for one in several),
        revisions=sum(one.revisions for one in several),
        without=sum(one.without for one in several),
        unchanged=sum(one.unchanged for one in several),
        lines=tuple(line for one in several for line in one.lines),
        unseen=tuple(missed for one in several for missed in one.unseen),
    )
