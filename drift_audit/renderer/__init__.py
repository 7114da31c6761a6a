"""A report as something people or machines read. Every format is made of the same stored report."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

FORMATS = ("text", "brief", "json", "markdown", "html", "github", "junit", "sarif")

SUFFIXES = {
    ".txt": "text",
    ".json": "json",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xml": "junit",
    ".sarif": "sarif",
}
"""Which format a file name asks for."""

ANCHORED = ("github", "sarif")
"""Those that point at files, and take what finds these as `anchors`."""

ROOM = {"github": 60_000, "gitlab": 900_000, "jira": 30_000, "step-summary": 900_000}
"""
The bytes of Markdown that a place takes, with some to spare (`ux-ecosystem.md` §2.1): a comment on
GitHub, a note on GitLab, a comment in Jira, the summary of a step of GitHub Actions.
"""

Render = Callable[..., str]


def renderer(format: str) -> Render:
    """
    The function that renders one of FORMATS, or the text of another document: `timeline`, `kept`,
    `diagnosis`. Loaded when it is needed: templates are not free.

    All take the document. Text takes colours and a width besides, Markdown a `budget` in bytes,
    those of ANCHORED what finds the `anchors`.
    """
    module = import_module(f"drift_audit.renderer.{format}")
    render: Render = module.render
    return render
