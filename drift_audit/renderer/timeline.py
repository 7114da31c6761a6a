"""The history of a service for a terminal of 80 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from rich.text import Text

from drift_audit.headline import number, some
from drift_audit.kept import Deploy, KeptStep
from drift_audit.renderer import told
from drift_audit.renderer.encode import command, visible
from drift_audit.renderer.heat import LETTERS
from drift_audit.renderer.terminal import WIDTH, Terminal, shown
from drift_audit.service_report import RevisionFacts
from drift_audit.timeline import Line, Step, Timeline

FEW, MOST_KEYS, MOST_LABEL, GAP = 3, 40, 30, 2
"""Revisions and keys between which a map says more than the steps, and the widths of its names."""

LEGEND = "s secret, p plain value, e empty, - absent, ? unreadable; capital: changed there"

Told = Step | KeptStep

STYLES = {"vanished": "bold red", "emptied": "bold red", "became": "red", "appeared": "green"}


def render(timeline: Timeline, *, color: bool = False, width: int = WIDTH) -> str:
    """Which revisions there are, what serves and is known good, then every key, oldest first."""
    terminal = Terminal(color=color, width=width)
    made = {facts.revision: facts for facts in timeline.revisions}
    _head(terminal, timeline)
    several = len({line.at.container for line in timeline.lines} - {""}) > 1
    _map(terminal, timeline, width, named=several)
    for line in timeline.lines:
        terminal.line()
        where = f" in container {line.at.container}" if several and line.at.container else ""
        terminal.line(shown(line.at.name, "bold") + shown(where))
        _steps(terminal, line, made, timeline.deleted)
    if not timeline.lines:
        terminal.line()
        terminal.line(shown("no deploy changed a key or a file"))
    return terminal.text


def _head(terminal: Terminal, timeline: Timeline) -> None:
    place = f"{timeline.project}/{timeline.region}/{timeline.service}"
    terminal.line(shown(place, "bold underline"))
    read = number(len(timeline.revisions), "revision")
    if timeline.revisions:
        first, last = (told.time(timeline.revisions[i].create_time) for i in (0, -1))
        read = f"{read}, {first} to {last}" if first != last else f"{read}, {first}"
    if timeline.deleted:
        read = f"{read}; {len(timeline.deleted)} of them deleted, as others may be"
    if not timeline.complete:
        read = f"{read}; there may be others"
    now = {r.revision for r in timeline.revisions if r.percent}
    serving = [f"{r.revision} ({r.percent}%)" for r in timeline.revisions if r.percent]
    row(terminal, "seen", read)
    for missed in timeline.unseen:
        row(terminal, "not seen", f"{missed.where}: {missed.reason}", "bold yellow")
    row(terminal, "serving", ", ".join(serving) or "none of these")
    served = [f"{s.revision} (until {s.day})" for s in timeline.served if s.revision not in now]
    if served:
        row(terminal, "served", some(served))
    good, why = timeline.known_good, timeline.known_good_why
    row(terminal, "known good", f"{good} ({why})" if good else f"none: {why}")


def _map(terminal: Terminal, timeline: Timeline, width: int, *, named: bool) -> None:
    """Every key in a row, with a letter for each revision, where that fits."""
    made = [facts.revision for facts in timeline.revisions]
    keys = [line for line in timeline.lines if line.at.setting is None]
    names = [visible(_name(line, named=named)) for line in keys]
    label = min(max(map(len, names), default=0), MOST_LABEL)
    if not keys or len(keys) > MOST_KEYS or not FEW <= len(made) <= width - label - GAP:
        return
    terminal.line()
    for line, name in zip(keys, names, strict=True):
        cut = name if len(name) <= label else f"{name[: label - 2]}.."
        row = Text(cut.ljust(label + GAP), style="bold")
        terminal.line(row + Text(_letters(line, made)))
    terminal.line(shown(LEGEND, "dim"))


def _name(line: Line, *, named: bool) -> str:
    return f"{line.at.container}: {line.at.name}" if named else line.at.name


def _letters(line: Line, names: Sequence[str]) -> str:
    """How a key stood in each revision: a capital where a deploy did something to it."""
    states = {step.revision: LETTERS[step.state] for step in line.steps if step.state}
    letters, now = "", LETTERS["absent"]
    for name in names:
        now = states.get(name, now)
        letters += now if name in states else now.lower()
    return letters


def _steps(
    terminal: Terminal, line: Line, made: dict[str, RevisionFacts], deleted: Collection[str]
) -> None:
    """What became of one key."""
    for step in line.steps:
        facts = made[step.revision]
        name = f"{step.revision} (deleted)" if step.revision in deleted else step.revision
        tell_step(terminal, step, name, facts)


def tell_step(terminal: Terminal, step: Told, name: str, deploy: Deploy | RevisionFacts) -> None:
    """What one deploy did, when and in which revision, and what it probably was."""
    at = deploy.create_time
    date = f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M}" if at else ""
    who = ", ".join(filter(None, [name, told.made_by(deploy)]))
    row(terminal, date, step.says, STYLES.get(step.what, ""), DATE)
    row(terminal, "", f"in {who}", "dim", DATE)
    if step.cause is not None:
        cause = f"probably {command(step.cause.command)}: {step.cause.because}"
        row(terminal, "", cause, "dim", DATE)


LABEL = 10
DATE = 16


def row(terminal: Terminal, label: str, text: str, style: str = "", width: int = LABEL) -> None:
    """A narrow label, and text that wraps under itself."""
    terminal.rows((shown(label), shown(text, style)), widths=[width])
