"""
The only code that looks at raw values.

A value goes in, a `LiteralValue` comes out: a keyed digest bound to its address, the names of
what is odd about the value, and, for keys the owner chose to reveal, the value itself. Nothing
else can be read from a seal: no prefix, no length.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from json.encoder import encode_basestring_ascii
from typing import Literal

from drift_audit import names
from drift_audit.binding import LiteralValue, Seal
from drift_audit.credentials import names_a_secret, sign_of
from drift_audit.patterns import Failed, Patterns
from drift_audit.snapshot import Address
from drift_audit.targets import targets

KEY_BYTES = 32
NO_KEY = "not 32 or more bytes in base64 or hexadecimal"
_SMALL = re.compile(r"\s*[0-9]{1,6}\s*", re.ASCII)
VALUE_LIMIT = 32_768
"""The longest value Cloud Run takes, in bytes (`cloud-run-api.md` §1.2)."""

CREDENTIAL = "credential"
"""The trait of what looks like one; another one says by what."""

BY_PATTERN = f"{CREDENTIAL}-by-pattern:"
PATTERNS_FAILED = "patterns-failed"
"""What a library's patterns say of a value: the kind of credential it is, or nothing at all."""

LOOKED_AT = 2**20
"""How much of a value is searched for a credential; what is longer is over the limit anyway."""


@dataclass(frozen=True)
class SealKey:
    """
    What seals are made with.

    A `lasting` key lives outside the store and seals what is stored; its seals are bound to
    project, region and service, so nobody can match values between services. A key for one run
    dies with it, and its seals are bound to the key's name alone: two files of one service may
    name their project differently, or not at all.
    """

    material: bytes = field(repr=False)
    lasting: bool

    def bound(self, at: Address) -> list[str]:
        """What seals of this key are bound to, besides the name of the key or setting."""
        return [at.project, at.region, at.service] if self.lasting else []

    def id(self, at: Address) -> str:
        """
        Names the key, and what it is bound to, without giving it away: seals whose ids differ say
        nothing of each other.
        """
        return self.digest(["key id", *self.bound(at)]).hex()[:12]

    def digest(self, parts: Iterable[str]) -> bytes:
        """The keyed digest of a list of texts."""
        # a JSON list in ASCII, so that lone surrogates survive it
        message = '", "'.join(map(_inside_quotes, ("drift-audit/v1", *parts)))
        keyed = self._keyed.copy()
        keyed.update(f'["{message}"]'.encode("ascii"))
        return keyed.digest()

    def mark(self, what: str, data: bytes) -> str:
        """A keyed digest of bytes, for one use: nobody without the key can make it."""
        return hmac.digest(self.material, what.encode() + b"\0" + data, "sha256").hex()

    @cached_property
    def _keyed(self) -> hmac.HMAC:
        """
        What every digest starts from. `hmac.digest` lets other threads run each time: for a value
        that takes longer than the digest.
        """
        return hmac.new(self.material, digestmod="sha256")

    @staticmethod
    def parse(text: str) -> SealKey:
        """
        Read a lasting key from base64 or hexadecimal text.

        Raises ValueError, without the text, when it is neither or shorter than 32 bytes.
        """
        compact = "".join(text.split())
        for decode in (bytes.fromhex, _base64):
            try:
                material = decode(compact)
            except ValueError:
                continue
            if len(material) >= KEY_BYTES:
                return SealKey(material, lasting=True)
        raise ValueError(NO_KEY)

    @property
    def text(self) -> str:
        """The key as `parse` reads it. For the key file alone."""
        return base64.b64encode(self.material).decode()


def _inside_quotes(text: str) -> str:
    quoted: str = encode_basestring_ascii(text)
    return quoted[1:-1]


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


Place = Literal["key", "setting"]
"""What holds a value."""


