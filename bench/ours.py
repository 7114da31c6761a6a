"""
What the program does, called in one process: the only module here that knows its Python interface.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bench.tally import Tally, Target
from drift_audit.audit import Audit
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Where
from drift_audit.collector.connection import Connection
from drift_audit.collector.pace import CLOUD_RUN, PER_MINUTE, Pace
from drift_audit.differ import Place, Plain, _plain, compare, items
from drift_audit.inventory import Evidence, Service, by_age
from drift_audit.names import PACED
from drift_audit.policy import Policy
from drift_audit.renderer import json as report_json
from drift_audit.renderer import renderer
from drift_audit.report import Report, assemble
from drift_audit.rules import Case, judge
from drift_audit.seal import KEY_BYTES, Sealer, SealKey
from drift_audit.service_report import ServiceReport
from drift_audit.snapshot import Address, Snapshot
from drift_audit.store.archive import Archive
from drift_audit.store.folder import Folder
from drift_audit.store.histories import Histories

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NO_SECONDS_LIMIT = 3_600.0
FREELY = 10**9
GRANTED = 3_000
"""Reads a minute that Cloud Run grants (`cloud-run-api.md` §3)."""

AT_A_TIME, EVERY = 1_000, 100
"""How many pairs are held at a time, and which of them differ."""

NIGHTS = 4
"""In which a store is filled that is asked then."""

DEMO = Path(__file__).parents[1] / "tests" / "golden" / "demo-report.json"

Pair = tuple[Snapshot, Snapshot]
Mappings = tuple[Address, dict[Place, Plain], dict[Place, Plain]]
Ready = TypeVar("Ready")

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


def keep(target: Target) -> Tally:
    """What audits of several nights keep, as each of them saw some more revisions."""
    tally, chains = Tally(), dict[Address, list[Snapshot]]()
    for one in _source(target, None).every():
        assert isinstance(one, Snapshot)
        tally.add(_full_name(one), len(one.bindings))
        chains.setdefault(one.address, []).append(one)
    for night in range(1, NIGHTS + 1):
        histories = _histories(target)
        for at, chain in chains.items():
            seen = tuple(sorted(chain, key=by_age)[: -(-len(chain) * night // NIGHTS)])
            service = Service(project=at.project, region=at.region, service=at.service)
            histories.note(service.but(revisions=seen))
        histories.keep()
    return tally


def lost_as_kept(target: Target) -> Tally:
    """Which revisions lost a key, as the index of what is kept tells it."""
    cpu, begun = time.process_time(), time.perf_counter()
    histories = _histories(target)
    [place] = histories.places()
    index, unseen = histories.index(place)
    told = index.search(Address(project=place[0], region=place[1]), "*", [target.key])
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Tally(
        wall=wall,
        cpu=cpu,
        services=told.services,
        revisions=told.revisions,
        lost=sorted(
            f"{line.at.service} {line.at.key} {step.deploy.revision}"
            for line in told.lines
            for step in line.steps
            if step.what == "vanished"
        ),
        unseen=len(unseen),
        stored=sum(one.stat().st_size for one in Path(target.folder).rglob("*.gz")),
    )


def _histories(target: Target) -> Histories:
    key = SealKey.parse(os.environ["DRIFT_AUDIT_SEAL_KEY"])
    return Histories(Folder(target.folder), key)


def judge_pairs(target: Target) -> Tally:
    """
    Every revision held against itself as it was stored, by `compare` and every rule. The snapshots
    were read from JSON, and nothing was derived from them before the clock runs.
    """
    policy, everything = Policy(), frozenset(Evidence)

    def lost(pair: Pair) -> list[str]:
        reference, candidate = pair
        changes = compare(reference, candidate)
        case = Case(candidate, reference, changes, policy, everything, today=NOW.date())
        return [str(f.address) for f in judge(case)[0] if f.rule == "key-lost"]

    return _timed(target, lambda pair: pair, lost, of=1)


def deepdiff_pairs(target: Target) -> Tally:
    """
    A tenth of the pairs, each by DeepDiff alone, without any short cut: as two mappings from places
    to what is compared of an item, which are made before the clock runs.
    """
    from deepdiff import DeepDiff

    def lost(ready: Mappings) -> list[str]:
        home, before, after = ready
        levels = DeepDiff(before, after, view="tree", threshold_to_diff_deeper=0)
        removed = levels.get("dictionary_item_removed", ())
        gone = (one.path(output_format="list")[0] for one in removed)
        return [str(home.at(box, **{kind: name})) for kind, box, name in gone]

    return _timed(target, _mappings, lost, of=10)


def _mappings(pair: Pair) -> Mappings:
    before, after = (items(one) for one in pair)
    return (
        pair[1].address,
        {place: _plain(item, after.get(place)) for place, item in before.items()},
        {place: _plain(item, before.get(place)) for place, item in after.items()},
    )


def _timed(
    target: Target,
    prepare: Callable[[Pair], Ready],
    lost: Callable[[Ready], list[str]],
    *,
    of: int,
) -> Tally:
    """
    Make pairs, some at a time, and time what finds the keys that were lost. Whoever does not find
    all of them, or finds others, ends the run.

    A task that looks at one of so many hundreds alone has its seconds multiplied.
    """
    tally = Tally()
    told: list[str] = []
    gone: list[str] = []
    revisions = (one for one in _source(target, None).every() if isinstance(one, Snapshot))
    while some := list(islice(revisions, AT_A_TIME)):
        ready = []
        for one in some:
            tally.add(_full_name(one), len(one.bindings))
            if (tally.revisions - 1) // EVERY % of:
                continue
            text = one.model_dump_json()
            pair = Snapshot.model_validate_json(text), Snapshot.model_validate_json(text)
            if tally.revisions % EVERY == 0:
                key = pair[1].bindings[len(gone) % len(pair[1].bindings)]
                gone.append(str(one.address.at(key.container, key=key.key)))
                kept = tuple(b for b in pair[1].bindings if b is not key)
                pair = pair[0], pair[1].but(bindings=kept)
            ready.append(prepare(pair))
        cpu, begun = time.process_time(), time.perf_counter()
        told += [at for one in ready for at in lost(one)]
        tally.cpu += of * (time.process_time() - cpu)
        tally.wall += of * (time.perf_counter() - begun)
    if told != gone:
        raise SystemExit(f"{len(gone)} keys were lost, and {len(told)} or others were told of")
    return tally


def written_page(path: Path, findings: int) -> str:
    """
    Write the report of so many findings, those of the demo in service after service, as a page;
    tells the name of the service with the last finding, which has no other.
    """
    demo = Report.model_validate_json(DEMO.read_bytes())
    model = max(demo.services, key=lambda one: len(one.findings))
    left, services = findings, list[ServiceReport]()
    while left:
        name, count = f"service-{len(services):04}", min(left - 1, len(model.findings)) or 1
        found = [f.but(address=f.address.but(service=name)) for f in model.findings[:count]]
        services.append(model.but(service=name, findings=tuple(found)))
        left -= count
    made = assemble(
        tool=demo.tool,
        now=demo.generated_at,
        scope=demo.scope,
        fail_on=demo.fail_on,
        services=services,
        findings=(),
        skipped=(),
        unseen=(),
        revisions=demo.counts.revisions,
        secrets=demo.counts.secrets,
    )
    path.write_text(renderer("html")(made), encoding="utf-8")
    return services[-1].service


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
    return Archive(Folder(str(target.folder)), SEALER, NOW)


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
