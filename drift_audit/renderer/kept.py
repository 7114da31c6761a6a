"""What the kept revisions of many services tell of keys, for a terminal of 80 columns."""

from __future__ import annotations

from rich.text import Text

from drift_audit.headline import number
from drift_audit.kept import KeptKeys
from drift_audit.renderer.terminal import WIDTH, Terminal, shown
from drift_audit.renderer.timeline import row, tell_step

MIND = "between two kept revisions there may have been others, which no audit read"


def render(kept: KeptKeys, *, color: bool = False, width: int = WIDTH) -> str:
    """What was looked at, then every key that some deploy changed, service by service."""
    terminal = Terminal(color=color, width=width)
    services = number(kept.services, "service")
    row(terminal, "kept", f"{number(kept.revisions, 'revision')} of {services}")
    for missed in kept.unseen:
        row(terminal, "not seen", f"{missed.where}: {missed.reason}", "bold yellow")
    changed = sum(line.changed for line in kept.lines)
    places = f"{number(changed, 'place')} of a key or file" if changed else "nothing"
    row(terminal, "changed", places)
    others = [f"{kept.unchanged} not changed"] if kept.unchanged else []
    if kept.without:
        others.append(f"{number(kept.without, 'service')} without any")
    if others:
        row(terminal, "besides", ", ".join(others))
    if changed:
        row(terminal, "mind", MIND, "dim")
    for line in kept.lines:
        terminal.line()
        at = line.at
        where = f"{at.project}/{at.region}/{at.service}"
        where += f" in container {at.container}" if at.container else ""
        terminal.line(shown(at.name, "bold") + Text("  ") + shown(where))
        for step in line.steps:
            made = step.deploy
            after = f"{made.revision} (after {step.previous})" if step.previous else made.revision
            tell_step(terminal, step, after, made)
    return terminal.text
