"""
Metrics of a run as text for Prometheus, in a file that the textfile collector of a host's exporter
reads.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from drift_audit import __version__, files
from drift_audit.errors import CommandError, InputError
from drift_audit.finding import Severity
from drift_audit.renderer.encode import legible
from drift_audit.snapshot import UNKNOWN, Address

if TYPE_CHECKING:
    from drift_audit.report import Report

EXTRA = "pip install 'drift-audit[metrics]'"
PREFIX = "drift_audit_"
LAST_SUCCESS = "last_success_timestamp_seconds"

PLACE = ("project", "region", "service")


class MetricsFile:
    """
    The file that one run writes at its end. Raises CommandError where the library is not there, or
    the path names no file.
    """

    def __init__(self, path: str) -> None:
        if path in ("", files.STDIN):
            raise CommandError("--metrics-file names no file", hint="--metrics-file=audit.prom")
        try:
            import prometheus_client
        except ImportError:
            raise CommandError("prometheus-client is not installed", hint=EXTRA) from None
        self._path, self._library = path, prometheus_client

    def write(self, report: Report | None, code: int, seconds: float, command: str) -> None:
        """
        Write what a run came to in place of what stood there; `report` is None where it came to
        nothing. Raises OutputError.
        """
        registry = self._library.CollectorRegistry()
        told = _Told(partial(self._library.Gauge, registry=registry))
        told.run(code, seconds, command)
        complete = report is not None and report.verdict != "incomplete"
        told.number("complete", "Whether the run saw everything in scope.", complete)
        last = time.time() if complete else self._last_success()
        if last is not None:
            told.number(LAST_SUCCESS, "When a run last saw everything in scope.", last)
        if report is not None:
            told.report(report)
        files.write(self._path, self._library.generate_latest(registry).decode())

    def _last_success(self) -> float | None:
        """What the file says so far, where it can be read: a run that failed changes nothing."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = files.read(os.path.realpath(self._path)).decode()  # as it is written
            families = list(text_string_to_metric_families(text))
        except (InputError, ValueError):
            return None
        samples = (sample for family in families for sample in family.samples)
        return next((s.value for s in samples if s.name == f"{PREFIX}{LAST_SUCCESS}"), None)


class _Told:
    """Puts facts into gauges."""

    def __init__(self, gauge: Callable[..., Any]) -> None:
        self._gauge = gauge

    def number(self, name: str, about: str, value: float) -> None:
        """One gauge without labels."""
        self._gauge(f"{PREFIX}{name}", about).set(value)

    def run(self, code: int, seconds: float, command: str) -> None:
        """How the run went, whatever it found."""
        labels = {"version": __version__, "command": command}
        self._gauge("drift_audit_info", "Which program ran.", tuple(labels)).labels(**labels).set(1)
        self.number("exit_code", "The exit code of the last run.", code)
        self.number("duration_seconds", "How long the last run took.", seconds)
        self.number("last_run_timestamp_seconds", "When the last run ended.", time.time())

    def report(self, report: Report) -> None:
        """What the report says, by number."""
        verdicts = self._gauge("drift_audit_verdict", "1 for the verdict of the run.", ("verdict",))
        for verdict in ("clean", "drift", "incomplete"):
            verdicts.labels(verdict=verdict).set(verdict == report.verdict)
        counts, ground = report.counts, report.coverage
        blocking = sum(skip.blocking for skip in report.skipped)
        self.number("unseen", "What in scope could not be read.", counts.unseen)
        self.number("not_judged", "Judgements in scope that could not be made.", blocking)
        self.number(
            "services", "Services, worker pools and jobs that were judged.", counts.services
        )
        self.number("revisions", "Revisions that were read.", counts.revisions)
        self.number("changes", "Differences, whether a rule speaks of them or not.", counts.changes)
        self.number("judged", "Revisions that were judged.", ground.judged)
        self.number("compared", "Those of them that were compared with another.", ground.compared)
        self._findings(report)

    def _findings(self, report: Report) -> None:
        """Findings that count, for each severity of each service, and those that are waived."""
        labels = (*PLACE, "severity")
        open_ = self._gauge("drift_audit_findings", "Findings that nobody waived.", labels)
        waived = self._gauge("drift_audit_findings_waived", "Findings that are waived.", labels)
        found: dict[bool, Counter[tuple[str, ...]]] = {False: Counter(), True: Counter()}
        for one in report.all_findings:
            place = _place(one.address)
            found[one.waived is not None][*place, one.severity.word] += 1
        places = {_place(service.address) for service in report.services}
        places |= {place[:3] for counted in found.values() for place in counted}
        for place in sorted(places):
            for severity in Severity:  # with zeros: a series that ends is not one that recovers
                key = (*place, severity.word)
                open_.labels(*key).set(found[False][key])
                if found[True][key]:
                    waived.labels(*key).set(found[True][key])


def _place(at: Address) -> tuple[str, ...]:
    """Project, region and service, empty where a finding is about the run as a whole."""
    names = (at.project, at.region, at.service)
    return tuple("" if name == UNKNOWN else legible(name) for name in names)
