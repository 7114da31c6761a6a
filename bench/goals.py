"""
What is to be reached, and which runs tell: groups of sides that run in turn, and the pairs in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.backend import Shape
from bench.programs import ALL, HAS_CHROMIUM, HAS_GCLOUD, LOOPED, MANY
from bench.record import SECRET_CALLS, Record

PAGE = 100
QUOTA = {"quota": 300, "window": 6.0}
"""3,000 calls a minute, in a tenth of the time."""

NOW = "0 ms"
QUIET = "second night, nothing changed"
CHANGED = "second night, 5 % changed"
RATIONED = "under quota"
PAIRS = "pairs in memory"
START = "start"
KEPT = "kept revisions"
PAGES = "reports in a browser"
LISTING = "list, with gcloud"
PAIR = "two revisions, with gcloud"
LOOP = "service by service, with gcloud"


@dataclass(frozen=True)
class Group:
    """
    Sides that run in turn on one server with the same settings.

    `touched` is the share of services that were deployed between two nights; `times` multiplies the
    rounds of what is over in a moment.
    """

    name: str
    shape: Shape
    settings: dict[str, Any] = field(default_factory=dict)
    touched: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Measure:
    """
    A number from a record of ours and, where there is another side, from its record. Less is better
    unless `more` is.
    """

    name: str
    unit: str
    of: Callable[[Record, Record], float]
    more: bool = False


WALL = Measure("wall time", "x", lambda one, other: one.wall / other.wall)
FASTER = Measure("times faster", "x", lambda one, other: other.wall / one.wall, more=True)
LESS_CPU = Measure("times less CPU", "x", lambda one, other: other.cpu / one.cpu, more=True)
MEMORY = Measure("peak memory", "x", lambda one, other: one.rss / other.rss)
IMPORTS = Measure(
    "peak memory to that after imports", "x", lambda one, _: one.rss / one.imports_rss
)
SIZE = Measure("size", "x", lambda one, other: one.stored / other.canonical)
FILTER = Measure("a word typed into the filter", " ms", lambda one, _: one.filtered)
CALLS = Measure("calls to the bound", "x", lambda one, _: one.sent / one.bound)
BESIDE = {*SECRET_CALLS, "ListWorkerPools", "ListJobs"}
RUN_CALLS = Measure(
    "calls about services, besides one list of worker pools and one of jobs",
    "",
    lambda one, _: float(sum(n for name, n in one.calls.items() if name not in BESIDE)),
)
REJECTED = Measure(
    "calls rejected", "%", lambda one, _: 100 * one.rejected / one.sent if one.sent else 0.0
)


@dataclass(frozen=True)
class Contest:
    """
    One row of the table. Without a limit it is told and not judged.

    Names of sides may carry a shape, as in `ours-audit@small`.
    """

    goal: str
    what: str
    group: str
    ours: str
    against: str = ""
    measure: Measure = WALL
    limit: float | None = None

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.measure.more

    def met(self, value: float) -> bool | None:
        """Whether a value reaches the limit; None where there is none."""
        if self.limit is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Profile:
    """What is run: how much data, which latency, what of it."""

    name: str
    shape: Shape
    small: Shape
    latency_ms: int
    quota: bool
    peers: bool

    def groups(self) -> dict[str, Group]:
        """Everything that runs, by name."""
        later = {"latency": self.latency_ms / 1000}
        all_groups = [
            Group(NOW, self.shape),
            Group(self._later, self.shape, later),
            Group(QUIET, self.shape),
            Group(self._quiet_later, self.shape, later),
            Group(CHANGED, self.shape, touched=0.05),
            Group(RATIONED, self.shape, {**later, **QUOTA}),
            Group(PAIRS, self.shape),
            Group(KEPT, self.shape),
            Group(PAGES, self.small),
            *(Group(name, self.small) for name in (LISTING, PAIR, LOOP)),
            Group(START, self.small, times=3 if self.peers else 1),
        ]
        return {group.name: group for group in all_groups}

    def contests(self) -> list[Contest]:
        """Every row, in the order of the goals."""
        there = [*self._first_night(), *self._second_night(), *self._all(), *self._memory()]
        there += [*self._calls(), self._pairs, *self._kept]
        there += _PAGES if HAS_CHROMIUM else ()
        return [*there, *_START, *(_PEERS if self.peers and HAS_GCLOUD else ())]

    @property
    def short(self) -> Shape:
        """The same services with a tenth of their history."""
        return Shape(self.shape.services, max(2, self.shape.revisions // 10))

    @property
    def _later(self) -> str:
        return f"{self.latency_ms} ms"

    @property
    def _quiet_later(self) -> str:
        return f"{QUIET}, {self._later}"

    @property
    def _data(self) -> str:
        return f"{self.shape} revisions"

    @property
    def _pairs(self) -> Contest:
        pairs = self.shape.services * self.shape.revisions
        what = f"{pairs:,} pairs in memory, 1 % changed: compare, all rules"
        return Contest("P6", what, PAIRS, "ours-judge", "deepdiff-pairs", LESS_CPU, 150.0)

    @property
    def _kept(self) -> list[Contest]:
        total = f"{self.shape.total:,} kept revisions"
        size = f"{total} and their index, against their canonical JSON"
        lost = f"which revision lost a key, over {total}, against reading them all"
        whole = f"a key looked up in {total}, the whole program, against reading them all"
        return [
            Contest("P9", size, KEPT, "ours-kept", "scan-kept", SIZE, 0.1),
            Contest("P9", lost, KEPT, "ours-kept", "scan-kept", WALL, 0.05),
            Contest("P9", whole, KEPT, "ours-kept-whole", "scan-kept"),
        ]

    def _first_night(self) -> list[Contest]:
        first = f"first audit of {self._data}, 1 % drifted"
        rows = [
            Contest("P1", f"{first}, 0 ms", NOW, "ours-audit", "floor-list", limit=2.0),
            Contest("-", "the obvious client code, 0 ms", NOW, "google-list", "floor-list"),
        ]
        for against, how in (("floor-list", "one list"), ("floor-sync16", "16 in flight")):
            what = f"{first}, {self._later}, raw: {how}"
            rows.append(Contest("P1", what, self._later, "ours-audit", against, limit=2.0))
        return rows

    def _second_night(self) -> list[Contest]:
        quiet, changed = "second audit, nothing changed", "second audit, 5 % changed"
        pages = -(-self.shape.services // PAGE)
        return [
            Contest("P2", f"{quiet}, 0 ms", QUIET, "ours-night", "floor-list", limit=0.15),
            Contest(
                "P2",
                f"{quiet}, {self._later}",
                self._quiet_later,
                "ours-night",
                "floor-list",
                limit=0.15,
            ),
            Contest("P2", quiet, QUIET, "ours-night", measure=RUN_CALLS, limit=pages),
            Contest("P2", f"{changed}, 0 ms", CHANGED, "ours-night", "floor-list", limit=0.3),
        ]

    def _all(self) -> list[Contest]:
        what = f"snapshot of {self._data}"
        later = f"{what}, {self._later}, 16 in flight"
        return [
            Contest("P3", f"{what}, 0 ms", NOW, "ours-snapshot", "floor-list", limit=5.0),
            Contest("P3", later, self._later, "ours-snapshot", "floor-sync16", limit=1.1),
        ]

    def _memory(self) -> list[Contest]:
        rows = []
        for side, what in (("ours-audit", "audit"), ("ours-snapshot", "snapshot")):
            told = f"{what}, {self.shape} to {self.short} revisions"
            rows.append(Contest("P4", told, NOW, side, f"{side}@short", MEMORY, 1.1))
            rows.append(Contest("P4", f"{what}, the whole process", NOW, side, "", IMPORTS, 1.5))
        return rows

    def _calls(self) -> list[Contest]:
        rows = [
            Contest("P5", "first audit", NOW, "ours-audit", "", CALLS, 1.02),
            Contest("P5", "snapshot", NOW, "ours-snapshot", "", CALLS, 1.02),
        ]
        if self.quota:
            what = "first audit under 3,000 calls a minute"
            rows.append(Contest("P5", what, RATIONED, "ours-audit", "", REJECTED, 1.0))
        return rows


_PAGE = f"a page of {MANY:,} findings"
_PAGES = [
    Contest("P8", f"{_PAGE}, until it is ready", PAGES, "many-findings", "few-findings", WALL, 2.5),
    Contest("P8", f"{_PAGE}, the browser", PAGES, "many-findings", "few-findings", MEMORY, 1.2),
    Contest("P8", f"{_PAGE}, filtered", PAGES, "many-findings", "", FILTER, 100.0),
]
_START = [
    Contest("P7", "--help", START, "help", "python", WALL, 4.0),
    Contest("P7", "--version", START, "version", "python", WALL, 4.0),
    Contest("P7", "explain key-lost", START, "explain", "python", WALL, 4.0),
    Contest("-", "audit --help", START, "audit-help", "python"),
    Contest("-", "render of a stored report", START, "render", "python"),
]
_EACH = f"{ALL} services, two describes and diff each, extrapolated from {LOOPED}"
_PEERS = [
    Contest("P10", "list 2,000", LISTING, "ours-list", "gcloud-list", FASTER, 60.0),
    Contest("P10", "two revisions", PAIR, "ours-compare", "gcloud-pair", FASTER, 3.0),
    Contest("P10", _EACH, LOOP, "ours-whole-audit", "gcloud-loop", FASTER, 400.0),
]

GOALS = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10")

PROFILES = {
    "full": Profile("full", Shape(1_000, 20), Shape(200, 10), 80, quota=True, peers=True),
    "small": Profile("small", Shape(200, 10), Shape(20, 10), 20, quota=False, peers=False),
    "tiny": Profile("tiny", Shape(20, 3), Shape(10, 3), 5, quota=False, peers=False),
}
"""`tiny` is for tests: it shows that everything runs, and its numbers mean nothing."""
