"""
What the program does, called in one process: the only module here that knows its Python interface.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from pathlib import Path

from bench.tally import Tally, Target
from drift_audit.audit import Audit
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Location
from drift_audit.collector.connection import Connection
from drift_audit.policy import Policy
from drift_audit.renderer import json as report_json
from drift_audit.seal import KEY_BYTES, Sealer, SealKey
from drift_audit.snapshot import Snapshot

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NO_SECONDS_LIMIT = 3_600.0


def first_night(target: Target) -> Tally:
    """An audit that remembers nothing: collect, judge, blame, and the report as JSON."""
    report = Audit(policy=Policy(), now=NOW).of(_source(target), None)
    _written(report_json.render(report))
    lost = [f for service in report.services for f in service.findings if f.rule == "key-lost"]
    named = (f"{f.address.service} {f.address.key} {_first(f)}" for f in lost)
    services = {(s.project, s.region, s.service) for s in report.services}
    return Tally(services=len(services), lost=sorted(named), unseen=len(report.unseen))


def prepare_night(target: Target) -> Tally:
    """The night before the one that is timed: it leaves in the folder what the next one knows."""
    return first_night(target)


def second_night(target: Target) -> Tally:
    """
    The same audit by one that remembers the night before.

    There is no memory yet: this is the first night once more.
    """
    return first_night(target)


def every_revision(target: Target) -> Tally:
    """What `snapshot --all-revisions` does, up to and with its JSON."""
    source = _source(target)
    inventory = source.collect()
    services = [source.chain(service) for service in inventory.services]
    snapshots = [revision for service in services for revision in service.revisions]
    _written(report_json.canonical([json.loads(s.model_dump_json()) for s in snapshots]))
    tally = Tally(services=len(services), unseen=len(inventory.unseen))
    for snapshot in snapshots:
        tally.add(_full_name(snapshot), len(snapshot.bindings))
    return tally


def _source(target: Target) -> CloudRun:
    return CloudRun(
        [Location(target.project, target.region)],
        (),
        Sealer(SealKey(bytes(range(KEY_BYTES)), lasting=False)),
        Budget(time.monotonic, NO_SECONDS_LIMIT),
        Connection(run_emulator=target.address, secrets_emulator=target.address),
    )


def _first(finding: object) -> str:
    first = getattr(finding, "first_seen", None)
    return first.revision if first is not None else "-"


def _full_name(snapshot: Snapshot) -> str:
    who = snapshot.identity
    parent = f"projects/{who.project}/locations/{who.region}/services/{who.service}"
    return f"{parent}/revisions/{who.revision}"


def _written(text: str) -> None:
    Path(os.devnull).write_text(text, encoding="ascii")
