"""A report as something people or machines read. Every format is made of the same stored report."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drift_audit.report import Report

FORMATS = ("text", "json", "markdown", "html")

SUFFIXES = {".txt": "text", ".json": "json", ".md": "markdown", ".html": "html", ".htm": "html"}
"""Which format a file name asks for."""

Render = Callable[["Report"], str]


def renderer(format: str) -> Render:
    """
    The function that renders one of FORMATS. Loaded when it is needed: templates are not free.
    """
    module = import_module(f"drift_audit.renderer.{format}")
    render: Render = module.render
    return render
