"""
Nights: audits of one scope that follow each other, and what is new, continues, or is resolved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import ConfigDict

from drift_audit.finding import Finding, Known, Skip
from drift_audit.frozen import Frozen, Instant
from drift_audit.inventory import Scope
from drift_audit.report import Counts, Report, Trend, Verdict
from drift_audit.service_report import ServiceReport
from drift_audit.snapshot import Address, Unseen


class Glance(Frozen):
    """
    What a list of all nights tells of one. `complete_at` is the time of the last complete audit,
    this one or one before.
    """

    model_config = ConfigDict(extra="ignore")  # of what is kept, this much is read

    run: str
    generated_at: Instant
    verdict: Verdict
    exit_code: int
    headline: str
    scope: Scope
    counts: Counts = Counts()
    trend: Trend = Trend()
    complete_at: Instant | None = None

    @property
    def complete(self) -> bool:
        """Whether everything in scope was seen."""
        return self.verdict != "incomplete"

    def follows(self, scope: Scope) -> bool:
        """Tell whether an audit of that scope is the next of the same nights."""
        return self.scope.question == scope.question

    def covers(self, at: Address) -> bool:
        """Tell whether it looked at a service, or for it."""
        return self.scope.covers(at)


class Standing(Glance):
    """A night with how each service stood."""

    services: tuple[ServiceNight, ...] = ()


class Night(Standing):
    """
    What the next night, and the page of all nights, need to know of one.

    `known` are the findings that there are as far as anybody knows: those of this night, and of an
    incomplete one also those from before that it may not have seen. `unseen` and `skipped` are why
    it is incomplete.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/night"] = "drift-audit/night"
    known: tuple[Known, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    skipped: tuple[Skip, ...] = ()


class ServiceNight(Frozen):
    """How one service stood: its open findings by severity."""

    at: Address
    candidate: str
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    info: int = 0


def after(before: Night | None, report: Report) -> Report:
    """
    The same report with the age of each finding, and with what was resolved since the night before.

    Of a report that is incomplete nothing is called resolved: it may be there, unseen.
    """
    known = {one.id: one for one in before.known} if before else {}
    services = tuple(
        s.but(findings=tuple(_aged(f, known, report) for f in s.findings)) for s in report.services
    )
    findings = tuple(_aged(f, known, report) for f in report.findings)
    here = {f.id for f in report.all_findings}
    resolved = [one.but(carried=False) for one in known.values() if one.id not in here]
    if report.verdict == "incomplete":
        resolved = []
    continuing = len(here & known.keys())
    trend = Trend(
        last_complete=before.complete_at if before else None,
        new=len(here) - continuing,
        continuing=continuing,
        resolved=tuple(sorted(resolved, key=lambda one: one.order)),
    )
    return report.but(services=services, findings=findings, trend=trend)


def _aged(finding: Finding, known: Mapping[str, Known], report: Report) -> Finding:
    seen = known.get(finding.id)
    return finding.but(since=seen.since if seen else report.generated_at)


def news(report: Report) -> list[Finding]:
    """
    The open findings that this night saw first, most severe first; of a report that follows no
    other, all of them. What was not seen is no finding here: it stands in a list of its own.
    """
    listed = [f for f in report.all_findings if f.waived is None and f.rule != "not-seen"]
    return [f for f in listed if f.is_new(report.generated_at)] if report.trend else listed


def summary(run: str, report: Report, before: Night | None) -> Night:
    """What is kept of a night besides its report, which `after` has made."""
    complete = report.verdict != "incomplete"
    known = {
        f.id: Known(
            id=f.id,
            rule=f.rule,
            severity=f.severity,
            address=f.address,
            says=f.says,
            since=f.since or report.generated_at,
            waived=f.waived is not None,
        )
        for f in report.all_findings
    }
    if not complete and before is not None:
        known = {one.id: one.but(carried=True) for one in before.known} | known
    return Night(
        run=run,
        generated_at=report.generated_at,
        verdict=report.verdict,
        exit_code=report.exit_code,
        headline=report.headline,
        scope=report.scope,
        counts=report.counts,
        services=tuple(_services(report)),
        trend=report.trend or Trend(),
        complete_at=report.generated_at if complete else before.complete_at if before else None,
        known=tuple(sorted(known.values(), key=lambda one: one.order)),
        unseen=report.unseen,
        skipped=tuple(skip for skip in report.skipped if skip.blocking),
    )


def _services(report: Report) -> Iterator[ServiceNight]:
    """Each service, by address, with all of its revisions that were judged."""
    judged: dict[Address, list[ServiceReport]] = {}
    for one in report.services:
        judged.setdefault(one.address, []).append(one)
    for at, same in sorted(judged.items(), key=lambda item: str(item[0])):
        findings = {f.id: f for one in same for f in one.findings}
        weights = Counter(f.severity.word for f in findings.values() if f.waived is None)
        yield ServiceNight(at=at, candidate=same[0].candidate, **weights)


Standing.model_rebuild()
Night.model_rebuild()
