"""The report for a terminal of 80 columns, and for pasting into chat."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drift_audit.finding import Finding, Remedy
from drift_audit.headline import number
from drift_audit.renderer import told
from drift_audit.renderer.cut import Cut
from drift_audit.renderer.encode import command, visible
from drift_audit.report import Report, Trend
from drift_audit.service_report import ServiceReport

WIDTH = 80
MOST = 200
"""Findings that are told one by one; more belong into a page."""

MOST_AT_A_GATE = 10
"""The same where a page was written besides: what blocks is to be read in the log of a build."""

STYLES = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
    "drift": "bold red",
    "incomplete": "bold yellow",
    "clean": "bold green",
}


def render(
    report: Report,
    *,
    color: bool = False,
    width: int = WIDTH,
    most: int = MOST,
    written: Sequence[str] = (),
) -> str:
    """
    The report as text; with `color`, terminal colours that carry nothing the words do not say.

    The `most` severe findings are told one by one and the others counted; `written` are the files
    that hold all of them.
    """
    out = io.StringIO()
    console = terminal(out, color=color, width=width)
    page = _Page(console, report.generated_at)
    page.head(report)
    page.coverage(report)
    cut = Cut(report).foremost(most)
    for service in told.services(cut.report):
        page.service(service)
    page.findings("about this run", told.listed(cut.report.findings))
    page.more(cut.findings, written)
    page.skipped(report)
    if report.trend:
        page.resolved(report.trend)
    console.print()
    if written:
        page.rows([("written", "bold", ", ".join(written))])
    page.line(told.result(report), STYLES[report.verdict])
    return lines(out)


def terminal(out: io.StringIO, *, color: bool, width: int) -> Console:
    """What lays out text for a terminal, and takes nothing in it for more than text."""
    return Console(
        file=out,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def lines(out: io.StringIO) -> str:
    """What was laid out, without the blanks that fill up lines."""
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


class _Page:
    """Writes the parts of the report, each in its own rows."""

    def __init__(self, console: Console, now: dt.datetime) -> None:
        self._console, self._now = console, now

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(visible(text), style=style))

    def rows(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Rows of a narrow label, its style, and text that wraps under itself."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=10, no_wrap=True)
        table.add_column(overflow="fold")
        for label, style, text in rows:
            table.add_row(Text(label, style=style), Text(visible(text)))
        self._console.print(table)

    def command(self, label: str, words: str) -> None:
        """A command stands on a line of its own, unbroken, so that it can be copied."""
        self.line(f"{label}:", "bold")
        self._console.print(Text(f"  {command(words)}"), soft_wrap=True)

    def head(self, report: Report) -> None:
        self.rows([(report.verdict.upper(), STYLES[report.verdict], report.headline)])
        self._console.print()

    def coverage(self, report: Report) -> None:
        unseen = [f"{u.where}: {u.reason}" for u in report.unseen] or ["nothing in scope"]
        rows = [("scope", "bold", told.scope(report.scope))]
        rows += [("seen", "bold", told.seen(report))]
        rows += [("not seen" if i == 0 else "", "bold", text) for i, text in enumerate(unseen)]
        rows += [("findings", "bold", told.weights(report.counts))]
        if report.trend:
            rows += [("nights", "bold", told.trend(report.trend, report.verdict))]
        rows += [("note", "bold", note) for note in report.notes]
        self.rows(rows)

    def service(self, service: ServiceReport) -> None:
        self._console.print()
        self.line(told.place(service), "bold underline")
        rows = [(label, "bold", fact) for label, fact in told.facts(service)]
        rows += [("changes", "bold", number(len(service.changes), "difference"))]
        self.rows(rows)
        self.findings("", service.findings)
        if service.remedy:
            self._console.print()
            self.remedy(service.remedy)

    def findings(self, title: str, findings: Sequence[Finding]) -> None:
        if title and findings:
            self._console.print()
            self.line(title, "bold underline")
        for finding in findings:
            self.finding(finding)

    def more(self, findings: int, written: Sequence[str]) -> None:
        if findings:
            where = ", ".join(written) or "the JSON report"
            self._console.print()
            self.line(f"{number(findings, 'more finding')} in {where}")

    def finding(self, finding: Finding) -> None:
        self._console.print()
        word = finding.severity.word
        rows = [(word, STYLES[word], finding.rule), ("", "", finding.says)]
        rows += [("", "", line) for line in told.about(finding, self._now)]
        self.rows(rows)

    def remedy(self, remedy: Remedy) -> None:
        for label, words in told.commands(remedy):
            self.command(label, words)
        if remedy.note:
            self.line(remedy.note)

    def skipped(self, report: Report) -> None:
        skipped = told.skipped(report)
        if skipped:
            self._console.print()
            self.line("not judged", "bold underline")
            self.rows([("", "", f"{what}: {reason}") for what, reason in skipped])

    def resolved(self, trend: Trend) -> None:
        if trend.resolved:
            self._console.print()
            self.line("resolved", "bold underline")
            self.rows([("", "", told.resolved(one, self._now)) for one in trend.resolved[:MOST]])
        if len(trend.resolved) > MOST:
            more = number(len(trend.resolved) - MOST, "more resolved finding")
            self.line(f"{more} in the JSON report")
