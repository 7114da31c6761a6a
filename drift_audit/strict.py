"""
Reads YAML and JSON so that nothing is guessed.

What comes out are dicts, lists and text; a number or a boolean stays the text it was written as,
marked `Bare`, and is typed by the field that holds it. Refused are anchors, aliases, tags, merge
keys, repeated keys, keys that are not text, NaN, anything after the document, depth over 64, and
every encoding but UTF-8 and UTF-16 with a byte order mark. No error quotes what stands in the
text.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, and what json uses
from typing import Any, NoReturn

import yaml

Node = Any
"""dict[str, Node], list[Node], str, Bare or None."""

DEPTH = 64
DIGITS = 64
NODES = 500_000
"""More than any export within the limit of a file has; what a document costs grows with them."""
SPLIT = "one file per service is enough"


class Bare(str):
    """A scalar that its format does not read as text: a number or a boolean, as it was written."""

    __slots__ = ()


Path = tuple[str | int, ...]
"""Keys and indices from the top of a document to a node."""


class Refused(Exception):
    """
    A document cannot be taken: by which rule and why. `line` is known when its text was at fault,
    `path` when one of its nodes was.
    """

    def __init__(
        self,
        rule: str,
        reason: str,
        *,
        path: Path = (),
        line: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(f"{rule}: {reason}")
        self.path, self.line, self.hint = path, line, hint


def decode(data: bytes) -> str:
    """Text from bytes: UTF-8 with or without mark, UTF-16 with one. Anything else is refused."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = "neither UTF-8 nor UTF-16 with a byte order mark"
        raise Refused("encoding", reason, line=line) from None
    if "\0" in text:
        raise Refused(
            "encoding", "a NUL in the text", line=text.count("\n", 0, text.index("\0")) + 1
        )
    return text


def load(text: str) -> list[Node]:
    """The documents in a text: one if it is JSON, those that are not empty if it is YAML."""
    documents = [_json(text)] if _is_json(text) else list(_yaml(text))
    documents = [d for d in documents if d is not None]
    if not documents:
        raise Refused("empty", "nothing but white space and comments", line=1)
    return documents


BOOLEANS = dict.fromkeys(("true", "yes", "on", "y"), True) | dict.fromkeys(
    ("false", "no", "off", "n"), False
)
"""As YAML 1.1 spells them, in any case; gcloud reads them so."""


def plain(node: Node) -> Any:
    """
    The node with its bare scalars as the numbers and booleans they were written as.

    What only YAML has (times, octal numbers) stays text.
    """
    if isinstance(node, dict):
        return {key: plain(item) for key, item in node.items()}
    if isinstance(node, list):
        return [plain(item) for item in node]
    return _plain_scalar(node) if isinstance(node, Bare) else node


def _plain_scalar(written: Bare) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return BOOLEANS.get(written.lower(), str(written))


def line_of(text: str, document: int, path: Path) -> int | None:
    """
    The line of the node at a path of one document, or of the nearest one above it that is there.

    Looked for only when it must be told: it walks the whole text.
    """
    if _is_json(text):
        return _line_at(text, _nearest(_offsets(text), path))
    return _nearest(_lines(text), (document, *path))


def _nearest(nodes: Iterator[tuple[Path, int]], path: Path) -> int | None:
    """Where the node at a path stands, or the nearest one above it."""
    depth, found = -1, None
    for p, where in nodes:
        if len(p) <= depth:
            break  # everything below the nearest one was seen
        if p == path[: len(p)]:
            depth, found = len(p), where
        if depth == len(path):
            break
    return found


def _line_at(text: str, offset: int | None) -> int | None:
    return None if offset is None else text.count("\n", 0, offset) + 1


def _is_json(text: str) -> bool:
    """Tell JSON from a YAML flow collection by what follows the first bracket."""
    return re.match(r'\s*(?:\[|\{\s*["}])', text) is not None


# JSON


def _json(text: str) -> Node:
    _check_size(text)
    _check_depth(text)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_constant,
        )
        return _bare(found)
    except json.JSONDecodeError as error:
        raise Refused("not-json", "cannot be parsed", line=error.lineno) from None
    except Refused as refused:
        refused.line = _line_at(text, _first_offence(text))
        raise


_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKET_OR_STRING = re.compile(rf"{_STRING.pattern}|[\[{{]|[\]}}]", re.DOTALL)


def _check_size(text: str) -> None:
    """Count what is in collections: each takes a hundred bytes, however few it was written with."""
    if text.count(",") > NODES and _STRING.sub("", text).count(",") > NODES:
        raise Refused("too-many", f"more than {NODES} items in one file", line=1, hint=SPLIT)


def _check_depth(text: str) -> None:
    """Count brackets outside strings: json.loads recurses, so the depth must be known before."""
    depth = 0
    for token in _BRACKET_OR_STRING.finditer(text):
        mark = token.group()
        depth += (mark in "[{") - (mark in "]}")
        if depth > DEPTH:
            line = _line_at(text, token.start())
            raise Refused("too-deep", f"nested more than {DEPTH} deep", line=line)


def _pairs(pairs: list[tuple[str, Node]]) -> dict[str, Node]:
    found = {key: _bare(value) for key, value in pairs}
    if len(found) < len(pairs):
        raise Refused("duplicate-key", "a key stands twice in one object")
    if any(map(is_broken, found)):
        raise Refused("encoding", "a key holds half a character")
    return found


