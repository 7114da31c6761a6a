"""
The report as SARIF 2.1.0, for code scanning.

What takes SARIF shows a result beside a line of a file, and GitHub refuses a whole document in
which one result has no file (`ux-ecosystem.md` §2.2). So every result points at the baseline of
its service or at the policy, and where neither is there, there is no document.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from drift_audit.errors import CommandError
from drift_audit.finding import Finding, Severity
from drift_audit.renderer import told
from drift_audit.renderer.anchor import RUN, Anchors, nowhere
from drift_audit.renderer.cut import findings
from drift_audit.renderer.encode import command, visible
from drift_audit.renderer.json import canonical
from drift_audit.report import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}

FINGERPRINTS = ("driftAuditFinding/v1", "primaryLocationLineHash")
"""GitHub goes by the second alone, and would make it of the line of the file otherwise."""

HINT = "drift-audit init writes drift-audit.toml; or take --format=github, which needs no file"


def render(report: Report, anchors: Anchors = nowhere) -> str:
    """The document. Raises CommandError where a finding, or a service, has no file."""
    listed = findings(report)
    _refuse_adrift(report, listed, anchors)
    ids = sorted({f.rule for f in listed})
    driver = {
        "name": visible(report.tool.name),
        "version": visible(report.tool.version),
        "rules": [_rule(report, id) for id in ids],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(report)],
        "results": [_result(f, ids.index(f.rule), anchors, report.generated_at) for f in listed],
        "properties": _facts(report),
    }
    return canonical({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _facts(report: Report) -> dict[str, Any]:
    """What has no place of its own in SARIF."""
    remedies = [(s, s.remedy) for s in told.services(report) if s.remedy]
    facts = {
        "verdict": report.verdict,
        "headline": visible(report.headline),
        "scope": visible(told.scope(report.scope)),
        "seen": visible(told.seen(report)),
        "counts": report.counts.model_dump(),
        "remedies": [
            {
                "service": visible(told.place(service)),
                "restore": command(remedy.restore),
                "rollback": command(remedy.rollback),
            }
            for service, remedy in remedies
        ],
    }
    if (trend := report.trend) is not None:
        resolved = [visible(told.resolved(one, report.generated_at)) for one in trend.resolved]
        facts |= {"nights": told.trend(trend, report.verdict), "resolved": resolved}
    return facts


def _refuse_adrift(report: Report, listed: Sequence[Finding], anchors: Anchors) -> None:
    """A service without a file is refused before it has a finding: not on the day of the first."""
    places = [s.address for s in report.services] or [RUN]
    adrift = [at for at in (*(f.address for f in listed), *places) if anchors(at) is None]
    if adrift:
        where = visible(told.spot(adrift[0].home)) or "the run as a whole"
        raise CommandError(
            f"sarif needs a file to point at, and there is no policy, and no baseline of {where}",
            hint=HINT,
        )


def _rule(report: Report, id: str) -> dict[str, Any]:
    text = report.rules.get(id)
    if text is None:  # of a stored report that was shortened
        return {"id": visible(id)}
    return {
        "id": visible(id),
        "shortDescription": {"text": visible(text.what)},
        "fullDescription": {"text": visible(text.why)},
        "help": {"text": f"Fix: {visible(text.fix)}"},
    }


def _invocation(report: Report) -> dict[str, Any]:
    """How the run ended. Whoever was blind did not succeed."""
    unseen = [_notification("not seen", "error", f"{u.where}: {u.reason}") for u in report.unseen]
    skipped = [
        _notification("not judged", "error" if s.blocking else "note", f"{s.what}: {s.reason}")
        for s in report.skipped
    ]
    notes = [_notification("note", "note", note) for note in report.notes]
    return {
        "executionSuccessful": report.verdict != "incomplete",
        "exitCode": report.exit_code,
        "endTimeUtc": f"{report.generated_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "toolExecutionNotifications": [*unseen, *skipped, *notes],
    }


def _notification(id: str, level: str, text: str) -> dict[str, Any]:
    return {"descriptor": {"id": id}, "level": level, "message": {"text": visible(text)}}


def _result(finding: Finding, index: int, anchors: Anchors, now: dt.datetime) -> dict[str, Any]:
    told_of = [finding.says, *told.about(finding, now)]
    properties = {"severity": finding.severity.word}
    if finding.remedy and finding.remedy.restore:
        properties["restore"] = command(finding.remedy.restore)
    return {
        "ruleId": visible(finding.rule),
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": "\n".join(map(visible, told_of))},
        "locations": [_location(finding, anchors)],
        "partialFingerprints": dict.fromkeys(FINGERPRINTS, finding.id),
        "properties": properties,
        "suppressions": _suppressions(finding),
    }


def _location(finding: Finding, anchors: Anchors) -> dict[str, Any]:
    anchor = anchors(finding.address)
    assert anchor is not None, "a document without anchors was refused"
    place = told.spot(finding.address) or "run"
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": anchor.uri, "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": anchor.line},
        },
        "logicalLocations": [{"fullyQualifiedName": visible(place), "kind": "resource"}],
    }


def _suppressions(finding: Finding) -> list[dict[str, str]]:
    """A list that is empty says that the result stands."""
    if finding.waived is None:
        return []
    why = visible(told.waived(finding.waived))
    return [{"kind": "external", "status": "accepted", "justification": why}]
