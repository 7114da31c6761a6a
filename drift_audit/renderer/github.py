"""
The report as annotations of GitHub Actions, which stand beside the files of a pull request.

The only lines that begin with a command are ours: what is foreign was made visible before, and
stands behind the command, escaped as GitHub asks for it.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from drift_audit.finding import Finding, Severity
from drift_audit.headline import number
from drift_audit.renderer import brief, told
from drift_audit.renderer.anchor import RUN, Anchor, Anchors, nowhere
from drift_audit.renderer.cut import findings
from drift_audit.renderer.encode import command, legible, visible
from drift_audit.report import Report

MOST = 10
"""The annotations of a kind that GitHub shows of one step."""

Level = Literal["error", "warning", "notice"]


class Annotation(NamedTuple):
    """One thing beside a line of a file, or beside none."""

    level: Level
    title: str
    message: str
    anchor: Anchor | None = None

    def __str__(self) -> str:
        """The command that makes it."""
        at = (
            {"file": legible(self.anchor.path), "line": str(self.anchor.line)}
            if self.anchor
            else {}
        )
        properties = {**at, "title": visible(self.title)}
        told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        return f"::{self.level} {told}::{_data(self.message)}"


def render(report: Report, anchors: Anchors = nowhere) -> str:
    """
    The verdict with the command that restores, what was not seen and every finding as annotations,
    as far as GitHub shows them; then the verdict as a line of the log.
    """
    told_of = [
        _verdict(report, anchors(RUN)),
        *_unseen(report, anchors(RUN)),
        *(_finding(report, f, anchors(f.address)) for f in findings(report)),
    ]
    lines = [str(one) for one in _shown(told_of)]
    return "\n".join([*lines, brief.line(report), ""])


def _shown(all_told: list[Annotation]) -> Iterator[Annotation]:
    """Those that GitHub shows; the last of a level counts what it would leave out."""
    left = Counter(a.level for a in all_told)
    room = Counter(dict.fromkeys(left, MOST))
    for one in all_told:
        level = one.level
        if room[level] == 1 < left[level]:
            more = f"{number(left[level], f'more {level}')} in the report"
            yield Annotation(level, "drift-audit", more)
        elif room[level] > 0:
            yield one
        room[level] -= 1
        left[level] -= 1


def _verdict(report: Report, anchor: Anchor | None) -> Annotation:
    fails = report.exit_code != 0
    level: Level = "error" if fails else "warning" if report.verdict == "drift" else "notice"
    restores = [s.remedy.restore for s in told.services(report) if s.remedy and s.remedy.restore]
    lines = [visible(report.headline), visible(f"seen: {told.seen(report)}")]
    lines += [f"restore: {command(words)}" for words in restores[:1]]
    if len(restores) > 1:
        lines.append(f"{number(len(restores) - 1, 'more restore command')} in the report")
    return Annotation(level, f"drift-audit: {report.verdict}", "\n".join(lines), anchor)


def _unseen(report: Report, anchor: Anchor | None) -> Iterator[Annotation]:
    for unseen in report.unseen:
        message = f"{visible(unseen.where)}: {visible(unseen.reason)}"
        yield Annotation("error", "not seen", message, anchor)


def _finding(report: Report, finding: Finding, anchor: Anchor | None) -> Annotation:
    place = told.spot(finding.address.home) or "about this run"
    lines = [f"{place}: {finding.says}", *told.about(finding, report.generated_at)]
    title = f"{finding.severity.word} {finding.rule}"
    return Annotation(_level(finding), title, "\n".join(map(visible, lines)), anchor)


def _level(finding: Finding) -> Level:
    if finding.waived or not finding.severity >= Severity.MEDIUM:
        return "notice"
    return "error" if finding.severity >= Severity.HIGH else "warning"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
