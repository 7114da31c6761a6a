"""The same input gives the same bytes, in every format, wherever, whenever and in whatever order it is read."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys

import yaml

from tests import watch
from tests.command import SEALED, environment
from tests.manifests import revision
from tests.worlds import playing, reached

RUNS = 30
LIVE = 10
"""Of these runs so many read from the live API, in pages of another size and order each time."""

FORMATS = ("json", "md", "html", "xml", "sarif")
KEYS = [f"KEY_{i}" for i in range(8)]


def environments():
    """What differs between two runs of one input and may make no difference."""
    chance = random.Random(7)
    for number in range(RUNS):
        yield {
            "seed": str(number),
            "zone": chance.choice(["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]),
            "lang": chance.choice(["C", "C.UTF-8", "POSIX", "tr_TR.UTF-8"]),
            "umask": chance.choice([0o022, 0o077, 0o000]),
            "columns": chance.choice(["40", "200", "9" * 5_000]),
            "order": random.Random(number).shuffle,
        }


def hashes(folder, one, *arguments, env=None):
    """One audit in a folder of its own: the sha256 of each format, and of what a leak of order would be."""
    outputs = [f"--output=report.{kind}" for kind in FORMATS]
    varied = {
        **SEALED,
        **(env or {}),
        "PYTHONHASHSEED": one["seed"],
        "TZ": one["zone"],
        "LANG": one["lang"],
        "COLUMNS": one["columns"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit", *arguments, *outputs],
        cwd=folder, env=environment(folder, varied, measured=False), umask=one["umask"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 10, done.stderr.decode()
    pages = {kind: (folder / f"report.{kind}").read_bytes() for kind in FORMATS}
    return {kind: sha256(page) for kind, page in {**pages, "text": done.stdout}.items()}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def exported(folder, order):
    """Five services in five files, each of which lost, gained and changed keys; the files in some order."""
    folder.mkdir(parents=True)
    names = [f"s{i}" for i in range(5)]
    for i, name in enumerate(names):
        before = [{"name": key, "value": f"{key}-{name}"} for key in KEYS[i:]]
        after = [{"name": key, "value": f"{key}-{name}-new"} for key in KEYS[: 8 - i]]
        listed = [
            revision(f"{name}-00002-b", of=name, at="2026-01-02T00:00:00Z", env=after),
            revision(f"{name}-00001-a", of=name, env=before),
        ]
        order(listed)
        (folder / f"{name}.json").write_text(json.dumps(listed))
    order(names)
    return [f"--input={name}.json" for name in names]


def played(order):
    """The same services as a world, in some order."""
    services = []
    for i in range(5):
        gone: dict[str, str | None] = dict.fromkeys(KEYS[8 - i :])
        changed = {key: f"{key}-s{i}-new" for key in KEYS[: 8 - i]}
        revisions = [
            {"name": f"s{i}-00001-a", "at": "2026-01-01T00:00:00Z", "image": "r/i",
             "env": {key: f"{key}-s{i}" for key in KEYS}},
            {"name": f"s{i}-00002-b", "at": "2026-01-02T00:00:00Z", "env": gone | changed},
        ]  # fmt: skip
        services.append(
            {"project": "shop", "region": "r1", "service": f"s{i}", "revisions": revisions}
        )
    order(services)
    return yaml.safe_dump({"services": services})


POLICY = "".join(f'[[service]]\nmatch = "s{i}"\nrequired = {{KEY_7 = {{}}}}\n' for i in range(1, 5))


def test_same_input_same_bytes(tmp_path):
    """Thirty runs over hash seeds, zones, locales, umasks, folders, orders and pages: one sha256 per format."""
    files, live = [], []
    for number, one in enumerate(environments()):
        folder = tmp_path / str(number) / ("a" * (number + 1))
        if number >= LIVE:
            inputs = exported(folder, one["order"])
            (folder / "drift-audit.toml").write_text(POLICY)
            files.append(hashes(folder, one, "--project=shop", *inputs))
            continue
        folder.mkdir(parents=True)
        (folder / "drift-audit.toml").write_text(POLICY)
        with playing(played(one["order"]), page=1 + number % 4) as emulator:
            scope = ("--project=shop", "--region=r1", "--kind=service")
            live.append(hashes(folder, one, *scope, env=reached(emulator)))

    watch.seen[watch.SAME] += len(files) + len(live)

    assert (len(files), len(live)) == (RUNS - LIVE, LIVE)
    for runs in (files, live):
        assert {kind: len({run[kind] for run in runs}) for kind in runs[0]} == dict.fromkeys(
            (*FORMATS, "text"), 1
        )


LEAK = """
import json, sys
report = json.load(open("report.json"))
print({finding["rule"] + str(finding["address"]) for s in report["services"] for finding in s["findings"]})
"""


def test_control_format_that_leaks_its_order(tmp_path):
    """A format that writes a set as it comes has another sha256 in nearly every run."""
    found = set()
    for number, one in zip(range(4), environments(), strict=False):
        folder = tmp_path / str(number)
        inputs = exported(folder, one["order"])
        (folder / "drift-audit.toml").write_text(POLICY)
        hashes(folder, one, "--project=shop", *inputs)
        env = environment(folder, {"PYTHONHASHSEED": one["seed"]}, measured=False)
        page = subprocess.run(
            [sys.executable, "-c", LEAK], cwd=folder, env=env, capture_output=True, check=True
        )
        found.add(sha256(page.stdout))

    assert len(found) > 1
