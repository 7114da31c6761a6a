"""
Waivers: what the owner accepts, for a reason, until a day. Those that end soon, have expired, are
of no use, or came with what they forgive, are findings, and no waiver covers these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from drift_audit.finding import Finding, Severity, Waived
from drift_audit.past import Past
from drift_audit.policy import Policy
from drift_audit.rules.engine import Fleet, Hit, fleet_rule
from drift_audit.snapshot import Address
from drift_audit.waiver import Waiver

OF_WAIVERS = frozenset(
    {"waiver-added-with-drift", "waiver-expired", "waiver-expiring", "waiver-unused"}
)
"""The rules of this family: a waiver that hides drift must not hide itself."""


MOST_TOLD = 3
"""Findings of one waiver that are named."""


@dataclass(frozen=True)
class Before:
    """
    What is known of one service before this run: its past, as far as audits remember one, else the
    waivers that there were when its baseline was promoted, and what has `changed` since then.
    """

    past: Past | None = None
    promoted: frozenset[str] | None = None
    changed: Collection[Address] = ()

    def tells_of(self, finding: Finding) -> bool:
        """Tell whether it is known what was there first, a finding or its waiver."""
        since = self.promoted is not None and finding.address in self.changed
        return self.past is not None or since

    def knew_neither(self, finding: Finding, waivers: Sequence[Waiver]) -> bool:
        """Tell whether neither a finding was there before, nor any waiver that covers it."""
        ids = [waiver.id for waiver in waivers]
        if self.past is not None:
            return self.past.came_together(finding.id, ids)
        return self.tells_of(finding) and not (self.promoted or frozenset()) & {*ids}


NOTHING = Before()


def waive(
    findings: Iterable[Finding], policy: Policy, today: dt.date, before: Before = NOTHING
) -> list[Finding]:
    """
    The findings, each with the first waiver that covers it on that day, if one does. None is
    dropped.
    """
    return [finding.but(waived=_waived(finding, policy, today, before)) for finding in findings]


def _waived(finding: Finding, policy: Policy, today: dt.date, before: Before) -> Waived | None:
    covering = [waiver for waiver in policy.waiver if waiver.covers(finding, today)]
    if not covering or finding.rule in OF_WAIVERS:
        return None
    return covering[0].mark.but(new=before.knew_neither(finding, covering))


@fleet_rule("waiver-added-with-drift", Severity.MEDIUM)
def waiver_added_with_drift(fleet: Fleet) -> Iterator[Hit]:
    """
    A waiver is as new as what it forgives.

    The audit before, or the baseline, knew neither: who made the change may have excused it as
    well, and nobody has seen it open.

    Fix: have the change and the waiver reviewed. A waiver that is given again later, until another
    day, counts as reviewed, and promoting a baseline accepts the change itself.
    """
    new = [f for f in fleet.findings if f.waived is not None and f.waived.new]
    for waiver in fleet.policy.waiver if new else ():
        mine = [f"{f.rule} at {f.address}" for f in new if waiver.covers(f, fleet.today)]
        if mine:
            more = f" and {len(mine) - MOST_TOLD} more" if len(mine) > MOST_TOLD else ""
            what = f"what it forgives: {', '.join(mine[:MOST_TOLD])}{more}"
            says = f"the waiver of {waiver.rule} by {waiver.owner} came together with {what}"
            yield Hit(_place(waiver), says)


@fleet_rule("waiver-expiring", Severity.INFO)
def waiver_expiring(fleet: Fleet) -> Iterator[Hit]:
    """
    A waiver ends soon, and what it forgives is still there.

    After its last day the finding counts again, and may fail the run. Announced in the last 14 days
    of a waiver, or as many as waiver_notice says.

    Fix: mend the finding, or renew the waiver with a new reason and day.
    """
    for waiver in fleet.policy.waiver:
        left = (waiver.until - fleet.today).days
        if 0 <= left < fleet.policy.waiver_notice and _is_used(waiver, fleet):
            says = f"the waiver of {waiver.rule} by {waiver.owner} ends on {waiver.until}"
            yield Hit(_place(waiver), says)


@fleet_rule("waiver-expired", Severity.MEDIUM)
def waiver_expired(fleet: Fleet) -> Iterator[Hit]:
    """
    A waiver is past its last day, and what it forgave is still there.

    It forgives nothing any more: the finding counts again.

    Fix: mend the finding, or renew the waiver with a new reason and day.
    """
    for waiver in fleet.policy.waiver:
        if fleet.today > waiver.until and _is_used(waiver, fleet):
            says = f"the waiver of {waiver.rule} by {waiver.owner} ended on {waiver.until}"
            yield Hit(_place(waiver), says)


@fleet_rule("waiver-unused", Severity.LOW)
def waiver_unused(fleet: Fleet) -> Iterator[Hit]:
    """
    A waiver matched no finding.

    It will silently forgive the next one that matches. Told where what it speaks of was looked at.

    Fix: remove the waiver, or correct its rule or place.
    """
    if fleet.asked is None:
        return
    seen = [f"{candidate.address}/" for candidate in fleet.candidates]
    for waiver in fleet.policy.waiver:
        looked = fleet.whole or any(f"{waiver.at}/".startswith(place) for place in seen)
        if looked and not _is_used(waiver, fleet):
            says = f"the waiver of {waiver.rule} by {waiver.owner} matched nothing"
            yield Hit(_place(waiver), says)


def _is_used(waiver: Waiver, fleet: Fleet) -> bool:
    """Tell whether there is something that the waiver speaks of, expired or not."""
    return any(waiver.names(f) for f in fleet.findings if f.rule not in OF_WAIVERS)


def _place(waiver: Waiver) -> Address:
    return Address(setting=f"waiver/{waiver.rule}/{waiver.at}")
