"""Where plain values lead, and whether anything is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from drift_audit.binding import Target
from drift_audit.finding import Severity
from drift_audit.inventory import Service
from drift_audit.rules.engine import Case, Fleet, Hit, fleet_rule, rule
from drift_audit.rules.meaning import DATABASE, leads_into_a_vpc

_CLOUD_RUN = re.compile(
    r"(?:[a-z0-9-]+---)?(?P<service>[a-z](?:[-a-z0-9]*[a-z0-9])?)-(?P<number>[0-9]{6,})"
    r"\.(?P<region>[a-z]+-[a-z]+[0-9]{1,2})\.run\.app"
)
"""The address that tells service, project and region; the older kind has a hash in their place."""


def _spelled(target: Target) -> str:
    return f"{target.name}:{target.port}" if target.port is not None else target.name


@rule("reference-unresolvable", Severity.HIGH)
def reference_unresolvable(case: Case) -> Iterator[Hit]:
    """
    A URL leads to a name without a domain.

    Such names work between containers of a compose file. On Cloud Run nothing answers to them: the
    call fails, or waits for its timeout.

    Fix: set the URL that the other service has on Cloud Run, or remove the key.
    """
    for at, target in case.candidate.targets:
        if target.kind == "label":
            says = (
                f"{at.name} leads to {_spelled(target)}, which no service on Cloud Run answers to"
            )
            yield Hit(at, says)


@rule("reference-local", Severity.HIGH)
def reference_local(case: Case) -> Iterator[Hit]:
    """
    A value leads to the container itself.

    On the machine of a developer the database or the other service listens there. In a revision
    with one container nothing does.

    Fix: set the address that the other side has on Cloud Run, or remove the key.
    """
    if len(case.candidate.containers) > 1:
        return  # what listens there may be the container beside
    for at, target in case.candidate.targets:
        if target.kind == "local":
            says = f"{at.name} leads to {_spelled(target)}, and no other container listens there"
            yield Hit(at, says)


@rule("reference-without-path", Severity.HIGH)
def reference_without_path(case: Case) -> Iterator[Hit]:
    """
    A value leads to a private address, and the revision has no way into a VPC.

    Calls to it wait for their timeout. They worked while there was a connector, or from another
    machine.

    Fix: set a connector or a network for the revision, or the address that can be reached.
    """
    private = [found for found in case.candidate.targets if found[1].kind == "private"]
    if private and not leads_into_a_vpc(case.candidate):
        for at, target in private:
            says = f"{at.name} leads to {_spelled(target)}, and nothing leads into a VPC"
            yield Hit(at, says)


@rule("reference-elsewhere", Severity.MEDIUM)
def reference_elsewhere(case: Case) -> Iterator[Hit]:
    """
    A value leads to another project, region or environment than the service belongs to.

    A production service that calls staging works, with the data of staging. Another project or
    region may be meant, and is easily left over from a copy.

    Fix: set the address of the service's own environment, or waive the finding.
    """
    who, own = case.candidate.identity, case.environment
    for at, target in case.candidate.targets:
        if own and target.environment not in (None, own):
            where = f" ({target.name})" if target.name else ""
            yield Hit(at, f"{at.name} leads to {target.environment}{where}; the service is {own}")
        elif (place := _CLOUD_RUN.fullmatch(target.name)) is not None:
            if who.project_number and place["number"] != who.project_number:
                yield Hit(at, f"{at.name} leads to {target.name}, in another project")
            elif place["region"] != who.region:
                yield Hit(at, f"{at.name} leads to {target.name}, in another region")


@rule("database-not-attached", Severity.MEDIUM)
def database_not_attached(case: Case) -> Iterator[Hit]:
    """
    A value names a Cloud SQL instance that is not attached to the revision.

    The socket of an instance exists only where it is attached. An application that brings its own
    connector needs no attachment.

    Fix: attach the instance, or waive the finding if the application connects by itself.
    """
    for at, target in case.candidate.targets:
        if target.kind == "cloud-sql" and case.candidate.setting(DATABASE + target.name) is None:
            yield Hit(at, f"{at.name} names {target.name}, which is not attached")


@fleet_rule("reference-to-no-service", Severity.HIGH)
def reference_to_no_service(fleet: Fleet) -> Iterator[Hit]:
    """
    A URL leads to a Cloud Run service that does not exist.

    It was deleted or renamed, or never deployed under that name: every call ends in 404.

    Fix: set the URL of the service that is meant.
    """
    for candidate in fleet.candidates:
        for at, target in candidate.targets:
            place = _CLOUD_RUN.fullmatch(target.name)
            if place is None:
                continue
            project, region = fleet.project_ids.get(place["number"]), place["region"]
            looked = project is not None and _looked_at(fleet, project, region)
            if looked and not any(_is(s, project, place) for s in fleet.inventory.services):
                yield Hit(at, f"{at.name} leads to {target.name}, and there is no such service")


def _looked_at(fleet: Fleet, project: str, region: str) -> bool:
    """Whether all services of a place were listed."""
    scope = fleet.inventory.scope
    everything = scope.services in ((), ("*",)) and (not scope.kinds or "service" in scope.kinds)
    return everything and project in scope.projects and region in scope.regions and not fleet.unseen


def _is(service: Service, project: str | None, place: re.Match[str]) -> bool:
    here = service.project, service.region, service.service
    return service.kind == "service" and here == (project, place["region"], place["service"])
