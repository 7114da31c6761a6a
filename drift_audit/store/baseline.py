"""
A baseline: the snapshot of a revision that a person called good, and what they said when they did.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from drift_audit.binding import Seal
from drift_audit.errors import StoreError
from drift_audit.frozen import Frozen, Instant, place_in
from drift_audit.history import Baseline
from drift_audit.snapshot import Seen, Snapshot, Status

ROTATED = "the sealing key was rotated; as it was promoted before: "
"""What stands before the reason of a promotion that changed nothing but the key."""


class StoredBaseline(Frozen):
    """
    One promotion. `sha256` covers everything else in the file; `previous` is that of the baseline
    before it, so that the promotions of a service form a chain.

    What follows `snapshot` older baselines do not say: the ids of the `waivers` that there were,
    the uid of the service, why the revision was `known_good` besides what the person says, and why
    the promotion was `forced` although the revision `violates` the policy.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/baseline"] = "drift-audit/baseline"
    sequence: int = Field(ge=1)
    previous: str = ""
    promoted_by: str
    promoted_at: Instant
    reason: str
    snapshot: Snapshot
    waivers: tuple[str, ...] | None = None
    service_uid: str | None = None
    known_good: tuple[str, ...] | None = None
    forced: str | None = None
    violates: tuple[str, ...] | None = None
    sha256: str = ""

    @property
    def day(self) -> dt.date:
        """When it was promoted."""
        return self.promoted_at.astimezone(dt.UTC).date()

    @property
    def why(self) -> str:
        """Who promoted it, when, and why, for a sentence."""
        forced = f"; against the policy: {self.forced}" if self.forced else ""
        return f"promoted on {self.day} by {self.promoted_by}: {self.reason}{forced}"

    @property
    def reference(self) -> Baseline:
        """What audits compare with."""
        known = None if self.waivers is None else frozenset(self.waivers)
        violates = frozenset(self.violates or ())
        return Baseline(self.snapshot, self.why, known, violates, self.day)

    @property
    def sealed_with(self) -> frozenset[str]:
        """The ids of the keys that its plain values are sealed with; none if it holds none."""
        return frozenset(_key_ids(self.snapshot.model_dump(mode="json")))

    def resealed(
        self, seals: Mapping[Seal, Seal], *, by: str, at: dt.datetime
    ) -> StoredBaseline | None:
        """
        The promotion that follows it and says the same under another key; None where one of its
        seals is not among those whose values were read again.
        """
        try:
            document = _exchanged(self.snapshot.model_dump(mode="json"), seals)
        except KeyError:
            return None
        return self.but(
            sequence=self.sequence + 1,
            previous=self.sha256,
            promoted_by=by,
            promoted_at=at,
            reason=ROTATED + self.reason.removeprefix(ROTATED),
            snapshot=Snapshot.model_validate_json(json.dumps(document)),
        ).signed()

    def repeats(self, other: StoredBaseline) -> bool:
        """Whether it says what another one says: the same people of the same revision."""
        told = [
            (one.promoted_by, one.reason, one.waivers, one.forced, content_digest(one.snapshot))
            for one in (self, other)
        ]
        return told[0] == told[1]

    def signed(self) -> StoredBaseline:
        """The same with its digest."""
        return self.but(sha256=_digest(self._document))

    def text(self) -> str:
        """The file: canonical JSON, made to be reviewed line by line."""
        return _canonical(self._document)

    @property
    def _document(self) -> dict[str, Any]:
        """What stands in the file: what an older one does not say is not added to it."""
        return {name: v for name, v in self.model_dump(mode="json").items() if v is not None}


def _key_ids(node: Any) -> Iterator[str]:
    """The ids of keys anywhere in a document."""
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    for name, one in inside:
        if name == "key_id":
            yield one
        elif isinstance(one, dict | list):
            yield from _key_ids(one)


def _exchanged(node: Any, seals: Mapping[Seal, Seal]) -> Any:
    """A document with every seal replaced. Raises KeyError for one that has no replacement."""
    if isinstance(node, list):
        return [_exchanged(one, seals) for one in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == Seal.model_fields.keys():
        return seals[Seal(**node)].model_dump(mode="json")
    return {name: _exchanged(one, seals) for name, one in node.items()}


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _digest(document: dict[str, Any]) -> str:
    """
    The sha256 of a document as it stands, which may lack what later versions of this program add.

    No value is in it: literals are sealed.
    """
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def content_digest(snapshot: Snapshot) -> str:
    """
    The sha256 of what a revision is: the same for everybody who reads it with the same key, until
    something is set anew or one of its secrets moves. How it stands and serves is no part of it.
    """
    return _digest(snapshot.but(status=Status(), seen=Seen()).model_dump(mode="json"))


def read_baseline(data: bytes, where: str) -> StoredBaseline:
    """A baseline from its file. Raises StoreError when it is not one, or was changed by hand."""
    text = data.decode("utf-8", "replace")
    try:
        found = StoredBaseline.model_validate_json(text)
    except ValidationError as error:
        place = place_in(error, "the file")
        raise StoreError(f"{where}: not a baseline of this version: {place}") from None
    document = json.loads(text)
    if _digest(document) != found.sha256 or _canonical(document) != text:
        raise StoreError(
            f"{where}: the content does not match its sha256",
            hint="restore the file from git, or promote the revision again",
        )
    return found


def promotion(
    snapshot: Snapshot,
    before: StoredBaseline | None,
    *,
    by: str,
    at: dt.datetime,
    reason: str,
    waivers: Iterable[str] = (),
    service_uid: str = "",
    known_good: Iterable[str] = (),
    forced: str = "",
    violates: Iterable[str] = (),
) -> StoredBaseline:
    """The baseline that follows another one, or the first; `waivers` are told by their ids."""
    return StoredBaseline(
        sequence=before.sequence + 1 if before else 1,
        previous=before.sha256 if before else "",
        promoted_by=by,
        promoted_at=at,
        reason=reason,
        snapshot=snapshot,
        waivers=tuple(sorted(set(waivers))),
        service_uid=service_uid or None,
        known_good=tuple(known_good) or None,
        forced=forced or None,
        violates=tuple(violates) or None,
    ).signed()
