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
from fractions import Fraction
from functools import lru_cache
from typing import Any

from drift_audit.strict import BOOLEANS, Bare, Node, Path, Refused, is_broken


class NotKnown(str):
    """Stands for a scalar that the document itself does not tell, and says what to call it."""

    __slots__ = ()


NOT_KNOWN = NotKnown("(known after apply)")
"""A setting that a plan leaves open, as Terraform prints it: nobody could have written that."""

NOT_YET = NotKnown("what the plan does not know yet")
"""Where the value of a key or of a file comes from then."""


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
    if is_broken(written):
        raise Refused("encoding", f"{_last(path)} holds half a character", path=path)
    return written


_INTEGER = re.compile(r"(-?)(?:(0x)([0-9a-fA-F]{1,15})|(0o?)([0-7]{1,18})|([0-9]{1,18}))")
"""As YAML 1.1 has them, which gcloud and Knative read: a bare `0440` is octal."""


def number(node: Node, *path: str | int) -> int | str | None:
    """An integer, also from text (`"80"`, int64 in JSON); None for nothing; other text as it is."""
    written = text(node, *path)
    if not written:
        return None
    if isinstance(node, Bare) and (parts := _INTEGER.fullmatch(written)):
        sign, _, hexadecimal, _, octal, decimal = parts.groups()
        base = 16 if hexadecimal else 8 if octal else 10
        return int(sign + (hexadecimal or octal or decimal), base)
    return int(written) if re.fullmatch(r"-?[0-9]{1,18}", written, re.ASCII) else written


_FLAGS = {"": None, **BOOLEANS}


def flag(node: Node, *path: str | int) -> bool | str | None:
    """
    A boolean in any spelling that gcloud, servers and YAML use; None for nothing; other text as
    it is.
    """
    written = text(node, *path)
    return _FLAGS.get(written.lower(), written)


def word(node: Node, words: Mapping[str, str], *path: str | int) -> str:
    """An enumeration in any of its spellings, as the canonical word; other text as it is."""
    written = text(node, *path)
    return words.get(written or "0", written)


def seconds(node: Node, *path: str | int) -> int | str | None:
    """A duration: `300`, `"300"`, `"300s"` are one, `300.50s` and `300.5s` too."""
    written = text(node, *path)
    parts = re.fullmatch(r"([0-9]{1,12})(?:\.([0-9]*))?s?", written, re.ASCII)
    if parts is None:
        return written or None
    fraction = (parts[2] or "").rstrip("0")
    return f"{int(parts[1])}.{fraction}s" if fraction else int(parts[1])


def instant(node: Node, *path: str | int) -> dt.datetime | None:
    """An RFC 3339 time in UTC, to the microsecond."""
    written = text(node, *path)
    if not written:
        return None
    try:
        at = dt.datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", written))
        return at.astimezone(dt.UTC) if at.tzinfo else at.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise Refused("wrong-type", f"{_last(path)} is not a time", path=path) from None


def cpu(node: Node, *path: str | int) -> str:
    """CPUs as a plain number: `1000m`, `1` and `1.0` are `1`."""
    written = text(node, *path)
    amount = _decimal(written.removesuffix("m"))
    if amount is None:
        return written
    return _plain(amount / 1000 if written.endswith("m") else amount)


_UNITS = {"": 1, "k": 10**3} | {unit: 1000**i for i, unit in enumerate("KMGTPE", 1)}
_BINARY = {unit: 1024**i for i, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}


def memory(node: Node, *path: str | int) -> str:
    """
    Bytes in the largest binary unit that divides them: `0.5Gi`, `512Mi`, `536870912` are `512Mi`.
    """
    return _amount(text(node, *path))


@lru_cache(maxsize=1_024)
def _amount(written: str) -> str:
    parts = re.fullmatch(r"([0-9.]{1,18})(?:[eE]\+?([0-9]{1,2})|([A-Za-z]*))", written)
    amount = _decimal(parts[1]) if parts else None
    unit = (_UNITS | _BINARY).get(parts[3] or "") if parts else None
    if amount is None or unit is None or parts is None:
        return written
    size = Fraction(amount) * unit * 10 ** int(parts[2] or 0)
    for name, bytes_ in reversed(_BINARY.items()):
        if size and (size / bytes_).denominator == 1:
            return f"{size / bytes_}{name}"
    return str(size) if size.denominator == 1 else written


def _decimal(written: str) -> Decimal | None:
    try:
        return Decimal(written) if re.fullmatch(r"[0-9.]{1,18}", written) else None
    except InvalidOperation:
        return None


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


class Object:
    """
    One object of a document, whose fields are read with their place, for the line of a refusal.
    """

    def __init__(self, doc: Mapping[str, Any], path: Path) -> None:
        self.doc, self.path = doc, path

    def inside(self, name: str) -> Object:
        """The object in one field; empty where there is none."""
        where = (*self.path, name)
        return Object(mapping(self.doc.get(name), *where), where)

    def items(self, name: str) -> list[Any]:
        """The list in one field."""
        return sequence(self.doc.get(name), *self.path, name)

    def objects(self, name: str) -> list[Object]:
        """The list of objects in one field."""
        where = (*self.path, name)
        listed = enumerate(self.items(name))
        return [Object(mapping(item, *where, i), (*where, i)) for i, item in listed]

    def texts(self, name: str) -> list[str]:
        """The list of scalars in one field."""
        return [text(i, *self.path, name, n) for n, i in enumerate(self.items(name))]

    def values(self, name: str) -> list[str]:
        """A list of what is sealed at once."""
        return [value(i, *self.path, name, n) for n, i in enumerate(self.items(name))]

    def text(self, name: str) -> str:
        """A scalar as it was written."""
        return text(self.doc.get(name), *self.path, name)

    def number(self, name: str) -> int | str | None:
        """An integer."""
        return number(self.doc.get(name), *self.path, name)

    def flag(self, name: str) -> bool | str:
        """A boolean; nothing is false."""
        return flag(self.doc.get(name), *self.path, name) or False

    def seconds(self, name: str) -> int | str | None:
        """A duration."""
        return seconds(self.doc.get(name), *self.path, name)

    def instant(self, name: str) -> dt.datetime | None:
        """A time."""
        return instant(self.doc.get(name), *self.path, name)

    def cpu(self, name: str) -> str:
        """A number of CPUs."""
        return cpu(self.doc.get(name), *self.path, name)

    def memory(self, name: str) -> str:
        """An amount of memory."""
        return memory(self.doc.get(name), *self.path, name)

    def word(self, name: str, words: Mapping[str, str]) -> str:
        """An enumeration."""
        return word(self.doc.get(name), words, *self.path, name)


def _last(path: Path) -> str:
    """The field a path ends in, for a sentence."""
    return next((step for step in reversed(path) if isinstance(step, str)), "the document")
