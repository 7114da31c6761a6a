"""
Waivers: what the owner of a service accepts, for a reason, until a day.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator

from drift_audit.finding import Finding, Waived
from drift_audit.frozen import Entry, Text
from drift_audit.snapshot import Address

PARTS = 5
"""Slashes in an address that separate its parts; a name may hold more."""

_WILD = re.compile(r"\[[^]]*\]|[*?/-]")


class Waiver(Entry):
    """
    A finding the owner accepts, for a reason, until a day.

    `rule` is a glob, `at` one for each part of an address, `PROJECT/REGION/SERVICE/KIND/CONTAINER/
    NAME`; one that ends early covers everything below.
    """

    rule: Text
    at: Text = "*"
    owner: Text
    reason: Text
    until: dt.date

    @property
    def id(self) -> str:
        """The same as long as it waives the same, by the same owner, until the same day."""
        said = json.dumps([self.rule, self.at, self.owner, self.until.isoformat()])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def concerns(self, service: Address) -> bool:
        """Tell whether it can speak of something in that service."""
        parts = str(service.home).split("/")
        return all(map(fnmatchcase, parts, self.at.split("/", PARTS)))

    def names(self, finding: Finding) -> bool:
        """Tell whether the waiver speaks of that finding, expired or not."""
        globs, parts = (text.split("/", PARTS) for text in (self.at, str(finding.address)))
        return (
            fnmatchcase(finding.rule, self.rule)
            and len(globs) <= len(parts)
            and all(fnmatchcase(part, glob) for glob, part in zip(globs, parts, strict=False))
        )

    def covers(self, finding: Finding, today: dt.date) -> bool:
        """
        Tell whether the waiver forgives the finding on that day. `until` is the last such day.
        """
        return self.names(finding) and today <= self.until

    @property
    def mark(self) -> Waived:
        """What a waived finding tells of it."""
        return Waived(owner=self.owner, reason=self.reason, until=self.until)


def _not_everything(waiver: Waiver) -> Waiver:
    if not _WILD.sub("", waiver.rule) and not _WILD.sub("", waiver.at):
        raise ValueError("rule and at are both wildcards: name the rule or the place")
    return waiver


Bounded = Annotated[Waiver, AfterValidator(_not_everything)]
"""A waiver that says what it forgives: one of everything everywhere is refused."""
