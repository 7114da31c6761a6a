"""
The words that all formats share: one way to name a revision, a deploy, what was seen and what was
not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from drift_audit.finding import WORDS, Finding, First, Known, Remedy, Waived
from drift_audit.headline import number, some
from drift_audit.inventory import Scope
from drift_audit.report import Counts, Report, Trend, Verdict
from drift_audit.service_report import ReportedChange, RevisionFacts, ServiceReport
from drift_audit.snapshot import UNKNOWN, Address

if TYPE_CHECKING:
    from drift_audit.kept import Deploy
    from drift_audit.night import ServiceNight

COMMIT = 12
"""Enough of a commit to find it by."""

WEIGHTS = tuple(reversed(WORDS))


def time(at: dt.datetime | None) -> str:
    """A time to the minute, in UTC."""
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC" if at else ""


def revision(facts: RevisionFacts) -> str:
    """A revision with what is known of who made it."""
    serves = f"serving {facts.percent}%" if facts.percent else ""
    tags = f"tag {', '.join(facts.tags)}" if facts.tags else ""
    commits = [f"commit {x.value[:COMMIT]}" for x in facts.labels if x.name == "commit-sha"]
    return _commas(facts.revision, time(facts.create_time), made_by(facts), *commits, serves, tags)


def made_by(deploy: Deploy | First | RevisionFacts) -> str:
    """Who deployed, and with what, as far as that is known."""
    by = f"by {deploy.creator}" if deploy.creator else ""
    return _commas(by, f"with {deploy.client}" if deploy.client else "")


def since(first: First) -> str:
    """The deploy that made a change."""
    told = _commas(first.revision, time(first.create_time), made_by(first))
    return f"since {told}" if first.certain else f"in {told}, or earlier"


def _commas(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def scope(asked: Scope) -> str:
    """Where was looked: the projects, and the regions with how they became known."""
    if not asked.projects:
        return asked.source
    how = "as Cloud Run names them" if asked.regions_found else "as configured"
    kinds = ", ".join(f"{kind.replace('-', ' ')}s" for kind in asked.kinds)
    what = f"; {kinds}" if kinds else ""
    named = f"; {', '.join(asked.services)}" if asked.services not in ((), ("*",)) else ""
    where = some(asked.regions) or "no regions"
    return f"{some(asked.projects)}; {where}, {how}{what}{named}"


def seen(report: Report) -> str:
    """What was looked at, and how much of what there was to see."""
    counts = report.counts
    looked = (
        number(counts.services, "service"),
        number(counts.revisions, "revision"),
        number(counts.secrets, "secret"),
    )
    told = [f"{part} of {whole} {what}" for part, whole, what in _shares(report)]
    return "; ".join(filter(None, [", ".join(looked), ", ".join(told)]))


def unseen(report: Report) -> str:
    """How much of what was in scope was not seen."""
    missed = report.counts.unseen
    return number(missed, "thing") if missed else "nothing in scope"


def short(report: Report) -> str:
    """What was seen in part alone; empty where everything was."""
    shares = _shares(report)
    return ", ".join(f"{part} of {whole} {what}" for part, whole, what in shares if part < whole)


def _shares(report: Report) -> list[tuple[int, int, str]]:
    ground = report.coverage
    shares = (
        (ground.locations_listed, ground.locations, "locations listed"),
        (ground.named_read, ground.named, "revisions in use read"),
        (ground.looked_up_found, ground.looked_up, "secret versions looked up"),
        (ground.expected_found, ground.expected, "expected services found"),
        (ground.limits_read, ground.limits, "limits read"),
        (ground.baselines, ground.judged, "held against a baseline"),
    )
    return [share for share in shares if share[1]]


def weights(counts: Counts) -> str:
    """Open findings by severity, and those that were waived."""
    waived = f"{counts.waived} waived" if counts.waived else ""
    return _commas(severities(counts), waived) or "none"


def severities(of: Counts | ServiceNight) -> str:
    """Open findings by severity alone; empty where there are none."""
    return ", ".join(f"{n} {word}" for word, n in tally(of) if n)


def tally(of: Counts | ServiceNight) -> list[tuple[str, int]]:
    """Open findings by severity, the gravest first."""
    return [(word, getattr(of, word)) for word in WEIGHTS]


def trend(of: Trend, verdict: Verdict) -> str:
    """A night against those before it, and when everything was seen the last time before it."""
    resolved = f"{len(of.resolved)} resolved"
    if verdict == "incomplete":
        resolved = "none called resolved, as not everything was seen"
    before = "no complete audit before this one"
    if of.last_complete:
        before = f"last complete audit before this one {time(of.last_complete)}"
    return f"{of.new} new, {of.continuing} continuing, {resolved}; {before}"


def age(since: dt.datetime | None, now: dt.datetime) -> str:
    """Whether a finding of a night is new, or since when there is one; nothing where it is none."""
    if since is None:
        return ""
    return "new" if since >= now else _lasting(since, now)


def _lasting(since: dt.datetime, now: dt.datetime) -> str:
    return f"seen since {since.astimezone(dt.UTC):%Y-%m-%d} ({span(since, now)})"


def span(since: dt.datetime, now: dt.datetime) -> str:
    """The time between two nights, in days."""
    days = (now - since).days
    return number(days, "day") if days > 0 else "less than a day"


def resolved(known: Known, now: dt.datetime) -> str:
    """A finding that is no more: what it was, where, and for how long."""
    where = f"{spot(known.address)}: " if spot(known.address) else ""
    lasted = _lasting(known.since, now)
    return f"{known.severity.word} {known.rule}: {where}{known.says}; {lasted}"


def spot(address: Address) -> str:
    """Where a finding lives; nothing where it is one about the whole run."""
    return "" if address.service == UNKNOWN else str(address)


def about(finding: Finding, now: dt.datetime) -> list[str]:
    """What is known of a finding besides what it says: age, deploy, cause and waiver."""
    known = [
        age(finding.since, now),
        since(finding.first_seen) if finding.first_seen else "",
        f"probably {finding.cause.command}: {finding.cause.because}" if finding.cause else "",
        waived(finding.waived) if finding.waived else "",
    ]
    return [line for line in known if line]


def listed(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are told one by one: what was not seen stands in a list of its own."""
    return [f for f in findings if f.rule != "not-seen"]


