"""A diagnosis for a terminal of 80 columns."""

from __future__ import annotations

from itertools import groupby

from drift_audit.diagnosis import Check, Diagnosis
from drift_audit.headline import number
from drift_audit.renderer.encode import legible
from drift_audit.renderer.terminal import WIDTH, Terminal, shown

STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red", "not seen": "bold yellow"}


def render(diagnosis: Diagnosis, *, color: bool = False, width: int = WIDTH) -> str:
    """
    The verdict, then every check with the commands that put it right, those of a project together.
    """
    terminal = Terminal(color=color, width=width)
    verdict, style = ("READY", "bold green") if diagnosis.ready else ("NOT READY", "bold red")
    terminal.rows((shown(verdict, style), shown(headline(diagnosis))), widths=[9])
    for project, checks in groupby(diagnosis.checks, lambda check: check.project):
        if project:
            terminal.title(project)
        else:
            terminal.line()
        for check in checks:
            state = shown(check.state, STYLES[check.state])
            terminal.rows((state, shown(check.check), shown(check.says)), widths=[9, 11])
            _commands(terminal, check)
    return terminal.text


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


def _commands(terminal: Terminal, check: Check) -> None:
    """Each command stands on a line of its own, unbroken, so that it can be copied."""
    for label, commands in (("to fix", check.fix), ("or", check.instead)):
        if commands:
            terminal.line(shown(f"{label}:", "bold"))
        for one in commands:
            terminal.whole(f"  {legible(one)}")
