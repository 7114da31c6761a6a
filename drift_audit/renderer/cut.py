"""What a page leaves out, as asked or for want of room: the least severe findings first."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from drift_audit.finding import Finding, Severity
from drift_audit.headline import number
from drift_audit.renderer import told
from drift_audit.report import Report


class Cut(NamedTuple):
    """A report with fewer things in it, and how many of each kind are not there any more."""

    report: Report
    findings: int = 0
    services: int = 0
    differences: int = 0
    skipped: int = 0
    resolved: int = 0
    notes: int = 0
    unseen: int = 0

    @property
    def left_out(self) -> str:
        """
        What is not there, for the reader; empty where nothing was left out. What was not seen is
        counted in its own list.
        """
        counted = (
            (self.findings, "more finding", ""),
            (self.services, "more service", ""),
            (self.differences, "difference", ""),
            (self.skipped, "judgement", " not made"),
            (self.resolved, "resolved finding", ""),
            (self.notes, "more note", ""),
        )
        parts = [f"{number(count, what)}{more}" for count, what, more in counted if count]
        return f"{', '.join(parts)}: in the JSON report" if parts else ""

    @property
    def without_asides(self) -> Cut:
        """The same without what no reader needs before acting, and without room for it."""
        report = self.report
        services = tuple(s.but(changes=()) for s in report.services)
        trend = report.trend and report.trend.but(resolved=())
        return self._replace(
            report=report.but(services=services, skipped=(), trend=trend),
            differences=sum(len(s.changes) for s in report.services),
            skipped=len(report.skipped),
            resolved=len(report.trend.resolved) if report.trend else 0,
        )

    def foremost(self, most: int) -> Cut:
        """The same with its `most` most severe findings, each whole; all services stay."""
        report, all_told = self.report, findings(self.report)
        if len(all_told) <= most:
            return self
        kept = {id(f) for f in all_told[:most]}  # two may be equal: each counts
        left = _with_findings(report, lambda f: id(f) in kept)
        return self._replace(report=left, findings=len(all_told) - most)

    @property
    def affected(self) -> Cut:
        """The same with the services alone that a finding which is told is about."""
        services = tuple(s for s in self.report.services if s.findings)
        gone = len(self.report.services) - len(services)
        return self._replace(report=self.report.but(services=services), services=gone)

    def blinder(self, most: int) -> Cut:
        """The same with so many of the things that were not seen."""
        unseen = self.report.unseen
        left = self.report.but(unseen=unseen[:most])
        return self._replace(report=left, unseen=len(unseen[most:]))

    @property
    def without_notes(self) -> Cut:
        """The same without its notes."""
        return self._replace(report=self.report.but(notes=()), notes=len(self.report.notes))


def from_severity(report: Report, lowest: Severity) -> Report:
    """The same without the findings below a severity, and told so; counts and verdict stay."""
    hidden = sum(not f.severity >= lowest for f in report.all_findings)
    if not hidden:
        return report
    verb = "is" if hidden == 1 else "are"
    note = f"{number(hidden, 'finding')} below {lowest.word} {verb} not shown"
    left = _with_findings(report, lambda f: f.severity >= lowest)
    return left.but(notes=(*report.notes, note))


def _with_findings(report: Report, wanted: Callable[[Finding], bool]) -> Report:
    """The same with those of its findings, about services and about the run, that are wanted."""
    services = (s.but(findings=tuple(filter(wanted, s.findings))) for s in report.services)
    about_run = tuple(filter(wanted, report.findings))
    return report.but(services=tuple(services), findings=about_run)


def findings(report: Report) -> list[Finding]:
    """The findings that are told one by one, most severe first."""
    listed = [*told.listed(report.findings), *(f for s in report.services for f in s.findings)]
    return sorted(listed, key=lambda f: f.order)
