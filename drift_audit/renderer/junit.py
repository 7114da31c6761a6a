"""
The report as JUnit XML, which Jenkins, GitLab, Azure and others show as the tests of a build.

The first suite holds the verdict and what was not seen, so that a run that was blind is red
whatever else it found. Every service is a suite: its comparison and its findings are the cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple
from xml.etree import ElementTree as ET

from drift_audit.finding import Finding
from drift_audit.renderer import told
from drift_audit.renderer.encode import command, printable
from drift_audit.report import Report
from drift_audit.service_report import ServiceReport

Outcome = Literal["passed", "failure", "error", "skipped"]


class Case(NamedTuple):
    """One test: what it is called, how it ended, why; and lines that were encoded already."""

    name: str
    outcome: Outcome = "passed"
    message: str = ""
    details: tuple[str, ...] = ()


def render(report: Report) -> str:
    """
    The document. A finding at or above the severity that fails the run is a failure, what was not
    seen an error, what was waived or not judged is skipped; a finding below that severity passes
    and is told in the output of its case.
    """
    root = ET.Element("testsuites", name="drift-audit")
    at = report.generated_at.isoformat()
    first = _suite(root, "drift-audit", at, _run(report))
    properties = ET.Element("properties")
    first.insert(0, properties)
    facts = {
        "verdict": report.verdict,
        "exit-code": str(report.exit_code),
        "scope": told.scope(report.scope),
        "seen": told.seen(report),
        "findings": told.weights(report.counts),
        "tool": f"{report.tool.name} {report.tool.version}",
    }
    if report.trend:
        facts["nights"] = told.trend(report.trend, report.verdict)
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    for service in told.services(report):
        _suite(root, told.place(service), at, _service(report, service))
    _sum_up(root, root.iter("testsuite"))
    ET.indent(root, " ")
    document = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _run(report: Report) -> Iterator[Case]:
    outcome: Outcome = "failure" if report.exit_code else "passed"
    if report.verdict == "incomplete":
        outcome = "error"
    yield Case(
        "verdict",
        outcome,
        f"{report.verdict}: {report.headline}",
        _lines(report.headline, *report.notes),
    )
    for unseen in report.unseen:
        yield Case(f"not seen: {unseen.where}", "error", unseen.reason)
    for skip in report.skipped:
        where = f" in {skip.service}" if skip.service else ""
        outcome = "error" if skip.blocking else "skipped"
        yield Case(f"not judged: {skip.what}{where}", outcome, skip.reason)
    for finding in told.listed(report.findings):
        yield _finding(report, finding)
    for one in report.trend.resolved if report.trend else ():
        yield Case(f"resolved: {one.rule}", message=told.resolved(one, report.generated_at))


def _service(report: Report, service: ServiceReport) -> Iterator[Case]:
    outcome: Outcome = "passed" if service.reference is not None else "skipped"
    details = (
        *_lines(*(f"{label}: {fact}" for label, fact in told.facts(service))),
        *(f"{label}: {command(words)}" for label, words in told.commands(service.remedy)),
    )
    yield Case("compared", outcome, service.reference_why, details)
    for finding in service.findings:
        yield _finding(report, finding)


def _finding(report: Report, finding: Finding) -> Case:
    fails = report.fail_on is not None and finding.severity >= report.fail_on
    outcome: Outcome = "failure" if fails else "passed"
    if finding.waived:
        outcome = "skipped"
    says = f"{finding.severity.word}: {finding.says}"
    details = _lines(says, *told.about(finding, report.generated_at))
    why = told.waived(finding.waived) if finding.waived else finding.says
    place = f": {told.spot(finding.address)}" if told.spot(finding.address) else ""
    return Case(f"{finding.rule}{place}", outcome, why, details)


def _suite(root: ET.Element, name: str, at: str, cases: Iterable[Case]) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=printable(name), timestamp=at, time="0")
    names: dict[str, int] = {}
    for case in cases:
        names[case.name] = times = names.get(case.name, 0) + 1  # of equal names CI may show one
        again = f" ({times})" if times > 1 else ""
        _case(suite, printable(name), case._replace(name=f"{printable(case.name)}{again}"))
    _sum_up(suite, [suite])
    return suite


def _case(suite: ET.Element, of: str, case: Case) -> None:
    element = ET.SubElement(suite, "testcase", classname=of, name=case.name, time="0")
    message = printable(case.message)
    if case.outcome == "passed":
        ET.SubElement(element, "system-out").text = "\n".join(case.details or [message])
    else:
        why = ET.SubElement(element, case.outcome, message=message)
        why.text = "\n".join(case.details)


def _lines(*texts: str) -> tuple[str, ...]:
    return tuple(map(printable, texts))


def _sum_up(element: ET.Element, suites: Iterable[ET.Element]) -> None:
    """Write down how many cases there are, and of which kind: from the suites alone."""
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(kind) is not None for case in cases)))