def _bare(node: Any) -> Node:
    """A boolean as it was written, and those of a list; what a mapping holds is bare by now."""
    if isinstance(node, bool):
        return Bare(str(node).lower())
    return [_bare(item) for item in node] if isinstance(node, list) else node


def is_broken(text: str) -> bool:
    """Tell a text with a lone surrogate: no output could hold a name with one."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _number(text: str) -> Bare:
    if len(text) > DIGITS:
        raise Refused("not-json", f"a number of more than {DIGITS} digits")
    return Bare(text)


def _constant(_: str) -> NoReturn:
    raise Refused("not-json", "NaN and Infinity are not JSON")


_BETWEEN = re.compile(r"[ \t\n\r,:]*")
_ATOM = re.compile(r"[-+.\w]+")
_CONSTANT = re.compile(r"-?Infinity|NaN")
"""What json takes for one, whatever follows: nothing behind it need be well formed."""


def _offsets(text: str) -> Iterator[tuple[Path, int]]:
    """Path and offset of every value of a JSON text, as far as it is well formed."""

    def skip(i: int) -> int:
        return _BETWEEN.match(text, i).end()  # type: ignore[union-attr]  # matches the empty string

    def walk(i: int, path: Path) -> Generator[tuple[Path, int], None, int]:
        yield path, i
        if text[i] == '"':
            return int(scanstring(text, i + 1)[1])
        if text[i] not in "[{":
            return _ATOM.match(text, i).end()  # type: ignore[union-attr]  # JSON has no other atoms
        is_object, index, i = text[i] == "{", 0, skip(i + 1)
        while text[i] not in "]}":
            step: str | int = index
            if is_object:
                step, i = scanstring(text, i + 1)
                i = skip(i)
            i = skip((yield from walk(i, (*path, step))))
            index += 1
        return i + 1

    yield from walk(skip(0), ())


def _first_offence(text: str) -> int:
    """Where the first repeated or broken key, NaN or endless number stands."""
    seen: set[Path] = set()
    offsets = _offsets(text)
    while True:
        path, i = next(offsets)
        atom = _ATOM.match(text, i)
        odd = atom and (len(atom.group()) > DIGITS or _CONSTANT.match(text, i))
        broken = path and isinstance(path[-1], str) and is_broken(path[-1])
        if path in seen or odd or broken:
            return i
        seen.add(path)


# YAML


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.SafeLoader("")
_CORE_SCHEMA = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*|0o[0-7]+|0x[0-9a-fA-F]+|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)
_NULL = "tag:yaml.org,2002:null"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


_UNRENDERED = re.compile(r"(?:[:-]\s+|^)%\w+%")


def _events(text: str) -> Iterator[Any]:
    """Parser events, with everything refused that no gcloud export has."""
    depth = count = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            line: int = event.start_mark.line + 1  # type: ignore[union-attr]  # parsers set marks
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise Refused("yaml-alias", "anchors and aliases are not read", line=line)
            if getattr(event, "tag", None):
                raise Refused("yaml-tag", "tags are not read", line=line)
            count += 1
            if count > 2 * NODES:  # a key and a value each
                reason = f"more than {NODES} items in one file"
                raise Refused("too-many", reason, line=line, hint=SPLIT)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH:
                    raise Refused("too-deep", f"nested more than {DEPTH} deep", line=line)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            yield event
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line if error.problem_mark else 0
        template = _UNRENDERED.search("".join(text.splitlines(keepends=True)[at : at + 1]))
        hint = "render the template first: a value cannot begin with %" if template else ""
        raise Refused("not-yaml", "cannot be parsed", line=at + 1, hint=hint) from None
    except yaml.YAMLError:
        raise Refused("not-yaml", "holds characters that YAML does not allow") from None


def _yaml(text: str) -> Iterator[Node]:
    events = _events(text)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _node(next(events), events)


def _node(event: Any, events: Iterator[Any]) -> Node:
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        found: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(_node(event, events))
        return found
    pairs: dict[str, Node] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(event, pairs)  # before what follows it is read
        pairs[key] = _node(next(events), events)
    return pairs


def _key(event: Any, pairs: dict[str, Node]) -> str:
    line = event.start_mark.line + 1
    key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
    if not isinstance(key, str) or is_broken(key):
        raise Refused("not-a-string", "a key that is not text", line=line)
    if event.implicit[0] and _RESOLVER.resolve(yaml.ScalarNode, key, (True, False)) == _MERGE:
        raise Refused("yaml-alias", "merge keys are not read", line=line)
    if key in pairs:
        raise Refused("duplicate-key", "a key stands twice in one mapping", line=line)
    return str(key)


def _scalar(event: Any) -> str | None:
    value: str = event.value
    if not event.implicit[0]:  # quoted, or a block
        return value
    tag = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))
    if tag == _NULL:
        return None
    return value if tag == _TEXT and not _CORE_SCHEMA.fullmatch(value) else Bare(value)


def _lines(text: str) -> Iterator[tuple[Path, int]]:
    """Path and line of every node of a YAML text; a path begins with the number of its document."""
    events, document = _events(text), -1

    def walk(event: Any, path: Path) -> Iterator[tuple[Path, int]]:
        yield path, event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            return
        is_mapping, index = isinstance(event, yaml.MappingStartEvent), 0
        while not isinstance(event := next(events), yaml.CollectionEndEvent):
            step: str | int = index
            if is_mapping:
                step, event = event.value, next(events)
            yield from walk(event, (*path, step))
            index += 1

    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            top = next(events)
            document += not (isinstance(top, yaml.ScalarEvent) and _scalar(top) is None)
            yield from walk(top, (document,))
