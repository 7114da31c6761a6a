"""What the audit itself did not see, or had nothing to compare with."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Fleet, Hit, fleet_rule, rule
from drift_audit.rules.schema import violations
from drift_audit.snapshot import Address


@rule("baseline-missing", Severity.MEDIUM)
def baseline_missing(case: Case) -> Iterator[Hit]:
    """
    There is no revision to compare with.

    Only the policy was held against the service: what a deploy lost cannot be told.

    Fix: promote a revision that is known to be good with drift-audit baseline promote.
    """
    if case.reference is None:
        says = "no baseline, and no other revision serves"
        if case.candidate.identity.project.isdecimal():
            says += "; the project is known by its number alone: give --project"
        yield Hit(case.candidate.address, says)


@rule("baseline-violates-schema", Severity.HIGH)
def baseline_violates_schema(case: Case) -> Iterator[Hit]:
    """
    The promoted baseline is not what the policy requires.

    A comparison with it would call a lost or wrong key normal, so it was not used.

    Fix: promote a revision that is as the policy says, or correct the policy.
    """
    if case.refused is not None:
        broken = "; ".join(violations(case.refused, case.policy, case.today))
        says = f"the baseline {case.refused.revision} was not used: {broken}"
        yield Hit(case.candidate.address, says)


@fleet_rule("nothing-audited", Severity.CRITICAL)
def nothing_audited(fleet: Fleet) -> Iterator[Hit]:
    """
    No service was audited.

    The scope matched nothing, or nothing could be read. An audit that looked at nothing is not
    clean.

    Fix: check project, region and service names, and the permissions of the auditing account.
    """
    if not fleet.candidates:
        yield Hit(Address(), "no service in scope could be judged")


@fleet_rule("not-seen", Severity.HIGH)
def not_seen(fleet: Fleet) -> Iterator[Hit]:
    """
    Something in scope could not be read.

    What was not read can be wrong. The verdict stays incomplete until it can be read.

    Fix: grant the permission that the reason names, or run again if the service did not answer.
    """
    for unseen in fleet.unseen:
        yield Hit(Address(setting=unseen.where), f"{unseen.where}: {unseen.reason}")


@fleet_rule("service-missing", Severity.HIGH)
def service_missing(fleet: Fleet) -> Iterator[Hit]:
    """
    A service that the policy expects, or that a baseline is kept of, was not found.

    It was deleted, renamed, or is in a project or region that was not looked at.

    Fix: deploy the service again, widen the scope, or drop it from expect in the policy or its
    baseline from the store.
    """
    found = {service.address for service in fleet.inventory.services} | _by_number(fleet)
    for at in sorted(fleet.expected - found, key=str):
        yield Hit(at, f"{at} is expected and was not found")
    for at in fleet.left:
        if at not in found:
            yield Hit(at, f"a baseline of {at} is kept, and the service was not found")


def _by_number(fleet: Fleet) -> set[Address]:
    """The services that were judged, by the numbers of their projects."""
    known = ((c.address, c.identity.project_number) for c in fleet.candidates)
    return {at.but(project=number) for at, number in known if number}


@fleet_rule("policy-unmatched", Severity.MEDIUM)
def policy_unmatched(fleet: Fleet) -> Iterator[Hit]:
    """
    What the policy says of some services speaks of none that was found.

    A misspelled match requires nothing: keys can be lost and nobody hears of it.

    Fix: correct match in the policy, or remove the entry.
    """
    if not fleet.whole:
        return
    for match in dict.fromkeys(entry.match for entry in fleet.policy.service):
        entries = [entry for entry in fleet.policy.service if entry.match == match]
        if not any(entries[0].covers(service.address) for service in fleet.inventory.services):
            at = Address(setting=f"policy/service/{match}")
            yield Hit(at, f"no service that was found matches {match}")
