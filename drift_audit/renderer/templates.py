"""
The jinja2 environments. Every value a template prints passes an encoder, whether or not it asks
for one.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drift_audit import files
from drift_audit.headline import number
from drift_audit.renderer import heat, told
from drift_audit.renderer.encode import code, command, parts, printable, sentence


class Encoded(str):
    """Text that has been made inert for its page."""

    __slots__ = ()


def for_html() -> Environment:
    """Templates whose output is escaped by jinja2; what cannot be seen is made visible first."""
    environment = _environment(autoescape=True, finalize=_visible)
    environment.globals["pinned"] = _pinned
    environment.globals["heat"] = heat
    environment.filters["address"] = lambda path: Encoded(quote(path, errors="surrogateescape"))
    environment.filters["parts"] = parts
    return environment


def for_markdown() -> Environment:
    """Templates whose output is a code span unless a filter made it something else."""
    environment = _environment(autoescape=False, finalize=_inert)
    environment.filters["sentence"] = lambda text: Encoded(sentence(text))
    return environment


def _pinned(name: str) -> str:
    """What the policy of a page calls a style or a script of ours that stands in it."""
    digest = hashlib.sha256((files.shipped("templates") / name).read_bytes()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(files.shipped("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.globals |= {"told": told, "number": number}
    environment.filters["command"] = lambda text: Encoded(command(text))
    return environment


def _visible(value: Any) -> Any:
    """Foreign text made visible; what a macro or filter made of it already is."""
    made = isinstance(value, (Markup, Encoded, int))
    return value if made else printable(value)


def _inert(value: Any) -> Any:
    return value if isinstance(value, (Encoded, int)) else code(value)
