"""What is put on a ticket, made of one report before anything is sent."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass

from drift_audit.report import Report


@dataclass(frozen=True)
class Letter:
    """
    A short text, and the page that is attached under a name. `ref` stands in every text: by it the
    next report about the same finds the text of this one.
    """

    ref: str
    text: str
    name: str
    page: str


def reference(report: Report, name: str = "") -> str:
    """
    Sixteen hexadecimal digits, the same for every report about the same: the service, where it is
    one, else the scope that was asked for; or what somebody named.

    It is made of names alone, and says nothing of the configuration.
    """
    services = {str(service.address) for service in report.services}
    about = name or (services.pop() if len(services) == 1 else repr(report.scope.question))
    return hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_name(report: Report, ref: str) -> str:
    """What the page is called on a ticket: each report has a name of its own."""
    at = report.generated_at.astimezone(dt.UTC)
    return f"drift-audit-{ref}-{at:%Y%m%dT%H%M%SZ}.html"
