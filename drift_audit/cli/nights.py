"""Runs that are kept: their names, their parts, and the nights of a store."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drift_audit import names
from drift_audit.cli.notice import notice
from drift_audit.cli.output import now
from drift_audit.cli.stores import kept_home, open_nights, open_parts
from drift_audit.errors import CommandError, ExitCode, StoreError
from drift_audit.headline import number
from drift_audit.night import Glance
from drift_audit.part import Shard
from drift_audit.store.nights import RUN, Nights

if TYPE_CHECKING:
    from drift_audit.part import Part
    from drift_audit.report import Report
    from drift_audit.snapshot import Address

PAGES = {"report.json": "json", "report.html": "html", "report.md": "markdown"}
"""What is kept of a night."""

TASK = ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT")
"""What Cloud Run tells each task of a job; the first of them has the index 0."""

_SHARD = re.compile(r"(?P<number>[1-9][0-9]{0,4})/(?P<count>[1-9][0-9]{0,4})")


def shard(given: str | None) -> Shard:
    """The part that `I/N` names, or the task of a job. Raises CommandError."""
    if given is None:
        index, count = (os.environ.get(name, "") for name in TASK)
        before = names.whole_number(index)
        if before is None or names.whole_number(count) is None:
            return Shard()
        given = f"{before + 1}/{count}"
    found = _SHARD.fullmatch(given)
    if found is None or int(found["number"]) > int(found["count"]):
        raise CommandError(f"--shard {given}: not one of N parts", hint="--shard=1/10 is the first")
    return Shard(number=int(found["number"]), count=int(found["count"]))


def run_name(given: str | None, part: Shard) -> str:
    """The name of a run; one of several parts needs one that they share. Raises CommandError."""
    if given is None:
        if not part.whole:
            hint = "give the same --run=NAME to every part, and to merge"
            raise CommandError("the parts of a run need a name that they share", hint=hint)
        return f"{now():%H%M%S}"
    if RUN.fullmatch(given) is None:
        raise CommandError(f"--run {given}: not lower-case letters, digits and hyphens")
    return given


def keep_part(part: Part, run: str, store: str) -> ExitCode:
    """Write a part down for `merge`, and tell how it ended: it has no verdict of its own."""
    where, new = open_parts(store).keep(run, part)
    unseen = len({*part.inventory.unseen, *(u for judged in part.judged for u in judged.unseen)})
    untried = sum(skip.blocking for judged in part.judged for skip in judged.skipped)
    services = number(len(part.inventory.services), "service")
    told = f"{part.shard}: {services}, {number(unseen, 'thing')} not seen"
    if untried:
        told += f", {number(untried, 'check')} not made"
    notice(f"{told}: {where}" if new else f"{told}; {where} was there already and stands")
    return ExitCode.INCOMPLETE if unseen or untried else ExitCode.CLEAN


def aged(report: Report, run: str, store: str) -> tuple[Report, bool]:
    """
    The report of a night with what is new in it, after it was written into the store; and whether
    it was. Raises StoreError where the night before cannot be read.
    """
    from drift_audit.night import after, summary
    from drift_audit.renderer import renderer

    nights = open_nights(store)
    before = nights.last(report.scope, run, report.generated_at)
    report = after(before, report)
    pages = {name: renderer(kind)(report) for name, kind in PAGES.items()}
    try:
        notice(f"kept as {nights.keep(summary(run, report, before), pages)}")
    except StoreError as error:
        notice(f"drift-audit: {error}")
        return report, False
    return report, True


def stale(flags: Mapping[str, Any], service: Address) -> str:
    """
    What is to be said where the last complete audit of a service is older than it may be, or where
    none is kept; nothing where nobody asked. Raises StoreError, and CommandError.
    """
    most = flags["max_audit_age"]
    if most is None:
        if flags["strict_age"]:
            raise CommandError("--strict-age is said of --max-audit-age", hint="give both")
        return ""
    home = kept_home(flags["store"])
    nights = (kept.read(Glance) for kept in (Nights(home).kept() if home else ()))
    last = next((n.generated_at for n in nights if n.complete and n.covers(service)), None)
    if last is None:
        return (
            f"no complete audit of {service} is kept, and one was to be younger than {_told(most)}"
        )
    age = now() - last
    if age <= most:
        return ""
    return f"the last complete audit is {_told(age)} old, and was to be younger than {_told(most)}"


def _told(age: dt.timedelta) -> str:
    """An age in whole hours, below two of them in minutes."""
    hours, minutes = divmod(int(age.total_seconds()) // 60, 60)
    return number(hours, "hour") if hours > 1 else number(60 * hours + minutes, "minute")


def refuse_outputs(flags: Mapping[str, Any]) -> None:
    """A part is no report: raises CommandError where one is asked for."""
    if flags["outputs"] or flags["night"]:
        raise CommandError(
            "a part of a run is no report",
            hint="drift-audit merge writes it, when all parts are there",
        )