def place(service: ServiceReport) -> str:
    """Project, region and service; a job or worker pool by the name that tells it from one."""
    return str(service.address)


def services(report: Report) -> list[ServiceReport]:
    """The services, those with the most severe findings first."""

    def worst(service: ServiceReport) -> int:
        return max((f.severity.value for f in service.findings if f.waived is None), default=0)

    return sorted(report.services, key=lambda s: (-worst(s), place(s)))


def where(of: Address | ReportedChange) -> str:
    """The key, file or setting alone, with its container where one is named; else nothing."""
    name = of.key or of.mount or of.setting or ""
    return f"{of.container}: {name}" if of.container and name else name


def waived(by: Waived) -> str:
    """Who accepted a finding, until when and why; a new waiver came with what it forgives."""
    return f"{'new waiver' if by.new else 'waived'} by {by.owner} until {by.until}: {by.reason}"


def side(state: object, source: str) -> str:
    """One side of a change: a state, with the secret it reads, or the value of a setting."""
    told = str(state).lower() if isinstance(state, bool) else str(state)
    return f"{told} {source}".rstrip()


def skipped(report: Report) -> list[tuple[str, str]]:
    """What was not judged, with the reason; the same for several services is told once."""
    groups: dict[tuple[str, str], int] = {}
    for skip in report.skipped:
        groups[skip.what, skip.reason] = groups.get((skip.what, skip.reason), 0) + 1
    reasons: dict[str, list[str]] = {}
    for what, reason in groups:
        reasons.setdefault(reason, []).append(what)
    return [(", ".join(sorted(what)), reason) for reason, what in sorted(reasons.items())]


def facts(service: ServiceReport) -> list[tuple[str, str]]:
    """What was compared with what, and what was not used: each fact with its label."""
    return [
        ("candidate", revision(service.candidate_facts)),
        ("reference", compared(service)),
        *(("not used", reason) for reason in service.passed_over),
    ]


def commands(remedy: Remedy | None) -> list[tuple[str, str]]:
    """The commands that put it back, as far as there are any: each with its label."""
    both = [("restore", remedy.restore), ("or roll back", remedy.rollback)] if remedy else []
    return [(label, words) for label, words in both if words]


def compared(service: ServiceReport) -> str:
    """What a candidate was held against, and why."""
    if service.reference_facts is None:
        return f"nothing: {service.reference_why}"
    return f"{revision(service.reference_facts)} ({service.reference_why})"


def result(report: Report) -> str:
    """The line that scripts look for."""
    return f"result: {report.verdict} (exit {report.exit_code})"
