"""Every revision there is, as it is read: nothing is lost, nothing piles up, no file is torn."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drift_audit.collector.api import Location
from drift_audit.emulator.server import Emulator
from drift_audit.snapshot import Snapshot, Unseen
from tests.builders import LASTING, sealer
from tests.command import environment, run
from tests.worlds import playing_document, reached, source

PLACE = Location("shop", "r1")
KINDS = ("service", "worker-pool", "job")
PARENT = "projects/shop/locations/r1/services"
SCOPE = ["--project=shop", "--region=r1"]


def revisions(name, number, env=None):
    return [
        {
            "name": f"{name}-{n:05}", "at": f"2026-01-{1 + n // 1440:02}T{n // 60 % 24:02}:{n % 60:02}:00Z",
            "image": f"r/{name}:{n}", "env": {"JWT": {"secret": "jwt", "version": "1"}, **(env or {})},
        }
        for n in range(1, number + 1)
    ]  # fmt: skip


def world(services=3, number=7, env=None, **more):
    """Some services with so many revisions each, a worker pool and a job."""
    place = {"project": "shop", "region": "r1"}
    names = [f"s{n:02}" for n in range(services)]
    return {
        "page": 5,
        "services": [
            {**place, "service": n, "revisions": revisions(n, number, env)} for n in names
        ],
        "worker_pools": [{**place, "worker_pool": "work", "revisions": revisions("work", 2)}],
        "jobs": [{**place, "job": "nightly", "at": "2026-01-01T00:00:00Z", "image": "i"}],
        "secrets": [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}],
        **more,
    }


def streamed(played, **more):
    """The revisions that stream, in order, what was not seen, and the faults that fired."""
    with playing_document(played) as emulator:
        found = list(source(emulator, place=PLACE, seal=sealer(key=LASTING), **more).every())
        fired = emulator.fired
    snapshots = [one for one in found if isinstance(one, Snapshot)]
    return snapshots, [one for one in found if isinstance(one, Unseen)], fired


def names_of(snapshots):
    return [s.identity.revision for s in snapshots]


def test_stream_equals_the_chains():
    """What streams is what the history of each service holds, secrets and status included."""
    with playing_document(world()) as emulator:
        live = source(emulator, place=PLACE, kinds=KINDS, seal=sealer(key=LASTING))
        whole = [live.chain(s) for s in live.collect().services]
    snapshots, unseen, _ = streamed(world(), kinds=KINDS)
    by_address = {str(s.address): s.revisions for s in whole}
    found = {at: tuple(s for s in snapshots if str(s.address) == at) for at in by_address}

    assert found == by_address
    assert len(snapshots) == 3 * 7 + 2 + 1
    assert unseen == []


def test_stream_is_ordered():
    """Services come by name, and of each the newest revision first, however the calls end."""
    expected = [f"s{s:02}-{n:05}" for s in range(3) for n in range(7, 0, -1)]

    assert [names_of(streamed(world())[0]) for _ in range(3)] == [expected] * 3


def test_one_revision_on_each_line(tmp_path):
    """Standard output is one JSON list, a revision on each line, and the file is the same bytes."""
    with playing_document(world()) as emulator:
        every = ["snapshot", *SCOPE, "--all-revisions", "--progress=on"]
        printed = run(*every, cwd=tmp_path, env=reached(emulator))
        written = run(*every, "-o", "all.json", cwd=tmp_path, env=reached(emulator))
    first, *lines, last = printed.out.splitlines()

    assert (printed.code, written.code, written.out) == (0, 0, "")
    assert (tmp_path / "all.json").read_text() == printed.out
    assert (first, last, len(lines)) == ("[", "]", 24)
    assert [json.loads(x.removesuffix(",").removeprefix(","))["document"] for x in lines] == [
        "drift-audit/snapshot"
    ] * 24
    assert len(json.loads(printed.out)) == 24


def test_what_streams_reads_back(tmp_path):
    """A streamed file is an input like any other."""
    with playing_document(world()) as emulator:
        every = ["snapshot", *SCOPE, "--all-revisions", "-o", "all.json"]
        run(*every, cwd=tmp_path, env=reached(emulator))
        env = reached(emulator)
    again = run("audit", "--input=all.json", "--format=json", cwd=tmp_path, env=env)

    assert again.code == 0, again.block
    assert json.loads(again.out)["counts"]["revisions"] == 24


@pytest.mark.parametrize(
    "fault",
    [
        "1:duplicated-page", "1:permuted-pages", "1:empty-page", "2:UNAVAILABLE",
        "2:expired-token", "1:changed-duplicate",
    ],
)  # fmt: skip
def test_lists_that_go_wrong_lose_nothing(fault):
    """Pages that come twice, late, empty or changed cost calls, and no revision comes twice."""
    played = world(services=1, faults=[f"Revisions/ListRevisions:{fault}"])
    snapshots, unseen, fired = streamed(played)

    assert fired
    assert names_of(snapshots) == [f"s00-{n:05}" for n in range(7, 0, -1)]
    assert unseen == []


def test_list_that_breaks_off_is_unseen():
    """What came before a list broke off is given, the revisions in use are got, and the rest is unseen."""
    serving = [{"to": "s00-00001", "percent": 100}]
    played = world(services=1, faults=["Revisions/ListRevisions:2:PERMISSION_DENIED"])
    played["services"][0]["traffic"] = serving
    snapshots, unseen, fired = streamed(played)

    assert fired
    assert names_of(snapshots) == [f"s00-{n:05}" for n in (7, 6, 5, 4, 3, 1)]
    assert [(u.where, u.reason) for u in unseen] == [
        (f"revisions of {PARENT}/s00", "permission denied")
    ]


def test_closure():
    """A list that ends too early cannot hide a revision that serves: it is got by its name."""
    played = world(services=1, faults=["Revisions/ListRevisions:1:early-end"])
    played["services"][0]["traffic"] = [{"to": "s00-00001", "percent": 100}]
    snapshots, unseen, fired = streamed(played)

    assert fired
    assert "s00-00001" in names_of(snapshots)
    assert unseen == []


def test_deploy_while_it_streams():
    """A service that is deployed while it is read streams with its newest revision."""
    snapshots, unseen, fired = streamed(
        world(services=2, faults=["Revisions/ListRevisions:1:generation-bump"])
    )

    assert fired
    assert len(names_of(snapshots)) == len(set(names_of(snapshots))) == 15
    assert unseen == []


def test_secret_that_may_not_be_read():
    """A secret that nobody may look at is unseen once, and the revisions stream all the same."""
    snapshots, unseen, _ = streamed(world(denied=["projects/shop/secrets/jwt"]))

    assert {s.keys["", "JWT"].source.version_state for s in snapshots} == {"unseen"}
    assert [u.where for u in unseen] == [
        "expiry and aliases of secret projects/shop/secrets/jwt",
        "secret projects/shop/secrets/jwt/versions/1",
    ]


def test_service_that_is_not_there():
    """Who asks for a service by name is told that it is not there, beside those that are."""
    snapshots, unseen, _ = streamed(world(services=1), services=("s00", "gone", "x*"))

    assert len(snapshots) == 7
    assert [(u.where, u.reason) for u in unseen] == [
        ("service gone", "was asked for and not found")
    ]


def test_nobody_could_look():
    """Where a location could not be listed, that is told, and not that a service is missing."""
    snapshots, unseen, _ = streamed(
        world(denied=["projects/shop/locations/r1"]), services=("gone", "x*")
    )

    assert snapshots == []
    assert [u.where for u in unseen] == ["services of projects/shop/locations/r1"]


# Files

BEFORE = "what was there before\n"


@pytest.mark.parametrize(
    ("ended", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
@pytest.mark.parametrize("command", [["snapshot", "--all-revisions"], ["audit"]], ids=" ".join)
def test_interrupted_run_leaves_the_old_file(tmp_path, command, ended, code):
    """A run that is ended half way ends at once, and leaves what was there before and nothing beside it."""
    (tmp_path / "all.json").write_text(BEFORE)
    faults = ["Revisions/ListRevisions:3+:hang", "Services/ListServices:1+:hang"]
    played = world(faults=faults[:1] if command[0] == "snapshot" else faults[1:])
    with playing_document(played) as emulator:
        arguments = [*command, *SCOPE, "--kind=service", "-o", "all.json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "drift_audit", *arguments],
            cwd=tmp_path, env=environment(tmp_path, reached(emulator)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not emulator.fired and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(ended)
        out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (code, b"")
    assert err.strip() in (b"drift-audit: terminated", b"drift-audit: interrupted")
    assert (tmp_path / "all.json").read_text() == BEFORE
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["all.json"]


def test_file_that_cannot_be_written(tmp_path):
    """A file that cannot be written is told, with its own code."""
    with playing_document(world(services=1)) as emulator:
        every = ["snapshot", *SCOPE, "--all-revisions", "-o", "none/all.json"]
        ran = run(*every, cwd=tmp_path, env=reached(emulator))

    assert ran.code == 5
    assert "cannot write none/all.json: no such file or directory" in ran.err


# Memory

PROBE = """
import sys, time
from pathlib import Path
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Where
from drift_audit.collector.connection import Connection
from drift_audit.seal import Sealer, SealKey

