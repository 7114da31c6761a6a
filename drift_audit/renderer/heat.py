"""
The history of keys as a table: a row for each key, a column for each revision, and in each cell how
the key stood. What a page can show of all services together is limited, and the rest is counted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drift_audit.headline import number
from drift_audit.service_report import KeyHistory, KeyLine, ServiceReport, Stretch

MOST = 3_000
"""Cells of a page: a browser and a screen reader take many times that badly."""

LETTERS = {"secret": "S", "literal": "P", "empty": "E", "absent": "-", "unreadable": "?"}

LEGEND = "S secret, P plain value, E empty, - absent, ? unreadable, * changed by this deploy"


@dataclass(frozen=True)
class Column:
    """
    A revision, or several: what it is called beside the name of its service, when it was made, in
    UTC, and what it is.
    """

    name: str
    made: str
    marks: str


@dataclass(frozen=True)
class Cell:
    """How a key stood, in a letter, and whether a deploy did something to it."""

    state: str
    text: str
    changed: bool


@dataclass(frozen=True)
class Row:
    """One key or file."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Map:
    """The history of one service. `rest` says what of it is not in the rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rest: str


def maps(services: Iterable[ServiceReport]) -> list[Map | None]:
    """The maps of the services that a page shows, in its order; None where none is."""
    left = MOST
    found: list[Map | None] = []
    for service in services:
        one = _map(service, service.history, left) if service.history else None
        left -= len(one.rows) * len(one.columns) if one else 0
        found.append(one)
    return found


def _map(service: ServiceReport, history: KeyHistory, left: int) -> Map:
    lines = _by_interest(service, history)
    shown = lines[: left // len(history.stretches)]
    several = len({line.container for line in lines}) > 1
    return Map(
        columns=tuple(_column(stretch, service) for stretch in history.stretches),
        rows=tuple(Row(_name(line, named=several), tuple(_cells(line))) for line in shown),
        rest=_rest(len(lines) - len(shown), history),
    )


def _by_interest(service: ServiceReport, history: KeyHistory) -> list[KeyLine]:
    """Keys that differ from the reference come first, then those that are as they were again."""
    differ = {(c.container, c.key, c.mount) for c in service.changes}
    return sorted(history.lines, key=lambda one: (one.container, one.key, one.mount) not in differ)


def _name(line: KeyLine, *, named: bool) -> str:
    name = line.key if line.key is not None else line.mount or ""
    return f"{line.container}: {name}" if named and line.container else name


def _cells(line: KeyLine) -> Iterator[Cell]:
    for i, run in enumerate(line.runs):
        letter = LETTERS[run.state]
        for first in (True, *(False,) * (run.stretches - 1)):
            changed = first and i > 0
            yield Cell(run.state, f"{letter}*" if changed else letter, changed)


def _column(stretch: Stretch, service: ServiceReport) -> Column:
    short = [name.removeprefix(f"{service.service}-") for name in (stretch.revision, stretch.last)]
    name = f"{short[0]} to {short[1]} ({stretch.count})" if stretch.last else short[0]
    good = "reference" if service.reference_how in ("named", None) else "known good"
    marks = (
        good if stretch.revision == service.reference else "",
        "candidate" if stretch.revision == service.candidate else "",
        f"serves {stretch.percent}%" if stretch.percent else "",
    )
    at = stretch.create_time
    made = f"{at.astimezone(dt.UTC):%m-%d %H:%M}" if at else ""
    return Column(name, made, ", ".join(filter(None, marks)))


def _rest(left_out: int, history: KeyHistory) -> str:
    """What is not in the rows, in a sentence; nothing where that is nothing."""
    parts = []
    if left_out:
        parts.append(f"{number(left_out, 'more key')} changed; drift-audit history shows all")
    if history.unchanged:
        parts.append(f"{number(history.unchanged, 'more key')} unchanged")
    if not history.complete:
        parts.append("there may be other revisions")
    return "; ".join(parts)
