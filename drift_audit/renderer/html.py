"""
The report as one file for a browser: no request, its style and its script pinned by hashes. It can
be read without the script, which filters, copies, and shows what is more than a page should hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from markupsafe import Markup

from drift_audit.finding import Finding
from drift_audit.fleet_report import SharedSecret
from drift_audit.renderer import told
from drift_audit.renderer.encode import command, parts, printable
from drift_audit.renderer.templates import for_html
from drift_audit.report import Report
from drift_audit.service_report import ReportedChange, ServiceReport

MOST, FIRST = 5_000, 200
"""
Findings of a page: up to so many stand in it as they are, of more the first ones; the others are
packed with their services, and the script unpacks a hundred at a time (`performance.md` §7).
"""

MOST_CHANGES = 1_000
"""Differences of one service, and secrets, that a table shows."""


def render(report: Report) -> str:
    """The page that goes on the ticket."""
    template = for_html().get_template("report.html.j2")
    return template.render(report=report, page=Page(report), ids=Ids())


class Ids:
    """Tells findings apart that two revisions of one service have in common."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def next(self, id: str) -> int:
        """How often that id has come by now."""
        self._times[id] += 1
        return self._times[id]

    def last(self, id: str) -> int:
        """The same once more."""
        return self._times[id]


class Page:
    """What of a report a page shows as it is, and what it packs."""

    def __init__(self, report: Report) -> None:
        self._report = report
        about_run = len(told.listed(report.findings))
        self.total = sum(len(service.findings) for service in report.services) + about_run
        self.filters = self.total > 1
        left = self.total if self.total <= MOST else max(0, FIRST - about_run)
        self.services = told.services(report)
        self._shown: dict[int, Sequence[Finding]] = {}
        self.more: list[tuple[ServiceReport, Sequence[Finding]]] = []
        for service in self.services:
            ordered = service.findings
            self._shown[id(service)] = ordered[:left]
            if ordered[left:]:
                self.more.append((service, ordered[left:]))
            left = max(0, left - len(ordered))
        if self.more:
            self.services = [one for one in self.services if self.shown(one)]

    def shown(self, service: ServiceReport) -> Sequence[Finding]:
        """The findings of a service that stand in the page."""
        return self._shown[id(service)]

    def left(self, service: ServiceReport) -> int:
        """How many of them are packed."""
        return len(service.findings) - len(self.shown(service))

    def changes(self, service: ServiceReport) -> Sequence[ReportedChange]:
        """The differences of a service, as many as a table shows."""
        return service.changes[:MOST_CHANGES]

    @property
    def shared(self) -> Sequence[SharedSecret]:
        """The shared secrets, those that are not agreed on first."""
        return sorted(self._report.shared, key=lambda one: one.agree)[:MOST_CHANGES]

    @cached_property
    def rules(self) -> list[str]:
        """The rules that there are findings of."""
        return sorted({f.rule for f in told.listed(self._report.all_findings)})

    @property
    def without(self) -> int:
        """Services without a finding, of which a page that is full says no more than that."""
        found = sum(bool(one.findings) for one in self._report.services)
        return len(self._report.services) - found if self.more else 0

    @property
    def packed(self) -> Markup:
        """What is more than a page should hold, as JSON that no markup can end."""
        rules = {name: i for i, name in enumerate(self.rules)}
        packed = {
            "severities": told.WEIGHTS,
            "rules": self.rules,
            "services": [_packed(service) for service, _ in self.more],
            "findings": [
                [
                    told.WEIGHTS.index(f.severity.word),
                    rules[f.rule],
                    number,
                    printable(told.where(f.address)),
                    int(f.is_new(self._report.generated_at)),
                    int(f.waived is not None),
                    _pieces(f.says),
                    f.id,
                ]
                for number, (_, findings) in enumerate(self.more)
                for f in findings
            ],
        }
        text = json.dumps(packed, separators=(",", ":"))
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return Markup(text)  # noqa: S704  # no sign of markup is left in it


def _packed(service: ServiceReport) -> dict[str, Any]:
    """A service as the script unpacks it: its name, sentences in pieces, and commands to copy."""
    remedy, commands = service.remedy, told.commands(service.remedy)
    return {
        "name": printable(told.place(service)),
        "facts": [(what, _pieces(sentence)) for what, sentence in told.facts(service)],
        "commands": [(label.capitalize(), command(words)) for label, words in commands],
        "note": printable(remedy.note) if remedy else "",
    }


def _pieces(sentence: str) -> list[str]:
    """A sentence: words, then what is no word of ours, then words again, and so on."""
    return [piece for _, piece in parts(sentence)]
