"""
The results in 80 columns: what was reached of each goal, and what every side took.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from textwrap import wrap
from typing import Any

from bench.record import Record

WIDTH = 80


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The whole table, line by line."""
    yield f"profile {results['profile']}, rounds: {results['rounds']}; median of pairs (least-most)"
    yield ""
    yield f"{'goal':5}{'what':42}{'limit':>9}  {'measured':>18}"
    for row in results["goals"]:
        yield from _goal(row)
    yield ""
    yield f"{'side':44}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}{'calls':>7}"
    for name, group in results["groups"].items():
        yield f"{name}{', noisy' if group['noisy'] else ''}"
        for side, records in group["records"].items():
            yield _side(side, [Record.read(record) for record in records])
    yield from results["imports"]
    for told in results["failures"]:
        yield f"FAILED {told}"


def _goal(row: dict[str, Any]) -> Iterator[str]:
    first, *more = wrap(row["what"], 41)
    yield f"{row['goal']:5}{first:42}{limit(row):>9}  {measured(row):>18} {verdict(row)}".rstrip()
    for line in more:
        yield f"{'':5}{line}"


def limit(row: dict[str, Any]) -> str:
    """The limit as a reader writes it."""
    if row["limit"] is None:
        return ""
    sign = ">=" if row["at_least"] else "<="
    return f"{sign} {number(row['limit'])}{row['unit']}"


def measured(row: dict[str, Any]) -> str:
    """The median, with the least and the most where they differ."""
    if row["value"] is None:
        return "wrong answer"
    least, most = number(row["least"]), number(row["most"])
    spread = f" ({least}-{most})" if least != most else ""
    return f"{number(row['value'])}{row['unit']}{spread}"


def verdict(row: dict[str, Any]) -> str:
    """Whether the goal was met, in one word."""
    if row["value"] is None:
        return "no"
    if row["met"] is None:
        return ""
    return "?" if row["noisy"] else "yes" if row["met"] else "no"


def number(value: float) -> str:
    """Three digits that mean something, and no more."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _side(name: str, records: list[Record]) -> str:
    right = [record for record in records if not record.wrong]
    if not right:
        return f"  {name:42}{'wrong answer':>16}"
    wall, cpu = median(r.wall for r in right), median(r.cpu for r in right)
    peak, calls = median(r.rss for r in right), median(r.sent for r in right)
    return f"  {name:42}{wall:8.3f}{cpu:8.3f}{peak:9.0f}{calls:7.0f}"
