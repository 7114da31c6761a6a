"""
Looks for a value in bytes, in every disguise that a careless program could write it in.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PART = 8
"""A partial reveal: the first or last so many characters."""

HASHES = ("md5", "sha1", "sha256", "blake2b")


def disguises(value: str) -> dict[str, bytes]:
    """Every form of a value that must not be found, by name."""
    raw = value.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "first characters": raw[:PART],
        "last characters": raw[-PART:],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": "".join(f"%{b:02X}" for b in raw).encode(),
        "url, as usual": urllib.parse.quote(value, safe="").encode(),
        "html decimal": "".join(f"&#{ord(c)};" for c in value).encode(),
        "html hex": "".join(f"&#x{ord(c):x};" for c in value).encode(),
        "html": html.escape(value).encode(),
        "json": json.dumps(value)[1:-1].encode(),
        "json escapes": "".join(f"\\u{ord(c):04x}" for c in value).encode(),
        "visible escapes": "".join(f"\\u{{{ord(c):x}}}" for c in value).encode(),
        "utf-16-le": value.encode("utf-16-le"),
        "utf-16-be": value.encode("utf-16-be"),
        "crc32": f"{zlib.crc32(raw):08x}".encode(),
    }
    for offset in range(3):
        # base64 of the value inside a longer text, at each of the three alignments
        whole = base64.b64encode(b"\0" * offset + raw)
        start = (0, 2, 3)[offset]
        found[f"base64 at {offset}"] = whole[start : len(whole) - 4].strip(b"=")
        found[f"base64url at {offset}"] = found[f"base64 at {offset}"].translate(
            bytes.maketrans(b"+/", b"-_")
        )
    for name in HASHES:
        digest = hashlib.new(name, raw).digest()
        found[name] = digest.hex()[:PART].encode()
        found[f"{name} base64"] = base64.b64encode(digest)[:12]
    return found


def leaks(data: bytes, values: Iterable[str]) -> list[str]:
    """How the values show in some bytes; empty when they do not."""
    unpacked = data + b"".join(_gzip_members(data))
    return [name for value in values for name, form in disguises(value).items() if form in unpacked]


def _gzip_members(data: bytes) -> Iterator[bytes]:
    for match in re.finditer(rb"\x1f\x8b\x08", data):
        try:
            yield gzip.decompress(data[match.start() :])
        except (OSError, EOFError, zlib.error):
            continue


def files_below(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, names included: they can leak too."""
    return {
        str(p.relative_to(folder)): str(p.name).encode() + b"\n" + unpacked(p.name, p.read_bytes())
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def unpacked(name: str, data: bytes) -> bytes:
    """A file as it can be searched: lines that were compressed, below their head, are not any more."""
    if name.endswith(".jsonl.gz") and b"\n" in data:
        head, _, lines = data.partition(b"\n")
        data = head + b"\n" + gzip.decompress(lines)  # of all members
    return data
