"""
A baseline: the snapshot of a revision that a person called good, and what they said when they did.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from drift_audit.errors import StoreError
from drift_audit.frozen import Frozen
from drift_audit.history import Baseline
from drift_audit.snapshot import Snapshot


class StoredBaseline(Frozen):
    """
    One promotion. `sha256` covers everything else in the file; `previous` is that of the baseline
    before it, so that the promotions of a service form a chain. `waivers` are the ids of those that
    there were for the service; older baselines do not say.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/baseline"] = "drift-audit/baseline"
    sequence: int = Field(ge=1)
    previous: str = ""
    promoted_by: str
    promoted_at: AwareDatetime
    reason: str
    snapshot: Snapshot
    waivers: tuple[str, ...] | None = None
    sha256: str = ""

    @property
    def why(self) -> str:
        """Who promoted it, when, and why, for a sentence."""
        day = self.promoted_at.astimezone(dt.UTC).date()
        return f"promoted on {day} by {self.promoted_by}: {self.reason}"

    @property
    def reference(self) -> Baseline:
        """What audits compare with."""
        known = None if self.waivers is None else frozenset(self.waivers)
        return Baseline(self.snapshot, self.why, known)

    @property
    def sealed_with(self) -> frozenset[str]:
        """The ids of the keys that its plain values are sealed with; none if it holds none."""
        return frozenset(_key_ids(self.snapshot.model_dump(mode="json")))

    def signed(self) -> StoredBaseline:
        """The same with its digest."""
        return self.but(sha256=_digest(self._document))

    def text(self) -> str:
        """The file: canonical JSON, made to be reviewed line by line."""
        return json.dumps(self._document, indent=1, sort_keys=True) + "\n"

    @property
    def _document(self) -> dict[str, Any]:
        """What stands in the file: what an older one does not say is not added to it."""
        document = self.model_dump(mode="json")
        return {name: v for name, v in document.items() if name != "waivers" or v is not None}


def _key_ids(node: Any) -> Iterator[str]:
    """The ids of keys anywhere in a document."""
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    for name, one in inside:
        if name == "key_id":
            yield one
        elif isinstance(one, dict | list):
            yield from _key_ids(one)


def _digest(document: dict[str, Any]) -> str:
    """
    The sha256 of a document as it stands, which may lack what later versions of this program add.

    No value is in it: literals are sealed.
    """
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_baseline(text: str, where: str) -> StoredBaseline:
    """A baseline from its file. Raises StoreError when it is not one, or was changed by hand."""
    try:
        found = StoredBaseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(f"{where}: not a baseline of this version: {place}") from None
    if _digest(json.loads(text)) != found.sha256:
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
    ).signed()
