"""
What the change of a setting means. One rule tells of each change, and no other does: the one that
this module names.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from drift_audit.binding import LiteralValue
from drift_audit.differ import Change, pair_containers, state_of
from drift_audit.names import EVERYBODY, NOBODY
from drift_audit.snapshot import Setting, Snapshot, Value

OTHERWISE = "setting-changed"
"""The rule that tells of all settings whose changes mean nothing in particular."""

PATHS = ("vpc.connector", "vpc.network*", "vpc.subnetwork*")
"""Each of these leads into a VPC."""

DATABASE = "cloud_sql."

OPENNESS = ("none", "internal", "internal-and-cloud-load-balancing", "all")
"""Whose requests reach a service, from nobody's to everybody's."""

LIMITS = {"scaling.max_instances": "max-instances", "scaling.min_instances": "min-instances"}

BOTH = 2
WAYS = ("raised", "lowered")

MEANINGS = {
    "command-changed": ("command", "args", "working_dir", "base_image", "depends_on", "port*"),
    "concurrency-changed": ("concurrency",),
    "default-url-changed": ("service.default_url_disabled",),
    "encryption-key-changed": ("encryption_key*",),
    "probe-changed": ("*_probe.*", "health_check_disabled", "service.health_check_disabled"),
    "resources-changed": (
        *("cpu", "cpu_idle", "startup_cpu_boost", "memory", "gpu", "limit.*", "accelerator"),
        *("gpu_zonal_redundancy_disabled", "timeout_seconds"),
    ),
    "sandbox-changed": ("execution_environment",),
    "volume-changed": ("volume.*",),
}
"""The rules that tell of every change of some settings, and those settings as globs."""


OF_SETTINGS = frozenset(
    {
        *(OTHERWISE, *MEANINGS, *(f"{limit}-{way}" for limit in LIMITS.values() for way in WAYS)),
        *("network-path-lost", "network-path-swapped", "egress-changed"),
        *("database-detached", "database-swapped"),
        *("service-account-changed", "service-account-default"),
        *("ingress-opened", "ingress-narrowed", "access-opened", "access-closed", "invoker-lost"),
        *("container-added", "container-lost"),
    }
)
"""Every rule that tells of a change of a setting."""


def meanings(
    changes: Sequence[Change], reference: Snapshot, candidate: Snapshot
) -> dict[str, list[Change]]:
    """The changes of settings by the id of the rule that tells of them."""
    found: dict[str, list[Change]] = {}
    sides = _Sides(reference, candidate, changes)
    for change in changes:
        if change.at.setting is not None:
            found.setdefault(sides.rule(change), []).append(change)
    return found


def sentence(change: Change) -> str:
    """What changed, in the words of the settings themselves; what is sealed stays so."""
    sides = (change.before, change.after)
    if any(isinstance(s, Setting) and isinstance(s.value, LiteralValue) for s in sides):
        verb = (
            "is new" if change.before is None else "is gone" if change.after is None else "changed"
        )
        return f"{change.at.setting} {verb}"
    before, after = (_shown(state_of(s)) for s in sides)
    return f"{change.at.setting} changed from {before} to {after}"


def _shown(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "(empty)"


@dataclass(frozen=True)
class _Sides:
    """The two revisions, for what a change alone does not tell."""

    reference: Snapshot
    candidate: Snapshot
    changes: Sequence[Change]

    def rule(self, change: Change) -> str:
        """The rule that tells of a change of a setting."""
        name = str(change.at.setting)
        before, after = _value(change.before), _value(change.after)
        if moved := self._container(change):
            return moved
        if name.startswith("vpc."):
            return self._network(name, before, after)
        if name.startswith(DATABASE):
            return self._database(lost=after is None)
        if name == "service_account":
            fell = after in (None, "default")
            return "service-account-default" if fell else "service-account-changed"
        if (limit := LIMITS.get(name.removeprefix("service."))) is not None:
            return _limit(limit, before, after)
        if (access := _access(name, before, after)) is not None:
            return access
        globs = ((id, glob) for id, listed in MEANINGS.items() for glob in listed)
        return next((id for id, glob in globs if fnmatchcase(name, glob)), OTHERWISE)

    def _container(self, change: Change) -> str:
        """Whether the container itself came or left with all its settings."""
        before, after = self._boxes
        box = change.at.container
        if not box:  # a setting of the revision, or of a container that nobody named
            return ""
        if box not in before:
            return "container-added"
        return "" if box in after else "container-lost"

    @cached_property
    def _boxes(self) -> tuple[frozenset[str], frozenset[str]]:
        """The containers of both sides, as the candidate calls them."""
        called = pair_containers(self.reference, self.candidate)
        return frozenset(called.values()), frozenset(c.name for c in self.candidate.containers)

    def _network(self, name: str, before: Value | None, after: Value | None) -> str:
        had, has = leads_into_a_vpc(self.reference), leads_into_a_vpc(self.candidate)
        if had and not has:
            return "network-path-lost"
        if name == "vpc.egress" and None not in (before, after):
            return "egress-changed"
        return "network-path-swapped" if had and has else OTHERWISE

    def _database(self, *, lost: bool) -> str:
        databases = [c for c in self.changes if (c.at.setting or "").startswith(DATABASE)]
        if {c.after is None for c in databases} == {True, False}:
            return "database-swapped"
        return "database-detached" if lost else OTHERWISE


def _value(item: object) -> Value | None:
    return item.value if isinstance(item, Setting) else None


def leads_into_a_vpc(snapshot: Snapshot) -> bool:
    """Tell whether a revision has a connector, a network or a subnetwork."""
    return any(fnmatchcase(s.name, glob) for s in snapshot.settings for glob in PATHS)


def _limit(what: str, before: Value | None, after: Value | None) -> str:
    """
    Whether a number of instances went up or down. No upper limit is the highest, no lower one the
    lowest; a number that is none is not judged.
    """
    unset = math.inf if what == "max-instances" else 0
    sides = (unset if value is None else value for value in (before, after))
    numbers = [side for side in sides if isinstance(side, int | float)]
    if len(numbers) < BOTH or numbers[0] == numbers[1]:
        return OTHERWISE
    return f"{what}-raised" if numbers[1] > numbers[0] else f"{what}-lowered"


def _access(name: str, before: Value | None, after: Value | None) -> str | None:
    """Whether more callers come through than before, or fewer; None for other settings."""
    match name:
        case "service.ingress" if before in OPENNESS and after in OPENNESS:
            wider = OPENNESS.index(str(after)) > OPENNESS.index(str(before))
            return "ingress-opened" if wider else "ingress-narrowed"
        case "service.invoker_iam_disabled" if isinstance(after, bool):
            return "access-opened" if after else "access-closed"
        case "service.iap_enabled" if isinstance(after, bool):
            return "access-closed" if after else "access-opened"
        case "service.invokers" if isinstance(before, str) and isinstance(after, str):
            return _invokers(*(set(side.split(", ")) for side in (before, after)))
    return None


def _invokers(before: set[str], after: set[str]) -> str:
    """Whether everybody may call now, somebody may not any more, or only others may too."""
    if (after - before) & EVERYBODY:
        return "access-opened"
    if before - after - EVERYBODY - {NOBODY}:
        return "invoker-lost"
    return "access-closed" if (before - after) & EVERYBODY else OTHERWISE


def one_for_each_container(changes: Collection[Change]) -> Iterator[Change]:
    """Of the changes that came with whole containers, one for each: that of its image."""
    by_box: dict[str, list[Change]] = {}
    for change in changes:
        by_box.setdefault(change.at.container, []).append(change)
    for same in by_box.values():
        yield next((c for c in same if c.at.setting == "image"), same[0])
