"""The revisions that audits have kept in a store, for the commands that ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drift_audit import inventory
from drift_audit.errors import InputError

if TYPE_CHECKING:
    from drift_audit.kept import KeptKeys
    from drift_audit.snapshot import Address, Snapshot, Unseen
    from drift_audit.store.histories import Histories


def deleted(
    histories: Histories, service: inventory.Service
) -> tuple[list[Snapshot], list[Unseen]]:
    """
    The kept revisions of a service that are not among those that were read, and what cannot be told
    of them.
    """
    from drift_audit.kept import apart, told_apart, untold

    kept, unseen = histories.of(service.address)
    there = {one.identity.uid for one in service.revisions}
    named = {one.identity.revision for one in service.revisions}
    gone = told_apart((one for one in kept if one.identity.uid not in there), named)
    living = (one for one in service.revisions if one.identity.revision)
    borders = apart(sorted((*gone, *living), key=inventory.by_age)) if gone else ()
    return gone, [*unseen, *untold(borders, str(service.address))]


def former(histories: Histories, scope: inventory.Scope) -> list[Address]:
    """The services in scope of which revisions are kept, there or not."""
    from drift_audit.snapshot import Address

    kept = (
        Address(project=project, region=region, service=name)
        for project, region in histories.places()
        for name in histories.index((project, region))[0].counts
    )
    return [at for at in kept if scope.covers(at)]


def search(
    histories: Histories, asked: inventory.Scope, service: str, keys: Sequence[str]
) -> KeptKeys:
    """
    What deploys did to keys in the services in scope, from their indexes alone. Raises InputError
    where nothing is kept of any.
    """
    from drift_audit.kept import together
    from drift_audit.snapshot import Address

    told = []
    for project, region in histories.places():
        home = Address(project=project, region=region)
        if asked.covers(home):
            index, unseen = histories.index((project, region))
            found = index.search(home, service, keys)
            told.append(found.but(unseen=(*unseen, *found.unseen)))
    found = together(told)
    if not found.services and not found.unseen:
        hint = "an audit with this store keeps what it reads"
        raise InputError(f"no revision is kept of {service}", hint=hint)
    return found
