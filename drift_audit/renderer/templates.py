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
    environment.globals["style_hash"] = _style_hash
    environment.globals["heat"] = heat
    environment.filters["address"] = lambda path: Encoded(quote(path, errors="surrogateescape"))
    environment.filters["parts"] = parts
    return environment


def _style_hash(name: str) -> str:
    """What the policy of a page calls one of our styles."""
    style = (files.shipped("templates") / name).read_bytes()
    return f"sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}"


def for_markdown() -> Environment:
    """Templates whose output is a code span unless a filter made it something else."""
    environment = _environment(autoescape=False, finalize=_inert)
    environment.filters["sentence"] = lambda text: Encoded(sentence(text))
    return environment


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
