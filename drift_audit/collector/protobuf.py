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
    unknown_fields: Any = UnknownFieldSet(message)
    for unknown in unknown_fields:
        found[f"field-{unknown.field_number}"] = repr(unknown.data)
    return found


def _field(field: FieldDescriptor, value: Any) -> Any:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return dict(value)  # labels, annotations, limits: all maps of text to text
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        known = field.message_type.full_name in _WELL_KNOWN
        return value.ToJsonString() if known else to_json(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else str(value)
    return value
