"""
What the policy, and the application's own schema, want of the keys of one revision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drift_audit.app_schema import AppSchema, Held, Need
from drift_audit.binding import Binding, Mount, is_blank
from drift_audit.policy import Policy, Requirement
from drift_audit.snapshot import Address, Snapshot

SECRET = Requirement.model_validate({"from": "secret"})
ANY = Requirement()


class Wanted(NamedTuple):
    """
    A key that a revision should hold: where it is, else where it belongs, and what it must be.

    `item` is what gives it, None where nothing does; any of `others` would do as well.
    """

    at: Address
    need: Need
    requirement: Requirement
    item: Binding | Mount | None
    others: tuple[str, ...] = ()

    @property
    def lack(self) -> str:
        """`absent` or `empty`, with what would do as well; nothing where the key has a value."""
        if self.item is not None:
            return "empty" if is_blank(self.item.source) else ""
        return f"absent; {' or '.join(self.others)} would do too" if self.others else "absent"


def wanted(snapshot: Snapshot, policy: Policy) -> list[Wanted]:
    """
    Every key that the policy requires, and every one that a schema names and that the policy itself
    says nothing of.
    """
    home = snapshot.address
    explicit = {
        (container or snapshot.ingress, key): requirement
        for container, key, requirement in policy.required(home)
    }
    found = [
        Wanted(home.at(box, key=key), "yes", requirement, snapshot.keys.get((box, key)))
        for (box, key), requirement in explicit.items()
    ]
    for box, schema in declared(snapshot, policy):
        held = Held(schema, snapshot, box)
        said = set(schema.folded(key for container, key in explicit if container == box))
        for key in schema.keys:
            if said.isdisjoint(schema.folded(key.names)) and held.asks_for(key):
                item = held.of(key)
                at = _place(item, home.at(box, key=key.names[0]))
                others = (*key.names[1:], *key.held_by)
                requirement = SECRET if key.secret else ANY
                found.append(Wanted(at, key.required, requirement, item, others))
    return found


def declared(snapshot: Snapshot, policy: Policy) -> Iterator[tuple[str, AppSchema]]:
    """What the applications in a revision read, each with its container."""
    for container, schema in policy.schemas(snapshot.address):
        yield container or snapshot.ingress, schema


def _place(item: Binding | Mount | None, otherwise: Address) -> Address:
    """Where an item stands."""
    match item:
        case Binding():
            return otherwise.but(key=item.key)
        case Mount():
            return otherwise.but(key=None, mount=item.path)
    return otherwise
