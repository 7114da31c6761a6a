"""
A chain of revisions: which one was known to be good, and which deploy made a change.

Cloud Run copies the whole configuration into every revision, so the chain is the history. Nothing
in the API says which revision served before; that comes from a baseline or an earlier audit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from drift_audit.differ import same_at
from drift_audit.finding import First
from drift_audit.inventory import Service, by_age
from drift_audit.past import Past, Served
from drift_audit.snapshot import Address, Snapshot, Unseen

WENT_BACK = "its traffic went back to an older revision"

MOST_TOLD = 5
"""Revisions that were not chosen are told up to here."""

TWO_SIDES = 2
"""With no more revisions than the two compared, nothing is known of the deploys between them."""


How = Literal["named", "promoted", "served", "serving", "none"]
"""How a reference was found: named by the user, or by the first of the others that gave one."""


@dataclass(frozen=True)
class Baseline:
    """
    A revision that a person promoted, what they said, the ids of the waivers that there were then,
    as far as that was written down, what of the policy it violates with their consent, and the day.
    """

    snapshot: Snapshot
    why: str
    waivers: frozenset[str] | None = None
    accepted: frozenset[str] = frozenset()
    promoted: dt.date | None = None


@dataclass(frozen=True)
class KnownGood:
    """
    The reference, how it was found, and why. No snapshot: there is none.

    It is known to be good where it was `promoted` by a person, or `served` when an audit looked.
    `passed_over` are those that were not fit, `runners_up` those that another one came before, each
    with the reason. `unseen` is what of the history could not be read in search of it, `waivers`
    are those that there were when it was promoted, on the day `promoted`.
    """

    snapshot: Snapshot | None
    why: str
    how: How = "named"
    passed_over: tuple[str, ...] = field(default=())
    runners_up: tuple[str, ...] = field(default=())
    unseen: tuple[Unseen, ...] = field(default=())
    waivers: frozenset[str] | None = None
    promoted: dt.date | None = None


def last_known_good(
    service: Service,
    candidate: Snapshot,
    *,
    baseline: Baseline | None,
    past: Past | None,
    violations: Callable[[Snapshot], Collection[str]],
    chain: Callable[[Service], Service],
) -> KnownGood:
    """
    Choose what a candidate is compared with.

    First a promoted baseline; then the newest revision that is Ready by its own condition, served
    when an audit looked (`past`), satisfies the policy and is not the candidate; then the revision
    that serves most now. A baseline or revision that violates the policy is passed over, and so is
    one whose traffic went back to an older one. `violations` tells what a revision does not have
    of what the policy requires, and `chain` reads the history of the service; it is
    called where a revision served that is not among those that were read.
    """
    served = [one for one in past.served if one.uid != candidate.identity.uid] if past else []
    passed_over: dict[str, str] = {}
    if baseline is not None:
        if baseline.accepted.issuperset(violations(baseline.snapshot)):
            why, later = f"baseline: {baseline.why}", _later(served, baseline.snapshot)
            return KnownGood(
                baseline.snapshot,
                *(why, "promoted"),
                runners_up=later,
                waivers=baseline.waivers,
                promoted=baseline.promoted,
            )
        passed_over[baseline.snapshot.revision] = "the baseline violates the policy"
    whole = service
    for number, one in enumerate(served, 1):
        if one.rolled_back:
            passed_over[one.revision] = WENT_BACK
            continue
        if (revision := _read(one, whole)) is None and whole is service:
            whole = chain(service)
            revision = _read(one, whole)
        reason = _unfit(revision, service, violations) if revision else _absent(whole)
        if not reason:
            why = f"newest Ready revision that served when last audited, {one.day}"
            others, older = _told(passed_over), _older(served[number:])
            return KnownGood(revision, why, "served", others, older, _missed(service, whole))
        passed_over[one.revision] = reason
    found = _serving(service, candidate, passed_over, violations)
    return replace(found, unseen=_missed(service, whole))


def _serving(
    service: Service,
    candidate: Snapshot,
    passed_over: Mapping[str, str],
    violations: Callable[[Snapshot], Collection[str]],
) -> KnownGood:
    """The revision that serves most now, whatever is to be said of it."""
    names = (name for name in service.serving if name != candidate.identity.revision)
    others = [r for r in map(service.revision, names) if r is not None]
    if not others:
        known = "nothing that was good is fit" if passed_over else "no baseline"
        why = f"{known}, and no other revision serves"
        return KnownGood(None, why, "none", _told(passed_over))
    first, *less = others
    not_ready = "not Ready" if first.status.ready is False else ""
    poor = not_ready or _violation(first, violations)
    why = "serves the most traffic now" + (f"; {poor}" if poor else "")
    told = {name: reason for name, reason in passed_over.items() if name != first.revision}
    lesser = tuple(f"{r.revision}: serves less" for r in less)
    return KnownGood(first, why, "serving", _told(told), lesser)


def _read(one: Served, service: Service) -> Snapshot | None:
    """The revision that served, if it is among those that were read."""
    return next((r for r in service.revisions if r.identity.uid == one.uid), None)


def _absent(service: Service) -> str:
    return "does not exist any more" if service.complete else "could not be read"


def _unfit(
    revision: Snapshot, service: Service, violations: Callable[[Snapshot], Collection[str]]
) -> str:
    """Why a revision that served is not known to be good; nothing where it is."""
    serving = [r for r in map(service.revision, service.serving) if r is not None]
    if serving and all(by_age(r) < by_age(revision) for r in serving):
        return WENT_BACK
    return _violation(revision, violations) if revision.status.ready is True else "not Ready"


def _violation(revision: Snapshot, violations: Callable[[Snapshot], Collection[str]]) -> str:
    return "violates the policy" if violations(revision) else ""


def _later(served: Sequence[Served], baseline: Snapshot) -> tuple[str, ...]:
    """The newest revision that served, where it was made after the baseline's."""
    made = baseline.identity.create_time
    newer = [one for one in served if made and one.created and one.created > made]
    when = "served when last audited"
    return tuple(f"{one.revision}: {when}, {one.day}; a baseline comes first" for one in newer[:1])


