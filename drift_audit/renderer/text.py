"""The report for a terminal of 80 columns, and for pasting into chat."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from drift_audit.finding import Finding, Remedy
from drift_audit.headline import number
from drift_audit.renderer import told
from drift_audit.renderer.cut import Cut
from drift_audit.renderer.encode import command
from drift_audit.renderer.terminal import WIDTH, Terminal, shown
from drift_audit.report import Report, Trend
from drift_audit.service_report import ServiceReport

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
    terminal = Terminal(color=color, width=width)
    page = _Page(terminal, report.generated_at)
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
    terminal.line()
    if written:
        page.rows([("written", "bold", ", ".join(written))])
    terminal.line(shown(told.result(report), STYLES[report.verdict]))
    return terminal.text


class _Page:
    """Writes the parts of the report, each in its own rows."""

    def __init__(self, terminal: Terminal, now: dt.datetime) -> None:
        self._terminal, self._now = terminal, now

    def rows(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Rows of a narrow label, its style, and text that wraps under itself."""
        told = [(shown(label, style), shown(text)) for label, style, text in rows]
        self._terminal.rows(*told, widths=[10])

    def command(self, label: str, words: str) -> None:
        """A command stands on a line of its own, unbroken, so that it can be copied."""
        self._terminal.line(shown(f"{label}:", "bold"))
        self._terminal.whole(f"  {command(words)}")

    def head(self, report: Report) -> None:
        self.rows([(report.verdict.upper(), STYLES[report.verdict], report.headline)])
        self._terminal.line()

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
        self._terminal.title(told.place(service))
        rows = [(label, "bold", fact) for label, fact in told.facts(service)]
        rows += [("changes", "bold", number(len(service.changes), "difference"))]
        self.rows(rows)
        self.findings("", service.findings)
        if service.remedy:
            self._terminal.line()
            self.remedy(service.remedy)

    def findings(self, title: str, findings: Sequence[Finding]) -> None:
        if title and findings:
            self._terminal.title(title)
        for finding in findings:
            self.finding(finding)

    def more(self, findings: int, written: Sequence[str]) -> None:
        if findings:
            where = ", ".join(written) or "the JSON report"
            self._terminal.line()
            self._terminal.line(shown(f"{number(findings, 'more finding')} in {where}"))

    def finding(self, finding: Finding) -> None:
        self._terminal.line()
        word = finding.severity.word
        rows = [(word, STYLES[word], finding.rule), ("", "", finding.says)]
        rows += [("", "", line) for line in told.about(finding, self._now)]
        self.rows(rows)

    def remedy(self, remedy: Remedy) -> None:
        for label, words in told.commands(remedy):
            self.command(label, words)
        if remedy.note:
            self._terminal.line(shown(remedy.note))

    def skipped(self, report: Report) -> None:
        skipped = told.skipped(report)
        if skipped:
            self._terminal.title("not judged")
            self.rows([("", "", f"{what}: {reason}") for what, reason in skipped])

    def resolved(self, trend: Trend) -> None:
        if trend.resolved:
            self._terminal.title("resolved")
            self.rows([("", "", told.resolved(one, self._now)) for one in trend.resolved[:MOST]])
        if len(trend.resolved) > MOST:
            more = number(len(trend.resolved) - MOST, "more resolved finding")
            self._terminal.line(shown(f"{more} in the JSON report"))