def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

address, hoard = sys.argv[1], sys.argv[2] == "hoard"
where = Where(["shop"], ["r1"], kinds=["service"])
budget = Budget(time.monotonic)
live = CloudRun(where, Sealer(SealKey(b"k" * 32, lasting=True)), budget, Connection(address, address))
kept, sizes = [], []
for one in live.every():
    sizes.append(pages())
    if hoard:
        kept.append(one.model_dump_json())
print(len(sizes), sizes[-1] - sizes[len(sizes) // 10])
"""

GROWTH = 8 * 2**20
"""Bytes by which a process may grow between a tenth of the way and its end."""


def grown(folder: Path, emulator: Emulator, way: str) -> tuple[int, int]:
    """How many revisions a process streams, and how many bytes larger it is in the end."""
    command = [sys.executable, "-c", PROBE, emulator.address, way]
    env = {**environment(folder, measured=False), "MALLOC_ARENA_MAX": "2"}
    ran = subprocess.run(command, env=env, cwd=folder, capture_output=True, check=True, timeout=120)
    count, more = map(int, ran.stdout.split())
    return count, more * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to measure with")
def test_memory_does_not_grow_while_it_streams(tmp_path):
    """What was given is let go of; the control, which keeps the text of it, grows by far more."""
    env = {f"KEY_{n}": "x" * 40 for n in range(40)}
    with playing_document(world(services=100, number=30, env=env, page=100)) as emulator:
        (count, streamed_), (_, kept) = (grown(tmp_path, emulator, w) for w in ("stream", "hoard"))

    assert count == 3_000
    assert streamed_ < GROWTH < kept / 2, (streamed_, kept)
