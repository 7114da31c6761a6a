"""The report for GitHub, GitLab and other places that show Markdown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from drift_audit.renderer import told
from drift_audit.renderer.cut import Cut, findings
from drift_audit.renderer.templates import for_markdown
from drift_audit.report import Report

LEAST = 25_000
"""Bytes in which the head of every report has room, whatever its names are made of."""

_SHORTEST = 20
"""Nothing in a list is told in fewer bytes."""

Page = Callable[[Cut], str]


def render(report: Report, budget: int | None = None) -> str:
    """
    The same order as every format: verdict, what was not seen, findings, the rest.

    With a `budget` of bytes, LEAST or more, a page that would be longer leaves out whole things and
    counts them: first the differences and what was not judged, then services without findings, then
    findings, the least severe first. What was not seen is shortened last, and only where it has no
    room by itself. Verdict, headline, counts and exit code always stand there. Raises ValueError
    for a budget below LEAST.
    """
    template = for_markdown().get_template("report.md.j2")
    nights = told.trend(report.trend, report.verdict) if report.trend else ""

    def page(cut: Cut) -> str:
        return template.render(report=cut.report, cut=cut, nights=nights)

    whole = Cut(report)
    if budget is None:
        return page(whole)
    if budget < LEAST:
        raise ValueError(f"a report in Markdown has no room in {budget} bytes")
    return _within(whole, budget, page)


def _within(whole: Cut, budget: int, page: Page) -> str:
    """The fullest page that keeps to the budget. All of it is ASCII: a character is a byte."""
    report, short = whole.report, whole.without_asides
    listed, most = len(findings(report)), budget // _SHORTEST
    if listed + len(report.services) + len(report.unseen) <= most:
        for cut in (whole, short):
            if len(text := page(cut)) <= budget:
                return text
    bare = short.foremost(0).affected
    steps: tuple[tuple[Callable[[int], Cut], int], ...] = (
        (lambda n: short.foremost(n).affected, listed),
        (bare.blinder, len(report.unseen)),
        (bare.without_notes.blinder, len(report.unseen)),  # what is left has room in LEAST
    )
    texts = (_fullest(cut_to, min(there, most), budget, page) for cut_to, there in steps)
    return next(filter(None, texts))


def _fullest(cut_to: Callable[[int], Cut], most: int, budget: int, page: Page) -> str:
    """The page with as many things, up to `most`, as have room; empty where none has."""
    counts = range(most + 1)
    fit = bisect_right(counts, budget, key=lambda n: len(page(cut_to(n))))
    return page(cut_to(counts[fit - 1])) if fit else ""
