"""What only shows when several services are held side by side."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Fleet, Hit, fleet_rule
from drift_audit.snapshot import Address


@fleet_rule("secret-shared", Severity.INFO)
def secret_shared(fleet: Fleet) -> Iterator[Hit]:
    """
    Several services read the same version of the same secret.

    For a signing key this is how a token of one service is accepted by the other; for a password it
    widens what one leak opens. Told from names and versions alone.

    Fix: keep it where it is meant; else give each service a secret of its own.
    """
    readers: dict[tuple[str, str, str], set[str]] = {}
    for candidate in fleet.candidates:
        own = candidate.identity.project_number or candidate.identity.project
        for _, ref in candidate.references():
            version = str(ref.resolved or ref.asked)
            read = ref.project or own, ref.secret, version
            readers.setdefault(read, set()).add(str(candidate.address))
    for (project, secret, version), services in sorted(readers.items()):
        if len(services) > 1:
            at = Address(project=project, setting=f"secret/{secret}@{version}")
            yield Hit(at, f"{secret}@{version} is read by {', '.join(sorted(services))}")


@fleet_rule("credential-shared", Severity.MEDIUM)
def credential_shared(fleet: Fleet) -> Iterator[Hit]:
    """
    Several services hold the same credential as a plain value.

    One leak opens all of them, and a rotation has to find every copy.

    Fix: move the credential to Secret Manager and bind each service to a secret.
    """
    for twins in fleet.inventory.twins:
        first, *others = twins.places
        also = ", ".join(str(at) for at in others)
        yield Hit(first, f"{first.name} holds the same plain value as {also}")
