"""
What differs between two snapshots. The only module that knows deepdiff.

Both sides become mappings keyed by place, so order and position cannot matter; only the places
whose values differ are handed to deepdiff, which tells which parts of a value changed. deepdiff's
defaults hide changes (`threats-and-promises.md` §0.6), hence the arguments in
`_parts_that_differ`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference, Source
from drift_audit.snapshot import SECTIONS, Address, Setting, Snapshot, Value

SEALED_ELSEWHERE = "sealed under another key or name"
"""Why two literals cannot be compared: another key, or another project, region or service."""

Item = Binding | Mount | Setting
Place = tuple[Literal["key", "mount", "setting"], str, str]
"""Kind, container and name: an address inside one service."""

Plain = dict[str, Any]
"""What deepdiff is shown of an item: text, numbers, and lists of these."""

SIDED = frozenset(
    {
        *("image_digest", "launch_stage", "health_check_disabled"),
        *("service.ingress", "service.invokers"),
    }
)
"""
Settings that not every source can tell: v2 has no image digest, a manifest no launch stage, a v2
revision no disabled health check, a service without an active revision no ingress, and who may
invoke a service stands in its policy, which is read when it is asked for.
"""


@dataclass(frozen=True)
class Change:
    """
    One address that differs. `before` and `after` are None where it is absent.

    `parts` names what changed about it: `state`, `digest`, `project`, `secret`, `version`,
    `resolved`, `mode`, `shadowed`, `value`; all that there is when one side is absent.
    """

    at: Address
    before: Item | None
    after: Item | None
    parts: frozenset[str]


def state_of(item: Item | None) -> str | int | bool:
    """`absent`, a state, or a setting's value (`sealed` where it is sealed)."""
    if item is None:
        return "absent"
    if isinstance(item, Setting):
        return "sealed" if isinstance(item.value, LiteralValue) else item.value
    return item.state


def items(snapshot: Snapshot, sections: Collection[str] = SECTIONS) -> dict[Place, Item]:
    """Everything a snapshot holds in some of its sections, by place."""
    found: dict[Place, Item] = {}
    if "bindings" in sections:
        found |= {("key", b.container, b.key): b for b in snapshot.bindings}
    if "mounts" in sections:
        found |= {("mount", m.container, m.path): m for m in snapshot.mounts}
    if "settings" in sections:
        found |= {("setting", s.container, s.name): s for s in snapshot.settings}
    if "service" in sections:
        found |= {("setting", s.container, s.name): s for s in snapshot.service or ()}
    return found


def compare(reference: Snapshot, candidate: Snapshot) -> tuple[Change, ...]:
    """
    List what differs, sorted by address.

    Service-level settings are compared when both sides know them. A literal that is sealed under
    another key, or left out, is not compared: see `incomparable`.
    """
    there, here = _sides(reference, candidate)
    pairs = {
        place: pair
        for place in there.keys() | here.keys()
        if (pair := _pair(place, there.get(place), here.get(place)))
    }
    parts = _parts_that_differ(pairs) if pairs else {}
    home = candidate.address
    return tuple(
        Change(
            at=home.at(place[1], **{place[0]: place[2]}),
            before=there.get(place),
            after=here.get(place),
            parts=parts[place],
        )
        for place in sorted(pairs)
    )


def incomparable(reference: Snapshot, candidate: Snapshot) -> tuple[tuple[Address, str], ...]:
    """List the literals that are on both sides and cannot be compared, with the reason."""
    there, here = _keyed_alike(reference, candidate, SECTIONS)
    home = candidate.address
    return tuple(
        (home.at(place[1], **{place[0]: place[2]}), reason)
        for place in sorted(there.keys() & here.keys())
        if (reason := _why_not_all(there[place], here[place]))
    )


def place_of(at: Address) -> Place | None:
    """The place an address names inside its service, or None when it names the service."""
    if at.key is not None:
        return "key", at.container, at.key
    if at.mount is not None:
        return "mount", at.container, at.mount
    return ("setting", at.container, at.setting) if at.setting is not None else None


def same_at(at: Address, one: Snapshot, two: Snapshot) -> bool:
    """Tell whether two revisions agree at one address, named as the second one names it."""
    there, here = _sides(one, two)
    place = place_of(at)
    return place is None or _pair(place, there.get(place), here.get(place)) is None


def pair_containers(reference: Snapshot, candidate: Snapshot) -> dict[str, str]:
    """
    The reference's container names as the candidate calls them.

    Containers pair by name; those that requests reach pair under whatever name, because servers and
    deployers name an only container as they like (`cloud-run-api.md` §1.2).
    """
    there = {c.name for c in reference.containers}
    here = {c.name for c in candidate.containers}
    called = {name: name for name in there}
    if reference.ingress not in here and candidate.ingress not in there:
        called[reference.ingress] = candidate.ingress
    return called


