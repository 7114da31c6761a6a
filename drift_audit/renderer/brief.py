"""The report as one line, for chat and for the end of a log."""

from __future__ import annotations

from drift_audit.renderer import told
from drift_audit.renderer.encode import visible
from drift_audit.report import Report


def render(report: Report) -> str:
    """The verdict, its sentence, the counts and the exit code."""
    return f"{line(report)}\n"


def line(report: Report) -> str:
    """The same without the line break."""
    facts = [
        f"findings: {told.weights(report.counts)}",
        f"nights: {told.trend(report.trend, report.verdict)}" if report.trend else "",
        f"seen: {told.short(report)}" if told.short(report) else "",
        f"not seen: {told.unseen(report)}",
        f"exit {report.exit_code}",
    ]
    head = f"{report.verdict.upper()}: {visible(report.headline)}"
    return f"{head} ({'; '.join(filter(None, facts))})"
