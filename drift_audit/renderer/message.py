"""The few lines of a report for places where little fits: chats, pagers, work notes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from drift_audit.finding import Finding
from drift_audit.headline import number
from drift_audit.renderer import told
from drift_audit.renderer.encode import visible
from drift_audit.report import Report

BUDGET = 2_800
"""Bytes; the smallest block that chats show whole has 3,000."""

MOST = 10
UNSEEN = 3
"""Findings, and things that were not seen, that are told one by one."""

LINE = 300
"""The longest line: names are shorter, and nobody's name may push the next line out."""

_MENTION = re.compile("@(?![0-9])")  # a version of a secret is `jwt@7`
_ADDRESS = re.compile("://")


def render(
    report: Report,
    findings: Sequence[Finding] | None = None,
    *,
    budget: int = BUDGET,
    most: int = MOST,
    last: str = "",
) -> str:
    """
    The verdict, what was not seen, and the most severe of some findings (all that are open, unless
    given), in at most so many bytes of ASCII; `last` is a line of ours that ends it.

    Findings are left out whole and counted, then what was not seen is counted alone. Verdict,
    these counts and `last` always stand there; below some 1,000 bytes their lines may be cut short.
    """
    listed = open_findings(report) if findings is None else findings
    lines, foot = [_finding(one) for one in listed], [inert(last)] if last else []
    shapes = [(shown, UNSEEN) for shown in range(min(most, len(lines)), -1, -1)]
    for shown, named in [*shapes, *((0, fewer) for fewer in range(UNSEEN - 1, -1, -1))]:
        more = _more(len(lines) - shown)
        text = _joined([*_head(report, named), *lines[:shown], *more, *foot])
        if len(text) <= budget:
            return text
    fixed = [*_head(report, 0)[:2], *foot]
    share = max(16, budget // len(fixed) - 1)
    return _joined([line if len(line) <= share else f"{line[: share - 3]}..." for line in fixed])


def open_findings(report: Report) -> list[Finding]:
    """The findings that nobody accepted; what was not seen stands in a list of its own."""
    return [f for f in told.listed(report.all_findings) if f.waived is None]


def inert(text: str) -> str:
    """
    For text of which nobody knows who shows it: one line of printable ASCII, in which no chat, wiki
    or mail program finds markup, a mention or the address of a page.
    """
    line = _ADDRESS.sub(":\\\\u{2f}/", _MENTION.sub("\\\\u{40}", visible(text)))
    return line if len(line) <= LINE else f"{line[: LINE - 3]}..."


def _head(report: Report, named: int) -> list[str]:
    """The lines before the findings, with so many of what was not seen or judged by name."""
    verdict = inert(f"{report.verdict.upper()}: {report.headline}")
    blocked = [skip for skip in report.skipped if skip.blocking]
    unmade = f"; {number(len(blocked), 'judgement')} in scope not made" if blocked else ""
    holes = [f"not seen: {one.where}: {one.reason}" for one in report.unseen]
    holes += [f"not judged: {skip.what}: {skip.reason}" for skip in blocked]
    rest = [
        f"seen: {told.seen(report)}",
        f"findings: {told.weights(report.counts)}",
        *_trend(report),
    ]
    missed = f"not seen: {told.unseen(report)}{unmade}"
    return [verdict, missed, *map(inert, [*holes[:named], *rest])]


def _trend(report: Report) -> list[str]:
    return [told.trend(report.trend, report.verdict)] if report.trend else []


def _finding(finding: Finding) -> str:
    since = f"; {told.since(finding.first_seen)}" if finding.first_seen else ""
    at = finding.address
    return inert(f"- {finding.severity.word} {finding.rule} in {at}: {finding.says}{since}")


def _more(count: int) -> list[str]:
    return [f"{number(count, 'more finding')} in the report"] if count else []


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
