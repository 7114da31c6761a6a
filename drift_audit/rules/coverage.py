"""What the audit itself did not see, or had nothing to compare with."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Fleet, Hit, fleet_rule, rule
from drift_audit.snapshot import Address


@rule("baseline-missing", Severity.MEDIUM)
def baseline_missing(case: Case) -> Iterator[Hit]:
    """
    There is no revision to compare with.

    Only the policy was held against the service: what a deploy lost cannot be told.

    Fix: promote a revision that is known to be good with drift-audit baseline promote.
    """
    if case.reference is None:
        yield Hit(case.candidate.address, "no baseline, and no other revision serves")


@rule("baseline-violates-schema", Severity.HIGH)
def baseline_violates_schema(case: Case) -> Iterator[Hit]:
    """
    The promoted baseline lacks keys that the policy requires.

    A comparison with it would call the loss of those keys normal, so it was not used.

    Fix: promote a revision that has the keys, or correct the policy.
    """
    if case.refused is not None:
        says = f"the baseline {case.refused.revision} lacks required keys and was not used"
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
    A service that the policy expects was not found.

    It was deleted, renamed, or is in a project or region that was not looked at.

    Fix: deploy the service again, widen the scope, or drop it from expect in the policy.
    """
    found = {str(service.address) for service in fleet.inventory.services}
    for name in dict.fromkeys(fleet.policy.scope.expect):
        if name not in found:
            project, region, service = name.split("/")
            at = Address(project=project, region=region, service=service)
            yield Hit(at, f"{name} is expected and was not found")
