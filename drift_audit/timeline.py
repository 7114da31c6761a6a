"""
What became of every key over the revisions of a service: when it appeared, changed, was bound
elsewhere, and left, and which deploy that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal

from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference, State, is_blank
from drift_audit.cause import probable_cause
from drift_audit.differ import Change, Item, Place, compare, items, pair_containers, place_of
from drift_audit.finding import Cause
from drift_audit.frozen import Frozen
from drift_audit.history import KnownGood
from drift_audit.inventory import Service, by_age
from drift_audit.past import Past, Served
from drift_audit.rules.env import told
from drift_audit.rules.meaning import sentence
from drift_audit.service_report import RevisionFacts, facts
from drift_audit.snapshot import Address, Kind, Setting, Snapshot, Unseen

What = Literal[
    "there", "appeared", "vanished", "emptied", "filled", "bound elsewhere", "became", "changed"
]
"""What a deploy did to an address; `there` is how the oldest revision had it."""


class Step(Frozen):
    """
    One deploy that did something to one address, and the state it left there; None of a setting.
    `says` is for people and holds no value.
    """

    revision: str
    what: What
    state: State | None = None
    says: str
    cause: Cause | None = None


class Line(Frozen):
    """One key, mounted file or setting, and what became of it, oldest first."""

    at: Address
    steps: tuple[Step, ...]

    @property
    def changed(self) -> bool:
        """Whether any deploy did something to it."""
        return any(step.what != "there" for step in self.steps)


class Timeline(Frozen):
    """
    The history of one service. `revisions` are those that were read, oldest first; `complete` says
    that no other one still exists, `known_good` which one an audit holds the newest against, and
    why. `served` are those that an audit saw serve, with the time when that was so last; `deleted`
    those that exist no more, and were kept by an audit.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/history"] = "drift-audit/history"
    project: str
    region: str
    service: str
    kind: Kind
    complete: bool
    known_good: str = ""
    known_good_why: str = ""
    served: tuple[Served, ...] = ()
    deleted: tuple[str, ...] = ()
    revisions: tuple[RevisionFacts, ...]
    lines: tuple[Line, ...]
    unseen: tuple[Unseen, ...] = ()


def timeline(
    service: Service,
    wanted: Sequence[str] = (),
    *,
    known: KnownGood | None = None,
    past: Past | None = None,
    deleted: Sequence[Snapshot] = (),
    unseen: Sequence[Unseen],
) -> Timeline:
    """
    Follow what is wanted, globs on keys, paths of files and settings, through the revisions that
    were read, and those that are `deleted`. Without any, every key and file that some deploy did
    something to.
    """
    good = known.snapshot if known else None
    there_now = (r for r in service.revisions if r.identity.revision)
    chain = sorted((*there_now, *deleted), key=by_age)
    home, there = service.address, {r.identity.uid for r in chain}
    followed = sorted(follow(chain, wanted).items())
    lines = (
        Line(
            at=home.at(box, **{kind: name}), steps=_now(steps) if len(chain) == 1 else tuple(steps)
        )
        for (kind, box, name), steps in followed
    )
    return Timeline(
        project=service.project,
        region=service.region,
        service=service.service,
        kind=service.kind,
        complete=service.complete,
        known_good=good.revision if good else "",
        known_good_why=known.why if known else "",
        served=tuple(one for one in (past.served if past else ()) if one.uid in there),
        deleted=tuple(r.revision for r in sorted(deleted, key=by_age)),
        revisions=tuple(map(facts, chain)),
        lines=tuple(line for line in lines if wanted or line.changed),
        unseen=tuple(unseen),
    )


Steps = dict[Place, list[Step]]
"""What became of each place, oldest first."""


