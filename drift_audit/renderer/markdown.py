"""The report for GitHub, GitLab and other places that show Markdown."""

from __future__ import annotations

from drift_audit.renderer.templates import for_markdown
from drift_audit.report import Report


def render(report: Report) -> str:
    """The same order as every format: verdict, what was not seen, findings, the rest."""
    return for_markdown().get_template("report.md.j2").render(report=report)
