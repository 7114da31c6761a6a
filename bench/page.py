"""
`python -m bench.page`: writes docs/performance.md from the results of a full run.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

from bench.run import RESULTS
from bench.table import limit, measured

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
REASONS = Path(__file__).with_name("reasons.toml")
COLUMNS = 96

GOALS = {
    "P1": "A first audit, against listing the same revisions raw.",
    "P2": "A second audit of which nothing, or little, has changed.",
    "P3": "A snapshot of every revision.",
    "P4": "Memory as the number of revisions grows.",
    "P5": "Calls, and calls that a quota rejects.",
    "P6": "Judging 20,000 pairs, against DeepDiff on each of them.",
    "P7": "Start-up, and what it imports.",
    "P8": "Reports of 20,000 findings in a browser.",
    "P9": "The size of the store, and how fast it says which revision lost a key.",
    "P10": "The same work with gcloud.",
}
"""Every goal in a line; those without a row are told to be not measured."""

_HEAD = """\
Every number is a ratio: both sides ran in turn, in fresh processes, on the same data from a server
on the same machine, and what is told is the median of the pairs, with the least and the most. The
floor is raw gRPC that lists and parses every revision and does nothing else. An answer that left
something out does not count, however fast it was."""

_FOOT = """\
`make bench` measures all of it, `make bench-small` a small part; `python -m bench.page` writes this
page. Nothing was measured against Google Cloud: latency, page sizes and quota are set by the server
of the benchmark (100 items a page, in one project and region)."""


def page(results: dict[str, Any], reasons: dict[str, str]) -> str:
    """The page: what is missed and why, and then every goal."""
    machine = results["machine"]
    days = dict.fromkeys(row["date"] for row in results["goals"])
    when = [f"{', '.join(_goals_of(day, results))} on {day}" for day in sorted(days)]
    made = (
        f"Measured {'; '.join(when)}: {machine['cpus']} CPUs, Python {machine['python']},"
        f" {results['rounds']} rounds after a warm-up, profile {results['profile']}."
    )
    lines = ["# Performance", "", _HEAD, "", fill(made, COLUMNS), "", "## What is missed", ""]
    lines += [*_missed(results["goals"], reasons), "", "## Goals", "", *_goals(results["goals"])]
    told = [row for row in results["goals"] if row["limit"] is None]
    lines += ["", "## Besides", "", *_besides(told)] if told else []
    left = list(_left_out(results["goals"]))
    lines += ["", "## Not measured", "", *left] if left else []
    return "\n".join([*lines, "", _FOOT, ""])


def _goals_of(day: str, results: dict[str, Any]) -> list[str]:
    """The goals that were measured on a day."""
    found = dict.fromkeys(row["goal"] for row in results["goals"] if row["date"] == day)
    return [goal for goal in found if goal in GOALS]


def _missed(rows: list[dict[str, Any]], reasons: dict[str, str]) -> Iterator[str]:
    missed = [row for row in rows if row["limit"] is not None and not row["met"]]
    for goal in dict.fromkeys(row["goal"] for row in missed):
        short = [f"{r['what']}: {measured(r)} instead of {limit(r)}" for r in _of(missed, goal)]
        reason = " ".join(reasons.get(goal, "No reason has been written down.").split())
        yield fill(f"- **{goal}** {'; '.join(short)}. {reason}", COLUMNS, subsequent_indent="  ")
    if not missed:
        yield "Nothing."


def _of(rows: list[dict[str, Any]], goal: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["goal"] == goal]


def _goals(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| goal | what | measured | limit | | command | against |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        if row["limit"] is not None:
            told = "met" if row["met"] else "**missed**"
            noisy = ", noisy" if row["noisy"] else ""
            what = f"{row['what']}: {row['measure']}"
            cells = [row["goal"], what, measured(row), limit(row), f"{told}{noisy}"]
            yield f"| {' | '.join([*cells, _code(row['command']), _code(row['against'])])} |"


def _besides(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        against = f" against {_code(row['against'])}" if row["against"] else ""
        yield f"- {row['what']}: {_code(row['command'])}{against}: {measured(row)}"


def _left_out(rows: list[dict[str, Any]]) -> Iterator[str]:
    reached = {row["goal"] for row in rows}
    for goal, what in GOALS.items():
        if goal not in reached:
            yield f"- **{goal}** {what}"


def _code(command: str) -> str:
    return f"`{command}`" if command else ""


def main() -> None:
    """Write the page anew."""
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(page(results, tomllib.loads(REASONS.read_text())))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