def follow(
    chain: Sequence[Snapshot], wanted: Sequence[str] = (), known: Steps | None = None
) -> Steps:
    """
    Every step by place, of keys and files where nothing is `wanted`, with containers called as the
    newest revision calls them. `known` is what became of them up to the first revision of the
    chain.
    """
    lines = {place: [*steps] for place, steps in (known or {}).items()}
    for oldest in chain[:1] if known is None else ():
        for place, item in items(oldest, {"bindings", "mounts", "settings"}).items():
            if _is_wanted(place, wanted):
                step = Step(
                    revision=oldest.revision,
                    what="there",
                    state=_state(item),
                    says=f"was {_told(item)}",
                )
                lines[place] = [step]
    for before, after in pairwise(chain):
        if not wanted and _alike(before, after):
            continue
        called = pair_containers(before, after)
        lines = {(kind, called.get(box, box), n): s for (kind, box, n), s in lines.items()}
        for place, step in _steps(before, after, wanted):
            lines.setdefault(place, []).append(step)
    return lines


def _steps(
    before: Snapshot, after: Snapshot, wanted: Sequence[str]
) -> Iterator[tuple[Place, Step]]:
    """What one deploy did."""
    changes = [c for c in compare(before, after) if not _of_the_service(c)]
    lost = {c.at for c in changes if c.after is None and c.at.setting is None}
    cause = probable_cause(before, after) if lost else None
    for change in changes:
        place = place_of(change.at)
        if place is not None and _is_wanted(place, wanted):
            what, says = _said(change)
            why = cause if change.at in lost else None
            state = None if place[0] == "setting" else _state(change.after)
            step = Step(revision=after.revision, what=what, state=state, says=says, cause=why)
            yield place, step


def _alike(before: Snapshot, after: Snapshot) -> bool:
    """
    Tell whether two revisions hold the same keys and files, in the same containers. Neighbours that
    were read as a series share them, so that most deploys cost no more than this look.
    """
    return (
        before.bindings == after.bindings
        and before.mounts == after.mounts
        and before.containers == after.containers
    )


def _state(item: Item | None) -> State | None:
    """The state of a key or file; None of a setting."""
    if item is None:
        return "absent"
    return None if isinstance(item, Setting) else item.state


def _of_the_service(change: Change) -> bool:
    """What changes without a deploy is in no revision."""
    return (change.at.setting or "").startswith("service.")


def _now(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of the only revision there is: what it was, it is."""
    return tuple(step.but(says=f"is{step.says.removeprefix('was')}") for step in steps)


def _is_wanted(place: Place, wanted: Sequence[str]) -> bool:
    kind, _, name = place
    if not wanted:
        return kind != "setting"
    return any(fnmatchcase(name, glob) for glob in wanted)


def _said(change: Change) -> tuple[What, str]:
    """What a change is, in a word and in a sentence."""
    before, after = change.before, change.after
    if before is None:
        return "appeared", f"appeared; it is {_told(after)}"
    if after is None:
        return "vanished", f"is gone; it was {_told(before)}"
    if isinstance(before, Setting) or isinstance(after, Setting):
        return "changed", sentence(change)
    return _of_sources(before, after)


def _of_sources(before: Binding | Mount, after: Binding | Mount) -> tuple[What, str]:
    was, now = f"was {_told(before)}", f"is {_told(after)} now"
    match before.source, after.source:
        case LiteralValue(clear=str() as old), LiteralValue(clear=str() as new):
            return "changed", f"changed from {old} to {new}"
        case LiteralValue() as old, LiteralValue() as new if is_blank(old) == is_blank(new):
            return "changed", "the plain value changed"
        case SecretReference(), SecretReference():
            return "bound elsewhere", f"{was}, {now}"
    blank = is_blank(before.source), is_blank(after.source)
    if blank == (False, True):
        return "emptied", f"is empty now; it {was}"
    if blank == (True, False):
        return "filled", f"was empty; it {now}"
    return "became", f"{was}, {now}"


def _told(item: Item | None) -> str:
    """Where something comes from, or a setting's value."""
    value = item.value if isinstance(item, Setting) else item and item.source
    if isinstance(value, LiteralValue) and value.clear is not None:
        return value.clear
    if isinstance(item, Setting):
        return "sealed" if isinstance(value, LiteralValue) else str(value)
    return told(item.source) if item else "absent"
