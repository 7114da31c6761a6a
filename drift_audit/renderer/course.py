"""
The audits of one scope over the nights, as a page shows them: the newest night, bars of findings, a
table of services and nights, and a line for every night.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from drift_audit.finding import Known
from drift_audit.night import Glance, Night, ServiceNight, Standing
from drift_audit.renderer import told
from drift_audit.renderer.told import WEIGHTS
from drift_audit.report import Counts

MOST_NIGHTS = 30
"""Nights of a table of services."""

MOST_CELLS = 3_000
"""Cells of a page, of all tables of services: a browser and a screen reader take more badly."""

MOST_BARS = 90
"""Nights that are drawn as bars."""

MOST_LISTED = 200
"""Findings of one list: the report of the night holds all of them."""

LEGEND = (
    "open findings of the worst severity: C critical, H high, M medium, L low, I info;"
    " 0 none is open, - not seen in that night"
)

Told = TypeVar("Told", bound=Glance)


class Kept(Protocol):
    """A night in a folder beside the page (`2026-03-01/020000/`), read as far as is asked for."""

    folder: str

    def read(self, kind: type[Told]) -> Told:
        """The night, or as much of it as that kind holds."""


@dataclass(frozen=True)
class Line:
    """A night in the list of all of them; `resolved` is None where nobody can tell."""

    folder: str
    night: Glance
    resolved: int | None


@dataclass(frozen=True)
class Cell:
    """How a service stood in a night."""

    state: str
    text: str


@dataclass(frozen=True)
class Matrix:
    """
    Services by nights, those that stand worst first. `rest` are the services that are not in the
    rows, with how they stood in the newest night; names go without the `place` they share.
    """

    columns: Sequence[Glance]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    rest: Sequence[tuple[str, str]]
    place: str


@dataclass(frozen=True)
class Part:
    """The findings of one severity in a bar, from the bottom of the picture up."""

    severity: str
    top: int
    height: int


@dataclass(frozen=True)
class Bar:
    """A night in the picture of all of them."""

    left: int
    night: Glance
    parts: Sequence[Part]


@dataclass
class Course:
    """The nights of one scope, newest first. `newest` is read whole."""

    newest: Night
    lines: list[Line] = field(default_factory=list)
    standing: list[Mapping[str, ServiceNight]] = field(default_factory=list)

    def add(self, kept: Kept, night: Glance) -> None:
        """Take the next older night in."""
        resolved = len(night.trend.resolved) if night.complete else None
        slim = night.but(trend=night.trend.but(resolved=()))
        self.lines.append(Line(kept.folder, slim, resolved))
        if len(self.standing) < MOST_NIGHTS:
            services = kept.read(Standing).services
            self.standing.append({str(service.at): service for service in services})

    @property
    def new(self) -> list[Known]:
        """The findings that the newest night was the first to see."""
        return [one for one in self._seen if one.since >= self.newest.generated_at]

    @property
    def continuing(self) -> list[Known]:
        """The findings of the newest night that others before it saw too."""
        return [one for one in self._seen if one.since < self.newest.generated_at]

    @property
    def carried(self) -> list[Known]:
        """The findings of nights before, which the newest one may not have seen."""
        return [one for one in self.newest.known if one.carried]

    @property
    def _seen(self) -> list[Known]:
        return [one for one in self.newest.known if not one.carried]

    def matrix(self, most: int) -> Matrix:
        """The table of services and nights, with so many cells at most."""
        names = sorted({name for night in self.standing for name in night}, key=self._interest)
        shown = names[: most // len(self.standing)]
        places = {name.rpartition("/")[0] for name in names}
        place = f"{places.pop()}/" if len(places) == 1 else ""
        return Matrix(
            columns=[line.night for line in self.lines[: len(self.standing)]],
            rows=[
                (name.removeprefix(place), [_cell(night.get(name)) for night in self.standing])
                for name in shown
            ],
            rest=[
                (name.removeprefix(place), _stood(self.standing[0].get(name)))
                for name in names[len(shown) :]
            ],
            place=place,
        )

    def _interest(self, name: str) -> tuple[list[int], list[int], str]:
        """What stands worst now comes first, then what stood worst in these nights."""
        counts = [_counts(night.get(name)) for night in self.standing]
        return (
            [-n for n in counts[0]],
            [-sum(each) for each in zip(*counts, strict=True)],
            name,
        )

    @property
    def most(self) -> int:
        """The most open findings of a night that is drawn."""
        return max(sum(_counts(line.night.counts)) for line in self.lines[:MOST_BARS])

    def bars(self) -> list[Bar]:
        """The newest nights as bars, the oldest of them first."""
        drawn, most = reversed(self.lines[:MOST_BARS]), self.most
        return [Bar(SLOT * i, line.night, _parts(line.night, most)) for i, line in enumerate(drawn)]

    @property
    def width(self) -> int:
        """The width of the picture, in the units of the bars."""
        return SLOT * max(MOST_NIGHTS, min(len(self.lines), MOST_BARS))


SLOT, HEIGHT, FOOT, LEAST = 10, 1_000, 60, 14
"""
A bar with its gap, the highest bar, what is below the bars, and the least height at which one
finding can be seen.
"""


def courses(nights: Iterable[Kept]) -> list[Course]:
    """
    The nights by their scopes, the one that was audited last first. `nights` come newest first and
    are let go one by one.
    """
    found: list[Course] = []
    for kept in nights:
        night = kept.read(Glance)
        course = next((one for one in found if one.newest.follows(night.scope)), None)
        if course is None:
            course = Course(kept.read(Night))
            found.append(course)
        course.add(kept, night)
    return found


def _counts(of: Counts | ServiceNight | None) -> list[int]:
    return [count for _, count in told.tally(of)] if of else [0] * len(WEIGHTS)


def _cell(service: ServiceNight | None) -> Cell:
    if service is None:
        return Cell("missing", "-")
    for word, count in told.tally(service):
        if count:
            return Cell(word, f"{count}{word[0].upper()}")
    return Cell("none", "0")


def _stood(service: ServiceNight | None) -> str:
    if service is None:
        return "not seen in the newest night"
    return told.severities(service) or "none open"


def _parts(night: Glance, most: int) -> list[Part]:
    """The severities of a bar: no finding is too small to be seen, none higher than the picture."""
    scale = (HEIGHT - LEAST * len(WEIGHTS)) / max(1, most)
    parts: list[Part] = []
    top = HEIGHT
    for word, count in told.tally(night.counts):
        if count:
            height = LEAST + int(count * scale)
            top -= height
            parts.append(Part(word, top, height))
    return parts
