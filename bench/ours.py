"""
What the program does, called in one process: the only module here that knows its Python interface.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

from bench.tally import Tally, Target
from drift_audit.audit import Audit
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Where
from drift_audit.collector.connection import Connection
from drift_audit.collector.pace import CLOUD_RUN, PER_MINUTE, Pace
from drift_audit.names import PACED
from drift_audit.policy import Policy
from drift_audit.renderer import json as report_json
from drift_audit.seal import KEY_BYTES, Sealer, SealKey
from drift_audit.snapshot import Snapshot
from drift_audit.store.archive import Archive

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NO_SECONDS_LIMIT = 3_600.0
FREELY = 10**9
GRANTED = 3_000
"""Reads a minute that Cloud Run grants (`cloud-run-api.md` §3)."""

SEALER = Sealer(SealKey(bytes(range(KEY_BYTES)), lasting=True))


def first_night(target: Target) -> Tally:
    """An audit that remembers nothing: collect, judge, blame, and the report as JSON."""
    return _audit(target, None)


def prepare_night(target: Target) -> Tally:
    """The night before the one that is timed: it leaves in the folder what the next one knows."""
    return _audit(target, _archive(target))


def second_night(target: Target) -> Tally:
    """The same audit by one that remembers the night before."""
    return _audit(target, _archive(target))


def every_revision(target: Target) -> Tally:
    """What `snapshot --all-revisions` does, up to and with its JSON."""
    tally, lines = Tally(), report_json.Lines()
    with Path(os.devnull).open("w", encoding="ascii") as file:
        for one in _source(target, None).every():
            if isinstance(one, Snapshot):
                file.write(lines.line(one))
                tally.add(_full_name(one), len(one.bindings))
            else:
                tally.unseen += 1
    return tally


def _audit(target: Target, archive: Archive | None) -> Tally:
    source = _source(target, archive)
    report = Audit(policy=Policy(), now=NOW).of(source, None)
    Path(os.devnull).write_text(report_json.render(report), encoding="ascii")
    if archive is not None:
        archive.keep(source.remember())
    lost = [f for service in report.services for f in service.findings if f.rule == "key-lost"]
    named = (f"{f.address.service} {f.address.key} {_first(f)}" for f in lost)
    services = {(s.project, s.region, s.service) for s in report.services}
    return Tally(services=len(services), lost=sorted(named), unseen=len(report.unseen))


def _archive(target: Target) -> Archive:
    return Archive(str(target.folder), SEALER, NOW)


def _source(target: Target, archive: Archive | None) -> CloudRun:
    return CloudRun(
        Where([target.project], [target.region]),
        SEALER,
        Budget(time.monotonic, NO_SECONDS_LIMIT, pace=_pace(target)),
        Connection(run_emulator=target.address, secrets_emulator=target.address),
        memory=archive,
    )


def _pace(target: Target) -> Pace:
    """
    As fast as it goes where the server has no quota; else as near to the one that it has of Cloud
    Run as the program's own rate is to Google's.
    """
    freely = dict.fromkeys(PACED, FREELY)
    if not target.quota:
        return Pace(time.monotonic, freely)
    near = target.quota * PER_MINUTE[CLOUD_RUN] // GRANTED
    return Pace(time.monotonic, {**freely, CLOUD_RUN: near}, target.window)


def _first(finding: object) -> str:
    first = getattr(finding, "first_seen", None)
    return first.revision if first is not None else "-"


def _full_name(snapshot: Snapshot) -> str:
    who = snapshot.identity
    parent = f"projects/{who.project}/locations/{who.region}/services/{who.service}"
    return f"{parent}/revisions/{who.revision}"