def _older(served: Sequence[Served]) -> tuple[str, ...]:
    """The next one that served."""
    return tuple(f"{one.revision}: older; seen to serve until {one.day}" for one in served[:1])


def _told(passed_over: Mapping[str, str]) -> tuple[str, ...]:
    """The others, each with the reason."""
    told = [f"{name}: {reason}" for name, reason in passed_over.items()]
    more = [f"{len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
    return *told[:MOST_TOLD], *more


def _missed(service: Service, whole: Service) -> tuple[Unseen, ...]:
    return tuple(missed for missed in whole.unseen if missed not in service.unseen)


def first_with(
    service: Service, reference: Snapshot, candidate: Snapshot, at: Address
) -> First | None:
    """
    Find the deploy from which on the configuration at an address was what the candidate has there.

    The answer is certain when every revision that still exists was read, and the one just before
    differs. None where no deploy can have done it: a setting of the service changes without one,
    and a reference that is newer came after. None too where only the two sides are known.
    """
    if (at.setting or "").startswith("service.") or _newer(reference, candidate):
        return None
    known = {r.revision: r for r in (reference, *service.revisions, candidate)}
    older = [r for r in sorted(known.values(), key=by_age) if by_age(r) < by_age(candidate)]
    first, previous = candidate, ""
    for revision in reversed(older):
        if not same_at(at, revision, candidate):
            previous = revision.identity.revision
            break
        first = revision
    who = first.identity
    if not service.complete and len(known) <= TWO_SIDES:
        return None
    return First(
        revision=first.revision,
        previous=previous,
        creator=who.creator,
        client=" ".join(filter(None, (who.client, who.client_version))),
        create_time=who.create_time,
        certain=service.complete and service.revision(previous or "-") is not None,
    )


def _newer(reference: Snapshot, candidate: Snapshot) -> bool:
    """Tell whether the reference is known to have been made after the candidate."""
    made, then = reference.identity.create_time, candidate.identity.create_time
    return made is not None and then is not None and by_age(reference) > by_age(candidate)
