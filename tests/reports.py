"""Reports made up for tests."""

from __future__ import annotations

import datetime as dt

from drift_audit.finding import Finding, Severity, Waived
from drift_audit.inventory import Scope
from drift_audit.renderer import ANCHORED, renderer
from drift_audit.renderer.anchor import Anchor
from drift_audit.report import Tool, assemble
from drift_audit.service_report import ReportedChange, RevisionFacts, ServiceReport
from tests.builders import HOME, NOW

WAIVED = Waived(owner="me", reason="noise", until=dt.date(2026, 2, 1))


def finding(rule="key-lost", severity=Severity.HIGH, key="A", **more):
    return Finding(
        rule=rule, severity=severity, address=HOME.at(key=key), says=f"{key} is gone", **more
    )


def change(key="A", before="secret", after="absent"):
    return ReportedChange(key=key, before=before, after=after)


def service(
    *, findings=(), changes=(), reference="api-00001-old", name="api", candidate="api-00002-new"
):
    return ServiceReport(
        project="shop",
        region="europe-west1",
        service=name,
        reference=reference,
        candidate=candidate,
        reference_why="baseline",
        candidate_facts=RevisionFacts(revision=candidate),
        changes=tuple(changes),
        findings=tuple(findings),
    )


def report(*services, fail_on=Severity.HIGH, findings=(), skipped=(), unseen=(), require=False):
    return assemble(
        tool=Tool(version="0"),
        now=NOW,
        scope=Scope(source="test"),
        fail_on=fail_on,
        require_baseline=require,
        services=services,
        findings=findings,
        skipped=skipped,
        unseen=unseen,
        revisions=2,
        secrets=1,
    )


POLICY_FILE = Anchor("drift-audit.toml")


def rendered(format, made, **more):
    """A report in a format, as in a repository that has a policy."""
    if format in ANCHORED:
        more["anchors"] = lambda _at: POLICY_FILE
    return renderer(format)(made, **more)
