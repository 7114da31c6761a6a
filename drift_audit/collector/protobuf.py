"""
Protobuf messages as v2 JSON: camel case, enumerations by name, nothing that is not set.

Raw messages are walked by their descriptors: reading them through proto-plus attributes costs fifty
times as much (`performance.md` §2). Fields that the installed library does not know are kept under
their number, so that the normaliser reports them instead of losing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

_WELL_KNOWN = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})


def to_json(message: Message) -> dict[str, Any]:
    """The message as the REST API would print it; an empty value that was set stays."""
    return _known(message) if knows_all(message) else _with_unknown(message)


def knows_all(message: Message) -> bool:
    """Tell whether no part of a message holds a field that the library does not know."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return known.ByteSize() == message.ByteSize()


def _known(message: Message) -> dict[str, Any]:
    found = {}
    for field, value in message.ListFields():
        name, read = _readers.get(field) or _remember(field, _readers, _known)
        found[name] = read(value)
    return found


def _with_unknown(message: Message) -> dict[str, Any]:
    found = {}
    for field, value in message.ListFields():
        readers = _readers_with_unknown
        name, read = readers.get(field) or _remember(field, readers, _with_unknown)
        found[name] = read(value)
    return found | _unknown(UnknownFieldSet(message))


Reader = Callable[[Any], Any]
Readers = dict[FieldDescriptor, tuple[str, Reader]]

_readers: Readers = {}
_readers_with_unknown: Readers = {}
"""
How each field is told, by its descriptor: looked up once, as that takes longer than telling it.
"""


def _remember(field: FieldDescriptor, readers: Readers, inner: Reader) -> tuple[str, Reader]:
    readers[field] = field.json_name, _reader(field, inner)
    return readers[field]


def _reader(field: FieldDescriptor, inner: Reader) -> Reader:
    """How a field is told."""
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return dict  # labels, annotations, limits: all maps of text to text
    single: Reader = _itself
    if entry is not None:
        single = _well_known if entry.full_name in _WELL_KNOWN else inner
    elif field.enum_type is not None:
        named = {number: v.name for number, v in field.enum_type.values_by_number.items()}
        single = _Enumeration(named)
    if not field.is_repeated:
        return single
    return list if single is _itself else partial(_each, single)


def _itself(value: Any) -> Any:
    return value


def _each(single: Reader, values: Iterable[Any]) -> list[Any]:
    return [single(value) for value in values]


class _Enumeration:
    """Tells members by name; those that the library does not know by number."""

    def __init__(self, named: Mapping[int, str]) -> None:
        self._named = named

    def __call__(self, value: int) -> str:
        return self._named.get(value) or str(value)


def _unknown(fields: Any) -> dict[str, Any]:
    """Unknown fields by number; what comes more than once is a list, in order."""
    found: dict[str, list[Any]] = {}
    for field in fields:
        group = isinstance(field.data, UnknownFieldSet)
        told = _unknown(field.data) if group else repr(field.data)
        found.setdefault(f"field-{field.field_number}", []).append(told)
    return {name: told if len(told) > 1 else told[0] for name, told in found.items()}


def _well_known(value: Any) -> str:
    """A time or duration. One out of range is told as text that whoever reads the field refuses."""
    try:
        return str(value.ToJsonString())
    except ValueError:
        return "out of range"
