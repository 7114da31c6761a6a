"""What only shows when several services are held side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from drift_audit.binding import Binding, LiteralValue, Seal
from drift_audit.differ import items, place_of
from drift_audit.finding import Severity
from drift_audit.rules.engine import Fleet, Hit, Read, fleet_rule
from drift_audit.snapshot import UNKNOWN, Address, Setting, Snapshot


@fleet_rule("secret-shared", Severity.INFO)
def secret_shared(fleet: Fleet) -> Iterator[Hit]:
    """
    Several services read the same version of the same secret.

    For a signing key this is how a token of one service is accepted by the other; for a password it
    widens what one leak opens. Told from names and versions alone.

    Fix: keep it where it is meant; else give each service a secret of its own.
    """
    readers: dict[Read, set[str]] = {}
    for candidate in fleet.candidates:
        for _, ref in candidate.references:
            read = fleet.read(candidate, ref)
            if read[0] != UNKNOWN:
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
    judged = fleet.by_service
    for twins in fleet.inventory.twins:
        held = [at for at, seal in twins.places if _holds(judged.get(at.home, ()), at, seal)]
        if len({at.home for at in held}) > 1:
            first, *others = held
            also = ", ".join(str(at) for at in others)
            yield Hit(first, f"{first.name} holds the same plain value as {also}")


def _holds(candidates: Iterable[Snapshot], at: Address, seal: Seal | None) -> bool:
    """Tell whether a service still holds the value that was noticed in one of its revisions."""
    return any(seal in _seals(one, at) for one in candidates)


def _seals(candidate: Snapshot, at: Address) -> list[Seal | None]:
    """The seals of the plain values at an address."""
    place = place_of(at)
    item = items(candidate).get(place) if place else None
    sources = (*item.shadowed, item.source) if isinstance(item, Binding) else ()
    values = (item.value,) if isinstance(item, Setting) else sources
    return [v.sealed for v in values if isinstance(v, LiteralValue)]
