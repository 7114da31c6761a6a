"""
Waivers: what the owner accepts, for a reason, until a day. Expired and useless ones are findings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from drift_audit.finding import Finding, Severity
from drift_audit.policy import Policy, Waiver
from drift_audit.rules.engine import Fleet, Hit, fleet_rule
from drift_audit.snapshot import Address


def waive(findings: Iterable[Finding], policy: Policy, today: dt.date) -> list[Finding]:
    """The findings, each with the first waiver that covers it on that day. None is dropped."""
    return [
        finding.but(waived=next((w.mark for w in policy.waiver if w.covers(finding, today)), None))
        for finding in findings
    ]


@fleet_rule("waiver-expired", Severity.MEDIUM)
def waiver_expired(fleet: Fleet) -> Iterator[Hit]:
    """
    A waiver is past its last day, and what it forgave is still there.

    It forgives nothing any more: the finding counts again.

    Fix: mend the finding, or renew the waiver with a new reason and day.
    """
    for waiver in fleet.policy.waiver:
        if fleet.today > waiver.until and any(waiver.names(f) for f in fleet.findings):
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
        if looked and not any(waiver.names(f) for f in fleet.findings):
            says = f"the waiver of {waiver.rule} by {waiver.owner} matched nothing"
            yield Hit(_place(waiver), says)


def _place(waiver: Waiver) -> Address:
    return Address(setting=f"waiver/{waiver.rule}/{waiver.at}")
