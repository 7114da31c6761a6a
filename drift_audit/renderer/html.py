"""The report as one file for a browser: no script, no request, its style pinned by a hash."""

from __future__ import annotations

from drift_audit.renderer.templates import for_html
from drift_audit.report import Report


def render(report: Report) -> str:
    """The page that goes on the ticket."""
    return for_html().get_template("report.html.j2").render(report=report)
