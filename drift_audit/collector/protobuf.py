"""
Protobuf messages as v2 JSON: camel case, enumerations by name, nothing that is not set.

Raw messages are walked by their descriptors: reading them through proto-plus attributes costs fifty
times as much (`performance.md` §2). Fields that the installed library does not know are kept under
their number, so that the normaliser reports them instead of losing them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

_WELL_KNOWN = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})


def to_json(message: Message) -> dict[str, Any]:
    """The message as the REST API would print it; an empty value that was set stays."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        found[field.json_name] = _field(field, value)
    return found | _unknown(UnknownFieldSet(message))


def _unknown(fields: Any) -> dict[str, Any]:
    """Unknown fields by number; what comes more than once is a list, in order."""
    found: dict[str, list[Any]] = {}
    for field in fields:
        group = isinstance(field.data, UnknownFieldSet)
        told = _unknown(field.data) if group else repr(field.data)
        found.setdefault(f"field-{field.field_number}", []).append(told)
    return {name: told if len(told) > 1 else told[0] for name, told in found.items()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return dict(value)  # labels, annotations, limits: all maps of text to text
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _well_known(value: Any) -> str:
    """A time or duration. One out of range is told as text that whoever reads the field refuses."""
    try:
        return str(value.ToJsonString())
    except ValueError:
        return "out of range"


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        known = field.message_type.full_name in _WELL_KNOWN
        return _well_known(value) if known else to_json(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else str(value)
    return value
