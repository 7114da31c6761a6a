"""
A chain of revisions: which one was known to be good, and which deploy made a change.

Cloud Run copies the whole configuration into every revision, so the chain is the history. Nothing
in the API says which revision served before; that has to come from a baseline or an earlier
audit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from drift_audit.differ import same_at
from drift_audit.finding import First
from drift_audit.inventory import Service, by_age
from drift_audit.snapshot import Address, Snapshot

TWO_SIDES = 2
"""With no more revisions than the two compared, nothing is known of the deploys between them."""


@dataclass(frozen=True)
class Baseline:
    """A revision that a person promoted, and what they said."""

    snapshot: Snapshot
    why: str


@dataclass(frozen=True)
class KnownGood:
    """The reference that was chosen, why, and which others were not. No snapshot: there is none."""

    snapshot: Snapshot | None
    why: str
    passed_over: tuple[str, ...] = field(default=())
    promoted: bool = False


def last_known_good(
    service: Service,
    candidate: Snapshot,
    *,
    baseline: Baseline | None,
    served: Collection[str],
    satisfies: Callable[[Snapshot], bool],
) -> KnownGood:
    """
    Choose what a candidate is compared with.

    First a promoted baseline; then the newest revision that is Ready by its own condition, served
    when we last looked (`served`), satisfies the policy and is not the candidate; then the revision
    that serves most now. A baseline or revision that violates the policy is passed over.
    """
    passed_over: list[str] = []
    if baseline is not None:
        if satisfies(baseline.snapshot):
            return KnownGood(baseline.snapshot, f"baseline: {baseline.why}", promoted=True)
        passed_over.append(f"{baseline.snapshot.revision}: the baseline violates the policy")

    others = [r for r in service.revisions if r.identity.revision != candidate.identity.revision]
    for revision in sorted(others, key=by_age, reverse=True):
        if revision.identity.revision in served:
            reason = _unfit(revision, satisfies)
            if not reason:
                why = "newest Ready revision that served when last audited"
                return KnownGood(revision, why, tuple(passed_over))
            passed_over.append(f"{revision.revision}: {reason}")

    for name in service.serving:
        serving = service.revision(name)
        if serving is not None and name != candidate.identity.revision:
            return KnownGood(serving, "serves the most traffic now", tuple(passed_over))
    return KnownGood(None, "no baseline, and no other revision serves", tuple(passed_over))


def _unfit(revision: Snapshot, satisfies: Callable[[Snapshot], bool]) -> str:
    if revision.status.ready is not True:
        return "not Ready"
    return "" if satisfies(revision) else "violates the policy"


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
