"""
Runs the sides of a group in turn, A B C A B C, each in a fresh process, and pairs them by round.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.backend import Backend
from bench.goals import PAGE, Contest, Group
from bench.programs import SIDES
from bench.record import Record, bound
from bench.sides import Task

STEADY = 1.5
"""A floor that varies by more than this tells of other work on the machine."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """All rounds of one group: the records of every side, in order."""

    records: dict[str, list[Record]]
    noisy: bool = False

    @property
    def failures(self) -> list[str]:
        """What went wrong, side by side, once each."""
        wrong = {f"{name}: {r.wrong}" for name, rs in self.records.items() for r in rs if r.wrong}
        return sorted(wrong)


@dataclass(frozen=True)
class Outcome:
    """What a contest came to: the median of the pairs, the least and the most."""

    value: float
    least: float
    most: float

    @staticmethod
    def of(contest: Contest, ran: Ran) -> Outcome | None:
        """The outcome of a contest; None where an answer was wrong."""
        mine = ran.records[contest.ours]
        other = ran.records[contest.against or contest.ours]
        if any(record.wrong for record in (*mine, *other)):
            return None
        values = [contest.measure.of(a, b) for a, b in zip(mine, other, strict=True)]
        return Outcome(median(values), min(values), max(values))


class Rounds:
    """Runs groups on running servers, which are known by name: ``, `small` and `short`."""

    def __init__(
        self, backends: Mapping[str, Backend], folder: Path, settings: dict[str, Any], tell: Tell
    ) -> None:
        self._backends, self._folder, self._tell = backends, folder, tell
        self._settings = {
            "latency": 0.0,
            "quota": 0,
            "window": 60.0,
            "touched": 0,
            "run_page": PAGE,
            **settings,
        }

    def run(self, group: Group, sides: list[str], rounds: int, warm_up: int = 1) -> Ran:
        """
        Every side as often as there are rounds, or a multiple of that where the group says so.

        The first side is the floor. A round in which it took more than 1.5 times its least is
        repeated once; if it still varies more than that, the group is noisy.
        """
        for side in sides:
            self._prepare(group, side)
        done = []
        for number in range(-warm_up, rounds * group.times):
            self._tell(f"{group.name}: {f'round {number + 1}' if number >= 0 else 'warm-up'}")
            one = {side: self._one(group, side) for side in sides}
            if number >= 0:
                done.append(one)
        least = min(one[sides[0]].wall for one in done)
        for i, one in enumerate(done):
            if len(sides) > 1 and one[sides[0]].wall > STEADY * least:
                self._tell(f"{group.name}: round {i + 1} again, the floor was slow")
                done[i] = {side: self._one(group, side) for side in sides}
        floor = [one[sides[0]].wall for one in done]
        noisy = len(sides) > 1 and max(floor) > STEADY * min(floor)
        return Ran({side: [one[side] for one in done] for side in sides}, noisy)

    def _backend(self, group: Group, side: str) -> Backend:
        _, _, where = side.partition("@")
        if where:
            return self._backends[where]
        return next(b for b in self._backends.values() if b.shape == group.shape)

    def _prepare(self, group: Group, side: str) -> None:
        """The night before, for those who remember it, and what is kept: not timed."""
        one = SIDES[side.partition("@")[0]]
        folder = self._night_before(group, side)
        if not (one.remembers or one.kept) or (one.kept and folder.exists()):
            return
        backend = self._backend(group, side)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        backend.change(**self._settings)
        before = Task("ours-keep") if one.kept else Task("ours-prepare", ("services", "lost"))
        done = before.run(backend, backend.facts(), folder)
        if done.wrong:
            self._tell(f"{group.name}: the night before went wrong: {done.wrong}")

    def _night_before(self, group: Group, side: str) -> Path:
        kept = SIDES[side.partition("@")[0]].kept
        return self._folder / f"before {group.name}{'' if kept else f', {side}'}"

    def _one(self, group: Group, name: str) -> Record:
        side, backend = SIDES[name.partition("@")[0]], self._backend(group, name)
        touched = math.ceil(backend.shape.services * group.touched)
        backend.change(**{**self._settings, **group.settings, "touched": touched})
        facts = backend.facts()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            if side.remembers:
                shutil.copytree(self._night_before(group, name), folder, dirs_exist_ok=True)
            where = self._night_before(group, name) if side.kept else Path(folder)
            record = side.run(backend, facts, where)
        seen = backend.counters()
        wrong = record.wrong or (f"called {seen['not_allowed'][0]}" if seen["not_allowed"] else "")
        return replace(
            record,
            calls=seen["calls"],
            rejected=seen["rejected"],
            most_in_flight=seen["most_in_flight"],
            without_deadline=seen["without_deadline"],
            bound=bound(facts, self._settings["run_page"], seen["calls"], remembers=side.remembers),
            wrong=wrong,
        )