class Sealer:
    """
    Seals the literals of one run.

    `reveal` lists the keys, as globs, whose values stay readable, and `numbers` those that do where
    they are numbers. With `keep` off, literals are left out: they are there, and cannot be
    compared.
    """

    def __init__(
        self,
        key: SealKey,
        *,
        reveal: Iterable[str] = (),
        numbers: Iterable[str] = (),
        keep: bool = True,
        patterns: Patterns | None = None,
    ) -> None:
        self._key = key
        self._reveal, self._numbers = tuple(reveal), tuple(numbers)
        self._keep, self._patterns = keep, patterns
        self._bound: dict[tuple[str, str, str], tuple[list[str], str]] = {}
        self._places: dict[bytes, dict[tuple[Address, Seal | None], None]] = {}

    def seal(self, at: Address, *values: str) -> LiteralValue:
        """
        Seal one value, or a list of values as a whole, at the address it was read from.

        The container is not part of what is sealed: it may be renamed without a change of meaning.
        """
        kind: Place = "key" if at.key is not None else "setting"
        return self.seal_at(at, at.container, kind, at.name, *values)

    def seal_at(
        self, home: Address, container: str, kind: Place, name: str, *values: str
    ) -> LiteralValue:
        """The same for a key or setting of a service, without an address made for it."""
        shown = kind == "key" and self._reveals(name, values[0])
        marks = traits(name, values[0]) if len(values) == 1 else _traits_of_all(name, values)
        if self._patterns is not None:
            marks |= _by_patterns(self._patterns, name, values)
        seal = self._seal(home, kind, name, values) if self._keep else None
        if CREDENTIAL in marks:
            twins = self._places.setdefault(self._key.digest(["twin", *values]), {})
            twins[home.at(container, **{kind: name}), seal] = None
        leads = kind == "key" and self._keep and not names_a_secret(name)
        return LiteralValue(
            sealed=seal,
            clear=_printable(values[0]) if shown and self._keep else None,
            traits=tuple(sorted(marks)) if marks else (),
            targets=targets(values[0]) if leads else (),
        )

    def _reveals(self, name: str, value: str) -> bool:
        if name in self._numbers and _SMALL.fullmatch(value):
            return True
        return bool(self._reveal) and any(fnmatchcase(name, glob) for glob in self._reveal)

    @property
    def lasting(self) -> bool:
        """Whether what is sealed now can be compared with what is sealed on another day."""
        return self._key.lasting

    @property
    def patterns(self) -> str:
        """The library whose patterns are held against values, with its version; empty without."""
        return self._patterns.library if self._patterns else ""

    def mark(self, what: str, data: bytes) -> str:
        """
        A keyed digest of bytes that hold values: equal marks mean equal bytes, sealed and revealed
        alike. Nobody without the key can try out which values give a mark.
        """
        kept = "kept" if self._keep else "left out"
        shown = [self._reveal, self._numbers] if self._numbers else self._reveal
        tried = [{"patterns": str(self._patterns)}] if self._patterns else []
        context = json.dumps(["drift-audit/v1 mark", what, kept, *shown, *tried])
        return self._key.mark(context, data)

    def with_key(self, key: SealKey) -> Sealer:
        """Another one that shows and keeps the same, and seals with another key."""
        return Sealer(
            key,
            reveal=self._reveal,
            numbers=self._numbers,
            keep=self._keep,
            patterns=self._patterns,
        )

    def twins(self, run: str = "") -> list[tuple[str, tuple[tuple[Address, Seal | None], ...]]]:
        """
        Groups of places in different services that hold the same plain credential. In one of
        several parts of a `run` the others may be elsewhere: there every group is told, with its
        mark.
        """
        context = json.dumps(["drift-audit/v1 twins", run])
        groups = [
            (self._key.mark(context, same) if run else "", tuple(sorted(places, key=_by_address)))
            for same, places in self._places.items()
        ]
        told = [group for group in groups if run or len({at.home for at, _ in group[1]}) > 1]
        return sorted(told, key=lambda group: _by_address(group[1][0]))

    def _seal(self, home: Address, kind: str, name: str, values: tuple[str, ...]) -> Seal:
        place = home.project, home.region, home.service
        bound, key_id = self._bound.get(place) or self._bind(home)
        digest = self._key.digest((*bound, kind, name, *values))
        return Seal(key_id=key_id, digest=digest.hex())

    def _bind(self, home: Address) -> tuple[list[str], str]:
        place = home.project, home.region, home.service
        self._bound[place] = self._key.bound(home), self._key.id(home)
        return self._bound[place]


