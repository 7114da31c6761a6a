"""
Makes text from outside visible and inert.

Names of keys, images, labels and accounts are written by whoever deploys. Whatever a terminal, a
Markdown page, a browser or a CI system could take for more than text becomes an escape that can be
read: `\\u{1b}`. Nothing is dropped, so that a hidden character can be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NOT_PLAIN = re.compile(r"""[^A-Za-z0-9 _.,:;=/@+()%?!~'"#-]|:(?=:)|#(?=#)| (?= )""", re.ASCII)
_NOT_LEGIBLE = re.compile(r"[^ -~]|\\|:(?=:)|#(?=#)")
_NOT_COMMAND = re.compile(r"[^A-Za-z0-9 _.,:;=/@+()%?!~'-]|:(?=:)", re.ASCII)
_NOT_PRINTABLE = re.compile(r"[^ -~]| (?= )")
_NOT_MARKDOWN = re.compile(r"[^A-Za-z0-9 _,=/-]", re.ASCII)
_WORD = re.compile(r"(\(?)(.*?)([.,;:)]*)", re.DOTALL)
_PLAIN_WORD = re.compile(r"[A-Za-z]+|[0-9]{1,6}%?|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}:[0-9]{2}")
_NUMBERED = re.compile(r" *[0-9]+[.)](?= |$)")

LIMIT = 400
"""The longest piece of foreign text that is shown; names on Cloud Run are shorter."""


def visible(text: object) -> str:
    """
    For text that is pasted on: printable ASCII without markup, line breaks or the start of a
    command.
    """
    return _NOT_PLAIN.sub(_escape, _cut(str(text)))


def legible(text: object) -> str:
    """For logs and terminals alone: printable ASCII, with nothing that a CI system would obey."""
    return _NOT_LEGIBLE.sub(_escape, str(text))


def command(text: object) -> str:
    """For commands that people copy: whole, however long, in the characters that we write."""
    return _NOT_COMMAND.sub(_escape, str(text))


def printable(text: object) -> str:
    """For HTML, where the template escapes markup: what cannot be seen is made visible."""
    return _NOT_PRINTABLE.sub(_escape, _cut(str(text)))


def code(text: object) -> str:
    """
    For GitHub-flavoured Markdown: a code span in which nothing is a link, a mention or a border.

    GitHub makes links of hosts inside of it too, unless their dots are references, and of mail
    addresses whatever they are made of, unless something stands behind the `@`.
    """
    return f"<code>{_NOT_MARKDOWN.sub(_entity, printable(text))}</code>"


def sentence(text: object) -> str:
    """
    For Markdown: plain words as they are, everything that is or could be a name as a code span, and
    so a number that would begin a list.
    """
    told = "".join(part if plain else code(part) for plain, part in parts(text))
    listed = _NUMBERED.match(told)
    return code(listed[0]) + told[listed.end() :] if listed else told


def parts(text: object) -> Iterator[tuple[bool, str]]:
    """The pieces of a sentence, each with whether it is plain words and small numbers alone."""
    plain = ""
    for i, word in enumerate(printable(text).split(" ")):
        opening, core, closing = _WORD.fullmatch(word).groups()  # type: ignore[union-attr]
        plain += " " * (i > 0) + opening
        if core and not _PLAIN_WORD.fullmatch(core):
            yield True, plain
            yield False, core
            core = plain = ""
        plain += core + closing
    yield True, plain


def _cut(text: str) -> str:
    return (
        text if len(text) <= LIMIT else f"{text[:LIMIT]}... ({len(text) - LIMIT} more characters)"
    )


def _escape(match: re.Match[str]) -> str:
    return f"\\u{{{ord(match.group()):x}}}"


def _entity(match: re.Match[str]) -> str:
    char = match.group()
    return f"&#{ord(char)};{'<!-- -->' if char == '@' else ''}"
