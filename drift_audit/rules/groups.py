"""Services that must agree, and environments that must not mix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from drift_audit import names
from drift_audit.binding import Binding, SecretReference, is_blank
from drift_audit.finding import Severity
from drift_audit.policy import Group
from drift_audit.rules.engine import Fleet, Hit, Read, fleet_rule
from drift_audit.snapshot import UNKNOWN, Address, Snapshot


@dataclass(frozen=True)
class Candidate:
    """What one service offers under one of the names of a group: a secret, or None for a plain."""

    at: Address
    read: Read | None

    def __str__(self) -> str:
        what = f"reads {_spelled(self.read)}" if self.read else "holds a plain value"
        return f"{_short(self.at)} {what} through {self.at.key}"


@fleet_rule("group-diverges", Severity.CRITICAL)
def group_diverges(fleet: Fleet) -> Iterator[Hit]:
    """
    Services that must read the same secret read different ones.

    What one signs the other does not accept. Each looks right by itself, and every check that only
    asks whether its secret exists passes.

    Fix: bind the same secret in all of them; move the service that was changed last.
    """
    for group in fleet.policy.group:
        chosen = _chosen(fleet, group)
        if len({one.read and one.read[:2] for one in chosen}) > 1:
            yield Hit(_place(group), "; ".join(map(str, chosen)))


@fleet_rule("group-version-differs", Severity.HIGH)
def group_version_differs(fleet: Fleet) -> Iterator[Hit]:
    """
    Services that must read the same secret read different versions of it.

    After a rotation that reached only some of them, one signs with the new key and another still
    checks with the old.

    Fix: bind the same version in all of them.
    """
    for group in fleet.policy.group:
        chosen = _chosen(fleet, group)
        secrets = {one.read and one.read[:2] for one in chosen}
        if len(secrets) == 1 and len({one.read for one in chosen}) > 1:
            yield Hit(_place(group), "; ".join(map(str, chosen)))


@fleet_rule("group-key-differs", Severity.LOW)
def group_key_differs(fleet: Fleet) -> Iterator[Hit]:
    """
    Services that must read the same secret read it through variables of different names.

    Today they agree. The next person who rotates or rebinds one of the names will not know of the
    other.

    Fix: agree on one name, and drop the others from the group.
    """
    for group in fleet.policy.group:
        chosen = _chosen(fleet, group)
        same = len({one.read for one in chosen}) == 1
        if same and chosen[0].read and len({one.at.key for one in chosen}) > 1:
            yield Hit(_place(group), "; ".join(map(str, chosen)))


@fleet_rule("group-member-lost", Severity.CRITICAL)
def group_member_lost(fleet: Fleet) -> Iterator[Hit]:
    """
    A service that must read a secret with others reads it under none of its names.

    One side signs and the other cannot check, or the other way round: requests between them end in
    401 or 403.

    Fix: bind the secret that the others read, in a new revision.
    """
    for group in fleet.policy.group:
        having = [str(one) for one in _chosen(fleet, group)]
        for snapshot in _members(fleet, group):
            if not _offered(fleet, snapshot, group):
                says = f"none of {', '.join(group.keys)} is set"
                others = (
                    f"; {'; '.join(having)}"
                    if having
                    else ", nor in another service of the group that was seen"
                )
                at = snapshot.address.at(snapshot.ingress, key=group.keys[0])
                yield Hit(at, says + others)


@fleet_rule("group-ambiguous", Severity.HIGH)
def group_ambiguous(fleet: Fleet) -> Iterator[Hit]:
    """
    A service holds the secret of a group under two names, and they are not the same.

    Which one counts is decided by the order in which the code looks. Another order, in another
    service or the next release, and the two disagree.

    Fix: remove the name that must not count.
    """
    for group in fleet.policy.group:
        for snapshot in _members(fleet, group):
            offered = _offered(fleet, snapshot, group)
            if len({one.read for one in offered}) > 1:
                yield Hit(offered[0].at, "; ".join(map(str, offered)))


@fleet_rule("group-proposed", Severity.INFO)
def group_proposed(fleet: Fleet) -> Iterator[Hit]:
    """
    Several services read the same secret through the same name, and no group says that they must.

    If they must agree, a group in the policy tells when one of them no longer does.

    Fix: declare a group with these services and this key.
    """
    declared = {key for group in fleet.policy.group for key in group.keys}
    readers: dict[tuple[str, str, str], list[str]] = {}
    for snapshot in fleet.newest:
        for item, ref in snapshot.references:
            project, secret, _ = fleet.read(snapshot, ref)
            if isinstance(item, Binding) and item.key not in declared and project != UNKNOWN:
                readers.setdefault((project, secret, item.key), []).append(str(snapshot.address))
    for (project, secret, key), services in sorted(readers.items()):
        if len(several := list(dict.fromkeys(services))) > 1:
            says = (
                f"{', '.join(several)} read {secret} through {key}, and no group holds them to it"
            )
            yield Hit(Address(project=project, setting=f"group/{key}/{secret}"), says)


@fleet_rule("secret-across-environments", Severity.HIGH)
def secret_across_environments(fleet: Fleet) -> Iterator[Hit]:
    """
    Two environments read the same version of the same secret.

    A token of staging is valid in production, and whoever may read the one has the other.

    Fix: give each environment a secret of its own.
    """
    readers: dict[Read, dict[str, list[str]]] = {}
    for snapshot in fleet.newest:
        environment = fleet.policy.environment(snapshot.address)
        for _, ref in snapshot.references if environment else ():
            read = fleet.read(snapshot, ref)
            if read[0] != UNKNOWN:  # of a project that nobody names there may be several
                by_environment = readers.setdefault(read, {})
                by_environment.setdefault(str(environment), []).append(str(snapshot.address))
    for read, found in sorted(readers.items()):
        if len(found) > 1:
            sides = (f"in {e} by {', '.join(dict.fromkeys(s))}" for e, s in sorted(found.items()))
            at = Address(project=read[0], setting=f"secret/{read[1]}@{read[2]}")
            yield Hit(at, f"{_spelled(read)} is read {', and '.join(sides)}")


@fleet_rule("environments-differ", Severity.MEDIUM)
def environments_differ(fleet: Fleet) -> Iterator[Hit]:
    """
    A service holds a key in one environment and not in another.

    What was tried in staging is not what runs in production: the key was forgotten in one of them,
    or is needed in neither.

    Fix: set the key where it lacks, or waive it where it is meant.
    """
    alike: dict[str, dict[str, Snapshot]] = {}
    for snapshot in fleet.newest:
        environment = fleet.policy.environment(snapshot.address)
        if environment:
            sides = alike.setdefault(_base(snapshot.identity.service), {})
            sides.setdefault(environment, snapshot)
    for sides in alike.values():
        for here, snapshot in sorted(sides.items()):
            yield from _lacking(snapshot, here, sides)


def _lacking(snapshot: Snapshot, environment: str, sides: dict[str, Snapshot]) -> Iterator[Hit]:
    """The keys that the service has in other environments and not in this one."""
    here = {binding.key for binding in snapshot.bindings}
    where: dict[str, list[str]] = {}
    for other, twin in sorted(sides.items()):
        for key in dict.fromkeys(b.key for b in twin.bindings if b.key not in here):
            where.setdefault(key, []).append(f"in {other} by {twin.address}")
    for key, holders in where.items():
        if names.environment(key) is None:
            at = snapshot.address.at(snapshot.ingress, key=key)
            yield Hit(at, f"{key} is set {', '.join(holders)}, and not in {environment}")


# What a fleet holds


def _members(fleet: Fleet, group: Group) -> list[Snapshot]:
    return [snapshot for snapshot in fleet.newest if group.covers(snapshot.address)]


def _chosen(fleet: Fleet, group: Group) -> list[Candidate]:
    """What each member reads: where it holds several names, the one that the group names first."""
    offered = (_offered(fleet, snapshot, group) for snapshot in _members(fleet, group))
    return [candidates[0] for candidates in offered if candidates]


def _offered(fleet: Fleet, snapshot: Snapshot, group: Group) -> list[Candidate]:
    """What a service holds under the names of a group, in their order."""
    found = []
    for key in group.keys:
        for binding in snapshot.bindings:
            if binding.key == key and not is_blank(binding.source):
                at, source = snapshot.address.at(binding.container, key=key), binding.source
                if isinstance(source, SecretReference):
                    found.append(Candidate(at, fleet.read(snapshot, source)))
                else:
                    found.append(Candidate(at, None))
    return found


def _base(service: str) -> str:
    """The name of a service without the word for its environment."""
    words = [word for word in re.split(r"-+", service) if names.environment(word) is None]
    return "-".join(words)


def _place(group: Group) -> Address:
    return Address(setting=f"group/{group.name}")


def _short(at: Address) -> str:
    return f"{at.project}/{at.region}/{at.service}"


def _spelled(read: Read) -> str:
    return f"projects/{read[0]}/secrets/{read[1]}@{read[2]}"
