"""A diagnosis for a terminal of 80 columns."""

from __future__ import annotations

import io
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drift_audit.diagnosis import Check, Diagnosis
from drift_audit.headline import number
from drift_audit.renderer.encode import legible, visible
from drift_audit.renderer.text import WIDTH, lines, terminal

STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red", "not seen": "bold yellow"}


def render(diagnosis: Diagnosis, *, color: bool = False, width: int = WIDTH) -> str:
    """
    The verdict, then every check with the commands that put it right, those of a project together.
    """
    out = io.StringIO()
    console = terminal(out, color=color, width=width)
    verdict, style = ("READY", "bold green") if diagnosis.ready else ("NOT READY", "bold red")
    _rows(console, (verdict, style, headline(diagnosis)))
    for project, checks in groupby(diagnosis.checks, lambda check: check.project):
        console.print()
        if project:
            console.print(Text(visible(project), style="bold underline"))
        for check in checks:
            _rows(console, (check.state, STYLES[check.state], check.says), check.check)
            _commands(console, check)
    return lines(out)


def headline(diagnosis: Diagnosis) -> str:
    """What the checks come to."""
    states = [check.state for check in diagnosis.checks]
    missing, unseen = states.count("missing"), states.count("not seen")
    parts = [
        f"{missing} missing" if missing else "",
        f"{unseen} not seen" if unseen else "",
        number(states.count("warning"), "warning") if "warning" in states else "",
    ]
    can = "an audit can be complete" if diagnosis.ready else "an audit would not be complete"
    return ": ".join(filter(None, [can, ", ".join(filter(None, parts))]))


def _rows(console: Console, row: tuple[str, str, str], name: str = "") -> None:
    """A narrow label, what it is about, and text that wraps under itself."""
    label, style, text = row
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=9, no_wrap=True)
    if name:
        table.add_column(width=11, no_wrap=True)
    table.add_column(overflow="fold")
    cells = [Text(label, style=style), *([Text(name)] if name else []), Text(visible(text))]
    table.add_row(*cells)
    console.print(table)


def _commands(console: Console, check: Check) -> None:
    """Each command stands on a line of its own, unbroken, so that it can be copied."""
    for label, commands in (("to fix", check.fix), ("or", check.instead)):
        if commands:
            console.print(Text(f"{label}:", style="bold"))
        for one in commands:
            console.print(Text(f"  {legible(one)}"), soft_wrap=True)
