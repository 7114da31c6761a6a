"""
The one sentence that a reader must not miss: what was not seen, then the worst that was.
"""

from __future__ import annotations

from collections.abc import Sequence

from drift_audit.finding import Finding, Severity, Skip
from drift_audit.service_report import ReportedChange, ServiceReport
from drift_audit.snapshot import UNKNOWN, Address, Unseen

MOST_NAMED = 8
"""Names that a headline lists."""


def headline(
    services: Sequence[ServiceReport],
    findings: Sequence[Finding],
    unseen: Sequence[Unseen],
    skipped: Sequence[Skip],
    fail_on: Severity | None,
    *,
    alone: bool = False,
) -> str:
    """
    The one sentence that a reader must not miss: what was not seen, then the worst that was.
    `alone` says that nothing was to be compared.
    """
    if not services:
        return "nothing was audited"
    worst = _worst(services, findings, fail_on, alone=alone)
    blocked = sum(skip.blocking for skip in skipped)
    if unseen:
        return f"{number(len(unseen), 'thing')} in scope could not be read; {worst}"
    if blocked:
        return f"{number(blocked, 'judgement')} in scope could not be made; {worst}"
    return worst


def _worst(
    services: Sequence[ServiceReport],
    findings: Sequence[Finding],
    fail_on: Severity | None,
    *,
    alone: bool,
) -> str:
    by_loss = sorted(services, key=lambda s: -len(_lost(s)))
    worst, lost = by_loss[0], _lost(by_loss[0])
    if lost:
        since = _since(worst, lost)
        had = worst.reference if worst.reference != worst.candidate else "the reference"
        who = worst.candidate if worst.candidate_facts.deployed else worst.address.service
        drops = f"{who} drops {number(len(lost), 'key')} that {had} had"
        return f"{drops}: {some(lost)}{since}"
    missing = sorted({f.address.name for f in findings if f.rule == "key-missing"})
    if missing:
        where = sorted({f.address.service for f in findings if f.rule == "key-missing"})
        lacks = f"{some(where)} lacks {number(len(missing), 'required key')}"
        return f"{lacks}: {some(missing)}"
    failing = [f for f in findings if f.severity >= (fail_on or Severity.HIGH)]
    failing = [f for f in failing if f.rule != "not-seen"]  # told before, and in its own list
    if failing:
        first = min(failing, key=lambda f: f.order)
        more = f", and {number(len(failing) - 1, 'more finding')}" if len(failing) > 1 else ""
        who = f"{first.address.service}: " if first.address.service != UNKNOWN else ""
        return f"{who}{first.says}{more}"
    changes = sum(len(s.changes) for s in services)
    if changes:
        limit = f"none at or above {fail_on.word}" if fail_on else "reported only"
        if not any(map(differs, services)):
            limit = "all waived"
        return f"{number(changes, 'difference')} in {_places(services)}, {limit}"
    if alone:
        return f"no required key is missing in {_places(services)}"
    without = [s for s in services if s.reference is None]
    if without:
        told = f"{_places(without)} had no reference"
        nothing = len(without) == len(services)
        return f"nothing was compared: {told}" if nothing else f"no difference, but {told}"
    return f"no difference and nothing missing in {_places(services)}"


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many there are besides."""
    more = len(names) - MOST_NAMED
    told = ", ".join(names[:MOST_NAMED])
    return f"{told} and {more} more" if more > 0 else told


def _places(services: Sequence[ServiceReport]) -> str:
    """How many services those are: one may stand there with several candidates."""
    return number(len({str(s.address) for s in services}), "service")


def _lost(service: ServiceReport) -> list[str]:
    waived = {str(f.address) for f in service.findings if f.rule == "key-lost" and f.waived}
    lost = [c for c in service.changes if c.key is not None and c.after == "absent"]
    home = service.address
    return sorted(
        {c.key for c in lost if c.key and str(home.at(c.container, key=c.key)) not in waived}
    )


def _since(service: ServiceReport, lost: Sequence[str]) -> str:
    """The one deploy that lost them all, if it was one."""
    losses = [f for f in service.findings if f.rule == "key-lost" and f.address.key in lost]
    deploys = {f.first_seen.revision for f in losses if f.first_seen and f.first_seen.certain}
    one_of_several = len(deploys) == 1 and deploys != {service.candidate}
    return f"; since {deploys.pop()}" if one_of_several else ""


def differs(service: ServiceReport) -> bool:
    """
    Tell whether there is a change that counts: one unless findings speak of its address and all of
    them are waived.
    """
    open_at = {f.address for f in service.findings if f.waived is None}
    accepted = {f.address for f in service.findings} - open_at
    return any(_place(change, service) not in accepted for change in service.changes)


def _place(change: ReportedChange, service: ServiceReport) -> Address:
    where = {n: v for n in ("key", "mount", "setting") if (v := getattr(change, n)) is not None}
    return service.address.at(change.container, **where)


def number(count: int, word: str) -> str:
    """`1 service`, `2 services`, `2 policies`, `2 days`."""
    changes = word.endswith("y") and word[-2] not in "aeo"
    plural = f"{word[:-1]}ies" if changes else f"{word}s"
    return f"{count} {word if count == 1 else plural}"
