"""
The report itself, canonical: sorted keys, ASCII, and no character that a page or shell acts on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from drift_audit.frozen import Frozen

_ACTIVE = "<>&\x7f`|"


def render(document: Frozen) -> str:
    """A report, as `drift-audit render` reads it back, or another document of ours."""
    return canonical(document.model_dump(mode="json"))


class Lines:
    """
    Writes models as JSON, one to a line, inert like the rest.

    Parts that a model shares with the one before it, the very same objects, are not written anew.
    """

    def __init__(self) -> None:
        self._told: dict[int, tuple[Any, str]] = {}

    def line(self, model: Frozen) -> str:
        """One model, as `model_dump_json` tells it."""
        before, self._told = self._told, {}
        fields = ((name, getattr(model, name)) for name in type(model).model_fields)
        told = (f"{json.dumps(name)}:{self._value(value, before)}" for name, value in fields)
        return "{" + ",".join(told) + "}"

    def _value(self, value: Any, before: Mapping[int, tuple[Any, str]]) -> str:
        if not isinstance(value, tuple):
            return _dumped(value)
        texts = []
        for item in value:
            # what was told holds the object itself, so that no other can have its number
            told = self._told[id(item)] = before.get(id(item)) or (item, _dumped(item))
            texts.append(told[1])
        return "[" + ",".join(texts) + "]"


def _dumped(value: Any) -> str:
    is_model = isinstance(value, Frozen)
    return _inert(value.model_dump_json(ensure_ascii=True) if is_model else json.dumps(value))


def _inert(text: str) -> str:
    """JSON with the characters that a page or shell acts on escaped: they stand in texts only."""
    for char in _ACTIVE:
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def canonical(document: Any) -> str:
    """A document as JSON that is the same bytes for the same content."""
    # json indents in Python, five times slower than pydantic does
    one_line = json.dumps(document, sort_keys=True, allow_nan=False)
    return _inert(to_json(from_json(one_line), indent=1, ensure_ascii=True).decode()) + "\n"