Side = dict[Place, Item]


def _sides(reference: Snapshot, candidate: Snapshot) -> tuple[Side, Side]:
    """Both sides keyed alike, without the sections that are equal: most are, and are passed by."""
    sections = {s for s in SECTIONS if getattr(reference, s) != getattr(candidate, s)}
    if not sections:
        return {}, {}
    if "containers" in sections:
        sections = set(SECTIONS)
    if reference.service is None or candidate.service is None:
        sections.discard("service")
    return _keyed_alike(reference, candidate, sections)


def _keyed_alike(
    reference: Snapshot, candidate: Snapshot, sections: Collection[str]
) -> tuple[Side, Side]:
    """Both sides, with the reference's containers called as the candidate calls them."""
    called = pair_containers(reference, candidate)
    there = items(reference, sections).items()
    renamed = {(kind, called.get(box, box), name): item for (kind, box, name), item in there}
    return renamed, items(candidate, sections)


def _pair(place: Place, before: Item | None, after: Item | None) -> tuple[Plain, Plain] | None:
    """The two items as deepdiff is shown them, or None when they are equal."""
    if before == after or (place[2] in SIDED and (before is None or after is None)):
        return None
    pair = _plain(before, after), _plain(after, before)
    return None if pair[0] == pair[1] else pair


def _plain(item: Item | None, other: Item | None) -> Plain:
    """What is compared of an item. Parts that only one of the two sides can tell are left out."""
    if item is None:
        return {}
    plain = _plain_value(_value(item), _value(other) if other else None)
    if isinstance(item, Mount):
        plain["mode"] = item.mode
    if isinstance(item, Binding) and item.shadowed:
        others = other.shadowed if isinstance(other, Binding) else ()
        pairs = zip_longest(item.shadowed, others[: len(item.shadowed)])
        plain["shadowed"] = [_plain_value(source, another) for source, another in pairs]
    return plain


def _plain_value(value: Source | Value, other: Source | Value | None) -> Plain:
    if isinstance(value, (str, int)):
        return {"value": value}
    plain: Plain = {"state": value.state}
    if isinstance(value, LiteralValue) and not _why_incomparable(value, other):
        plain["digest"] = value.sealed.digest if value.sealed else None
    if isinstance(value, SecretReference):
        plain |= {"project": value.project, "secret": value.secret, "version": value.asked}
        if isinstance(other, SecretReference) and value.resolved and other.resolved:
            plain["resolved"] = value.resolved
    return plain


def _value(item: Item) -> Source | Value:
    return item.value if isinstance(item, Setting) else item.source


def _why_not_all(before: Item, after: Item) -> str:
    """Why two items cannot be held against each other whole, or nothing."""
    reason = _why_incomparable(_value(before), _value(after))
    if reason or not (isinstance(before, Binding) and isinstance(after, Binding)):
        return reason
    pairs = zip(before.shadowed, after.shadowed, strict=False)
    return next(filter(None, (_why_incomparable(one, other) for one, other in pairs)), "")


def _why_incomparable(before: Source | Value, after: Source | Value | None) -> str:
    """Why two seals cannot be held against each other, or nothing."""
    if not (isinstance(before, LiteralValue) and isinstance(after, LiteralValue)):
        return ""
    if before.sealed is None or after.sealed is None:
        return "literals were left out"
    return "" if before.sealed.key_id == after.sealed.key_id else SEALED_ELSEWHERE


def _parts_that_differ(pairs: Mapping[Place, tuple[Plain, Plain]]) -> dict[Place, frozenset[str]]:
    """Ask deepdiff which parts of each item differ."""
    from deepdiff import DeepDiff  # 190 ms to import: a comparison without drift does not pay it

    with _log_records_are_errors("deepdiff"):
        tree = DeepDiff(
            {place: before for place, (before, _) in pairs.items()},
            {place: after for place, (_, after) in pairs.items()},
            view="tree",
            ignore_order=False,
            threshold_to_diff_deeper=0,
            ignore_private_variables=False,
        )
    parts: dict[Place, set[str]] = {}
    for level in (level for levels in tree.values() for level in levels):
        place, part, *_ = level.path(output_format="list")
        parts.setdefault(place, set()).add(part)
    return {place: frozenset(found) for place, found in parts.items()}


@contextmanager
def _log_records_are_errors(name: str) -> Iterator[None]:
    """Its log is where deepdiff says that it gave up: that must not pass for equality."""

    class Alarm(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise AssertionError(f"{name} did not compare everything: {record.levelname}")

    alarm = Alarm(logging.WARNING)
    logging.getLogger(name).addHandler(alarm)
    try:
        yield
    finally:
        logging.getLogger(name).removeHandler(alarm)
