"""
Snapshots of the revisions of one service, one after the other.

Cloud Run copies the whole configuration into every revision, so most of a revision is what its
neighbour was. Those parts are taken over instead of being read again: reading a long history costs
what its deploys changed. What comes out is what reading each revision alone gives, value by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from drift_audit.binding import Binding, Unreadable
from drift_audit.collector import nodes, normalise
from drift_audit.collector import settings as settings_of
from drift_audit.collector.bindings import bindings
from drift_audit.collector.listing import Message
from drift_audit.collector.protobuf import knows_all, to_json
from drift_audit.collector.resources import Resource, from_v2
from drift_audit.seal import Sealer
from drift_audit.snapshot import Identity, Setting, Snapshot, Status
from drift_audit.strict import Refused

_OWN = (
    *("name", "uid", "generation", "create_time", "creator"),  # its identity
    *("labels", "conditions", "etag", "update_time", "observed_generation", "log_uri"),
)
"""What each revision has of its own, besides its variables and images."""


@dataclass(frozen=True)
class _Read:
    """A revision as it was read: what it shares with its neighbours, its variables, the result."""

    place: str
    shared: Message = field(repr=False)
    fields: tuple[int, ...]
    labels: dict[str, str] = field(repr=False)
    boxes: list[str]
    env: list[list[Message]] = field(repr=False)
    bound: list[list[Binding]]
    snapshot: Snapshot


class Series:
    """Reads the revisions of one parent; those that follow each other should come so."""

    def __init__(self, parent: Resource, sealer: Sealer) -> None:
        self._parent, self._sealer = parent, sealer
        self._traffic = parent.traffic
        self._before: _Read | None = None

    def snapshot(self, message: Message) -> Snapshot:
        """One revision, sealed. Raises Refused."""
        known = knows_all(message)
        try:
            found = self._like_the_one_before(message) if known else None
        except (Refused, ValueError):  # the plain way says why
            found = None
        if found is None:
            resource = from_v2(to_json(message)).of(self._parent)
            snapshot = resource.snapshot(self._sealer, self._traffic)
            found = _read(message, snapshot) if known else None
            if found is None:
                return snapshot
        self._before = found
        return found.snapshot

    def _like_the_one_before(self, message: Message) -> _Read | None:
        """The revision as a neighbour of the one before; None where it is too different."""
        before = self._before
        if before is None:
            return None
        shared = _shared(message)
        labels = _compared_labels(message)
        alike = shared == before.shared and labels == before.labels
        if not alike or _place(message) != before.place or _fields(message) != before.fields:
            return None
        env = [list(container.env) for container in message.containers]
        identity, status = self._own(message, before.snapshot.identity)
        bound = [
            self._bound(box, now, then, known, identity)
            for box, now, then, known in zip(
                before.boxes, env, before.env, before.bound, strict=True
            )
        ]
        keys = [binding for own in bound for binding in own]
        if not _plain(bound):
            return None
        images = {box: c.image for box, c in zip(before.boxes, message.containers, strict=True)}
        snapshot = before.snapshot.but(
            identity=identity,
            bindings=tuple(sorted(keys, key=lambda b: (b.container, b.key))),
            settings=tuple(_with_image(s, images) for s in before.snapshot.settings),
            status=status,
        )
        return replace(before, env=env, bound=bound, snapshot=snapshot)

    def _own(self, message: Message, before: Identity) -> tuple[Identity, Status]:
        """Which revision it is, and how it stands. Raises Refused."""
        created = message.create_time.ToJsonString() if message.HasField("create_time") else ""
        identity = before.but(
            revision=message.name.rpartition("/")[2],
            uid=message.uid,
            generation=message.generation or None,
            create_time=nodes.instant(created),
            creator=message.creator,
            labels=settings_of.provenance(dict(message.labels)),
        )
        normalise.check_identity(identity)
        told = [to_json(c) for c in message.conditions if c.type_ in normalise.CONDITIONS]
        return identity, normalise.status(told, identity.revision, self._traffic)

    def _bound(
        self,
        box: str,
        now: Sequence[Message],
        then: Sequence[Message],
        known: Sequence[Binding],
        identity: Identity,
    ) -> list[Binding]:
        """The variables of one container; those that stand where they stood are taken over."""
        found: list[Binding] = []
        for i, entry in enumerate(now):
            if i < len(then) and entry == then[i]:
                found.append(known[i])
            else:
                found += bindings(box, [to_json(entry)], identity, self._sealer, ())
        return found


def _read(message: Message, snapshot: Snapshot) -> _Read | None:
    """A revision that was read alone, ready for its neighbour; None where it is no plain one."""
    boxes = [container.name for container in message.containers]
    if len(boxes) > 1 and not all(boxes):
        return None  # named by their order, elsewhere
    env = [list(container.env) for container in message.containers]
    by_place = snapshot.keys
    bound = [
        [by_place[box, entry.name] for entry in entries]
        for box, entries in zip(boxes, env, strict=True)
    ]
    if not _plain(bound):
        return None
    labels = _compared_labels(message)
    place, shared = _place(message), _shared(message)
    return _Read(place, shared, _fields(message), labels, boxes, env, bound, snapshot)


def _place(message: Message) -> str:
    """The full name of the service, and what stands between it and that of the revision."""
    place: str = message.name.rpartition("/")[0]
    return place


def _plain(bound: Sequence[Sequence[Binding]]) -> bool:
    """
    Tell whether every variable stands once and can be read: only then does one entry of the message
    stand for one binding.
    """
    return all(
        len({b.key for b in own}) == len(own)
        and not any(isinstance(b.source, Unreadable) for b in own)
        for own in bound
    )


def _shared(message: Message) -> Message:
    """A revision without what is its own; of images, only whether there is one."""
    shared = type(message)()
    shared.CopyFrom(message)
    for name in _OWN:
        shared.ClearField(name)
    for container in shared.containers:
        container.ClearField("env")
        container.image = "present" if container.image else ""
    return shared


def _with_image(setting: Setting, images: dict[str, str]) -> Setting:
    """A setting as it is in a revision with other images."""
    image = images.get(setting.container)
    if setting.name != "image" or image == setting.value:
        return setting
    return Setting(container=setting.container, name="image", value=image or "")


def _compared_labels(message: Message) -> dict[str, str]:
    """The labels that are settings; the others tell who made the revision."""
    labels = dict(message.labels)
    shown = {label.name for label in settings_of.provenance(labels)}
    return {name: value for name, value in labels.items() if name not in shown}


def _fields(message: Message) -> tuple[int, ...]:
    """The fields that are set: which ones are passed over is told of every revision."""
    return tuple(descriptor.number for descriptor, _ in message.ListFields())