class Rekeying(Sealer):
    """
    Seals with one key, and tells in `seals` what each seal is under another one.

    Who finds a stored seal there has read its value again, at the place where it was sealed: with
    any other value, or elsewhere, the first key gives another seal.
    """

    def __init__(self, key: SealKey, new: SealKey) -> None:
        super().__init__(key)
        self.seals: dict[Seal, Seal] = {}
        self._new = Sealer(new)

    def _seal(self, home: Address, kind: str, name: str, values: tuple[str, ...]) -> Seal:
        seal = super()._seal(home, kind, name, values)
        new = self._new._seal(home, kind, name, values)  # noqa: SLF001  # a sealer as well
        self.seals[seal] = new
        return seal


def _by_address(place: tuple[Address, Seal | None]) -> str:
    return str(place[0])


def _printable(value: str) -> str:
    """A revealed value that UTF-8 can carry: lone surrogates become escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


# What is odd about a value. Each trait says something about its shape and nothing about its
# content.

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
_LINE_BREAKS = frozenset("\u0085\u2028\u2029")
_ORDINARY_CONTROLS = frozenset("\t\n\r")
_ORDINARY = re.compile(r"[\t\n\r -~]*")
_UNFILLED = re.compile(
    r"change[-_ ]?me\w*|replace[-_ ]?me|tbd\w*|todo|fixme|placeholder|dev-secret-\S*"
    r"|your[-_ ][\w -]+|x{3,}|\.{3,}",
    re.IGNORECASE,
)


def traits(name: str, value: str) -> frozenset[str]:
    """Name what is odd about a value: `blank`, `edge-whitespace`, `control-character`, …"""
    found = set() if _ORDINARY.fullmatch(value) else {*map(character_trait, set(value))} - {""}
    stripped = value.strip()
    if not stripped:
        found.add("blank")
    elif len(value) != len(stripped):
        found.add("edge-whitespace")
    elif damage := _damage(value):
        found.add(damage)
    head = stripped[:LOOKED_AT]
    unfilled = _UNFILLED.fullmatch(head) is not None
    if unfilled or names.is_placeholder(head):
        found.add("placeholder")
    if head and not unfilled and (sign := sign_of(name, head)):
        found |= {CREDENTIAL, f"{CREDENTIAL}-by-{sign}"}
    long = len(value) * 4 > VALUE_LIMIT  # no character takes more than four bytes
    if long and len(value.encode("utf-8", "surrogatepass")) > VALUE_LIMIT:
        found.add("over-limit")
    return frozenset(found)


_DELIMITER = re.compile(r"\^[^A-Za-z0-9^\s]{1,3}\^")
_NEXT_KEY = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+=")


def _damage(value: str) -> str:
    """What is left of an accident with quotes or delimiters on a command line, if anything is."""
    if value[0] in "'\"" and value[0] == value[-1] and len(value) > 1:
        return "quoted"
    if _DELIMITER.match(value):
        return "delimited"
    parts = value[:LOOKED_AT].split(",")[1:] if "," in value and "=" in value else ()
    return "joined" if any(_NEXT_KEY.match(part) for part in parts) else ""


def _traits_of_all(name: str, values: Iterable[str]) -> frozenset[str]:
    return frozenset(trait for value in values for trait in traits(name, value))


def _by_patterns(patterns: Patterns, name: str, values: Iterable[str]) -> frozenset[str]:
    try:
        kinds = {kind for v in values for kind in patterns.found(name, v[:LOOKED_AT])}
    except Failed:
        return frozenset({PATTERNS_FAILED})
    return frozenset({CREDENTIAL, *(BY_PATTERN + kind for kind in kinds)} if kinds else ())


def character_trait(char: str) -> str:
    """`bidi`, `invisible`, `control-character`, or nothing, for one character."""
    if " " <= char <= "~" or char in _ORDINARY_CONTROLS:
        return ""
    if char in _BIDI:
        return "bidi"
    category = unicodedata.category(char)
    if category in ("Cf", "Zs") or char in _FILLERS:
        return "invisible"
    noncharacter = ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF
    if category in ("Cc", "Cs") or char in _LINE_BREAKS or noncharacter:
        return "control-character"
    return ""
