"""
What a run that judges leaves behind besides its report: events for logs, and metrics. However it
ends, its end is told, and once.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from drift_audit import __version__
from drift_audit.cli.notice import NOTICE, event, execution, failed
from drift_audit.cli.output import ended
from drift_audit.errors import ExitCode, OutputError
from drift_audit.finding import Finding, Severity
from drift_audit.snapshot import UNKNOWN, Address

if TYPE_CHECKING:
    from drift_audit.cli.metrics import MetricsFile
    from drift_audit.report import Report

LEVELS = {
    Severity.INFO: NOTICE,
    Severity.LOW: logging.WARNING,
    Severity.MEDIUM: logging.WARNING,
    Severity.HIGH: logging.ERROR,
    Severity.CRITICAL: logging.ERROR,
}
"""The level of a finding in logs. One that is waived is a NOTICE: nobody is to be woken by it."""


class Trail:
    """The trail of one run of a command, from now on."""

    def __init__(self, command: str) -> None:
        self._command, self._begun = command, time.monotonic()
        self._report: Report | None = None
        self._part = False
        self._metrics: MetricsFile | None = None
        _event("audit_started", NOTICE, f"{command} started", command=command)

    def measure(self, path: str) -> None:
        """Write metrics to a file at the end. Raises CommandError where that cannot be."""
        from drift_audit.cli.metrics import MetricsFile

        self._metrics = MetricsFile(path)

    def part(self) -> None:
        """It was one of several parts of a run: it has no verdict of its own."""
        self._part = True

    def tell(self, report: Report) -> None:
        """Tell what was found, and what was not seen."""
        self._report = report
        for finding in report.all_findings:
            _tell_finding(finding, report.generated_at)
        for missed in report.unseen:
            told = f"{missed.where}: {missed.reason}"
            where = {"where": missed.where, "reason": missed.reason}
            event("service_unread", logging.ERROR, told, **where)
        for skip in report.skipped:
            if skip.blocking:
                place = _place(skip.service) if skip.service else {}
                told = f"{skip.what}: {skip.reason}"
                event(
                    "not_judged", logging.ERROR, told, what=skip.what, reason=skip.reason, **place
                )

    def end(self, code: int) -> int:
        """Tell how it ended, and write the metrics. The code where these could not be written."""
        seconds = time.monotonic() - self._begun
        final: int = ExitCode.DEFECT
        try:
            final = self._measured(code, seconds)
        finally:
            self._finished(final, seconds)
        return final

    def _measured(self, code: int, seconds: float) -> int:
        if self._metrics is None:
            return code
        try:
            self._metrics.write(self._report, code, seconds, self._command)
        except OutputError as error:
            failed(error)
            return ended(code, written=False)
        return code

    def _finished(self, code: int, seconds: float) -> None:
        report = self._report
        verdict: str = report.verdict if report else "incomplete"
        if self._part and code == ExitCode.CLEAN:
            verdict = "part"  # which `merge` makes a verdict of
        about: dict[str, Any] = {"verdict": verdict, "complete": verdict in ("clean", "drift")}
        if report is not None:
            about["counts"] = report.counts.model_dump()
            about["schema_version"] = report.schema_version
            about["headline"] = report.headline
        _event(
            "audit_finished",
            _level(code),
            f"{self._command} finished with {code}: {verdict}",
            command=self._command,
            exit_code=code,
            duration_s=round(seconds, 3),
            **about,
        )


def begin(command: str, metrics_file: str | None = None) -> Trail:
    """The trail of the command that runs now. Raises CommandError for metrics that cannot be."""
    trail = Trail(command)
    click.get_current_context().ensure_object(list).append(trail.end)
    if metrics_file is not None:
        trail.measure(metrics_file)
    return trail


def _level(code: int) -> int:
    if code == ExitCode.CLEAN:
        return NOTICE
    return logging.WARNING if code == ExitCode.DRIFT else logging.ERROR


def _event(name: str, level: int, message: str, **fields: object) -> None:
    """An event with who ran, and where."""
    event(name, level, message, tool_version=__version__, **execution(), **fields)


def _tell_finding(finding: Finding, now: dt.datetime) -> None:
    waived = finding.waived is not None
    nights = (
        {"new": finding.is_new(now), "since": finding.since.isoformat()} if finding.since else {}
    )
    event(
        "finding",
        NOTICE if waived else LEVELS[finding.severity],
        f"{finding.rule}: {finding.says}",
        id=finding.id,
        rule=finding.rule,
        finding_severity=finding.severity.word,
        waived=waived,
        **nights,
        **_place(finding.address),
    )


def _place(at: Address) -> Mapping[str, str]:
    """The parts of an address that it has."""
    nothing = ("", UNKNOWN, None)
    return {name: value for name, value in at.model_dump().items() if value not in nothing}
