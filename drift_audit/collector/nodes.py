"""
Nodes of a document, typed by the field that holds them.

A document that was read strictly holds only text and `Bare` scalars; one that came over gRPC holds
numbers and booleans too. A field says here what it takes; what does not fit stays text, so that a
placeholder in a number can still be shown, or is refused where only one type makes sense.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from drift_audit.strict import Bare, Node, Path, Refused


def mapping(node: Node, *path: str | int) -> dict[str, Any]:
    """An object; nothing counts as an empty one."""
    if node is None:
        return {}
    if not isinstance(node, dict):
        raise Refused("wrong-type", f"{_last(path)} is not an object", path=path)
    return node


def sequence(node: Node, *path: str | int) -> list[Any]:
    """
    A list; nothing counts as an empty one, and an object as a list of one.

    gcloud 528 sends an object where a list belongs as a list of one, and public manifests rely on
    it.
    """
    if node is None:
        return []
    if isinstance(node, dict):
        return [node]
    if not isinstance(node, list):
        raise Refused("wrong-type", f"{_last(path)} is not a list", path=path)
    return node


def string(node: Node, *path: str | int) -> str:
    """Text that its format reads as text; gcloud refuses anything else in these fields."""
    return _utf8(value(node, *path), path)


def value(node: Node, *path: str | int) -> str:
    """Like `string`, for what is sealed at once: any code point is taken, lone surrogates too."""
    if not isinstance(node, str) or isinstance(node, Bare):
        reason = f"{_last(path)} is not text; put it in quotes"
        raise Refused("not-a-string", reason, path=path)
    return node


def text(node: Node, *path: str | int) -> str:
    """A scalar as it was written; nothing is the empty text."""
    if node is None:
        return ""
    if isinstance(node, (dict, list)):
        raise Refused("wrong-type", f"{_last(path)} is not a scalar", path=path)
    return str(node).lower() if isinstance(node, bool) else _utf8(str(node), path)


def _utf8(written: str, path: Path) -> str:
    if not written.isascii() and any("\ud800" <= c <= "\udfff" for c in written):
        raise Refused("encoding", f"{_last(path)} holds half a character", path=path)
    return written


def number(node: Node, *path: str | int) -> int | str | None:
    """An integer, also from text (`"80"`, int64 in JSON); None for nothing; other text as it is."""
    written = text(node, *path)
    if not written:
        return None
    return int(written) if re.fullmatch(r"-?[0-9]{1,18}", written, re.ASCII) else written


def flag(node: Node, *path: str | int) -> bool | str | None:
    """
    A boolean in any spelling that gcloud and servers use; None for nothing; other text as it is.
    """
    written = text(node, *path)
    return {"": None, "true": True, "false": False}.get(written.lower(), written)


def word(node: Node, words: Mapping[str, str], *path: str | int) -> str:
    """An enumeration in any of its spellings, as the canonical word; other text as it is."""
    written = text(node, *path)
    return words.get(written or "0", written)


def seconds(node: Node, *path: str | int) -> int | str | None:
    """A duration: `300`, `"300"`, `"300s"`."""
    written = text(node, *path)
    whole = re.fullmatch(r"([0-9]{1,12})(?:\.0*)?s?", written, re.ASCII)
    return int(whole[1]) if whole else written or None


def instant(node: Node, *path: str | int) -> dt.datetime | None:
    """An RFC 3339 time in UTC, to the microsecond."""
    written = text(node, *path)
    if not written:
        return None
    try:
        at = dt.datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", written))
    except ValueError:
        raise Refused("wrong-type", f"{_last(path)} is not a time", path=path) from None
    return at.astimezone(dt.UTC) if at.tzinfo else at.replace(tzinfo=dt.UTC)


def cpu(node: Node, *path: str | int) -> str:
    """CPUs as a plain number: `1000m`, `1` and `1.0` are `1`."""
    written = text(node, *path)
    amount = _decimal(written.removesuffix("m"))
    if amount is None:
        return written
    return _plain(amount / 1000 if written.endswith("m") else amount)


_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    unit: 2 ** (10 * power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)
}


def memory(node: Node, *path: str | int) -> str:
    """
    Bytes in the largest binary unit that divides them: `0.5Gi`, `512Mi`, `536870912` are `512Mi`.
    """
    written = text(node, *path)
    parts = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", written)
    amount = _decimal(parts[1]) if parts and parts[2] in _UNITS else None
    if amount is None or parts is None:
        return written
    size = amount * _UNITS[parts[2]]
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size and size % _UNITS[unit] == 0:
            return _plain(size / _UNITS[unit]) + unit
    return _plain(size)


def _decimal(written: str) -> Decimal | None:
    try:
        return Decimal(written) if re.fullmatch(r"[0-9.]{1,18}", written) else None
    except InvalidOperation:
        return None


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _last(path: Path) -> str:
    """The field a path ends in, for a sentence."""
    return next((step for step in reversed(path) if isinstance(step, str)), "the document")
