"""The benchmark runs from end to end, and gives no point for a wrong answer."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import page, table
from bench.backend import Backend, Shape
from bench.goals import PROFILES, WALL, Contest
from bench.imports import HEAVY, heavy, imported
from bench.programs import SIDES, gcloud_listed, ours_listed
from bench.record import Record, bound
from bench.rounds import Outcome, Ran
from bench.run import RESULTS, beside, kept_of
from bench.sides import Task

ROOT = Path(__file__).parents[1]


def bench(folder, *arguments):
    """A tiny run of the first goal, one round, ten items a page."""
    command = [sys.executable, "-m", "bench.run", "--profile=tiny", "--rounds=1", "--warm-up=0"]
    command += ["--only=P1", "--page=10", f"--json={folder / 'results.json'}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def server():
    """A small world, served."""
    with Backend(Shape(12, 4)) as running:
        yield running


def test_tiny_run_works(tmp_path):
    """The table says what was measured, the JSON too, and a page can be made of it."""
    done, results = bench(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["goal"] for row in results["goals"]] == ["P1", "P1", "P1"]
    assert all(row["value"] > 0 for row in results["goals"])
    assert max(map(len, done.stdout.splitlines())) <= table.WIDTH
    assert "| P1 |" in page.page(results, {})


def test_dropped_page_turns_the_run_red(tmp_path):
    """
    With a server that leaves a page out, plain lists are wrong, and the run fails; the audit asks
    for what is missing, and is right.
    """
    done, results = bench(tmp_path, "--hole")

    assert done.returncode == 1
    assert {told.split(": ")[1] for told in results["failures"]} == {
        "floor-list", "floor-sync16",
    }  # fmt: skip
    assert "wrong answer" in done.stdout


def test_page_is_current():
    """`python -m bench.page` would write what is there; without results there is no page."""
    assert page.PAGE.exists() == RESULTS.exists()
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text())
        reasons = tomllib.loads(page.REASONS.read_text())
        assert (results["profile"], results["failures"]) == ("full", [])
        assert results["rounds"] >= 5
        assert page.PAGE.read_text() == page.page(results, reasons)


def test_missed_goals_come_first_with_their_reason():
    """What is missed stands before the table, in the words of the table of reasons."""
    contest = Contest("P1", "an audit", "0 ms", "ours-audit", "floor-list", WALL, 2.0)
    row = {
        "goal": contest.goal, "date": "2026-01-01", "what": contest.what, "command": "drift-audit audit",
        "against": "raw", "measure": "wall time", "unit": "x", "limit": 2.0, "at_least": False,
        "value": 3.0, "least": 2.5, "most": 3.5, "met": False, "noisy": False,
    }  # fmt: skip
    results = {
        "machine": {"cpus": 2, "python": "3.11"}, "rounds": 5, "profile": "full", "goals": [row],
    }  # fmt: skip
    text = page.page(results, {"P1": "Python is slow."})

    assert "- **P1** an audit: 3x (2.50-3.50) instead of <= 2x. Python is slow." in text
    assert text.index("Python is slow") < text.index("| P1 |") < text.index("- **P9** The size")


HERE = {"profile": "full", "machine": {"cpus": 2}, "rounds": 5, "gcloud": True}


def results_of(goal, day, value):
    """What a run of one goal came to."""
    return {
        **HERE, "imports": [],
        "goals": [{"goal": goal, "date": day, "value": value}], "failures": [],
        "groups": {"0 ms": {"noisy": False, "records": {f"side of {goal}": [value]}}},
    }  # fmt: skip


def test_goals_are_measured_one_by_one():
    """A run of one goal replaces what was found of it, and leaves what was found of others."""
    both = beside(results_of("P3", "2026-01-01", 1), results_of("P1", "2026-01-02", 2))
    again = beside(both, results_of("P3", "2026-01-03", 3))

    assert [(r["goal"], r["date"], r["value"]) for r in again["goals"]] == [
        ("P1", "2026-01-02", 2),
        ("P3", "2026-01-03", 3),
    ]
    assert again["groups"]["0 ms"]["records"] == {"side of P1": [2], "side of P3": [3]}


def test_results_of_another_machine_are_refused(tmp_path):
    """What cannot stand beside what is going to be measured is refused before the clock runs."""
    kept = results_of("P1", "2026-01-01", 1)
    (tmp_path / "kept.json").write_text(json.dumps(kept))

    assert kept_of(tmp_path / "kept.json", HERE) == kept
    with pytest.raises(SystemExit, match="of another profile, machine, rounds or gcloud"):
        kept_of(tmp_path / "kept.json", {**HERE, "machine": {"cpus": 64}})


def test_outcome_is_the_median_of_the_pairs():
    """Each run is held against the one beside it, not against the average."""
    ours = [Record(2, 0, 0), Record(40, 0, 0), Record(9, 0, 0)]
    floor = [Record(1, 0, 0), Record(10, 0, 0), Record(3, 0, 0)]
    contest = Contest("P1", "", "", "ours", "floor", WALL, 3.0)

    assert Outcome.of(contest, Ran({"ours": ours, "floor": floor})) == Outcome(3.0, 2.0, 4.0)


def test_wrong_answer_has_no_outcome():
    """A side that was wrong in one round has no ratio at all."""
    ran = Ran({"ours": [Record(1, 0, 0, wrong="a page is missing")], "floor": [Record(9, 0, 0)]})

    assert Outcome.of(Contest("P1", "", "", "ours", "floor"), ran) is None
    assert ran.failures == ["ours: a page is missing"]


def test_world_is_the_same_every_time(server):
    """Two servers of one size serve the same bytes, as far as their sums tell."""
    with Backend(Shape(12, 4)) as other:
        facts = other.facts()

    assert facts == server.facts()
    assert len(facts["lost"]) == 1


def test_touched_services_get_a_revision_each(server):
    """The night in which services were deployed has more revisions, and the next has not."""
    before = server.facts()
    server.change(touched=3)
    after = server.facts()
    server.change(touched=0)

    assert after["revisions"] == before["revisions"] + 3
    assert after["lost"] == before["lost"]
    assert server.facts() == before


def test_quota_rejects_what_is_beyond_it(server, tmp_path):
    """A task that is refused fails, and the server has counted it."""
    server.change(quota=5, window=60.0)
    record = Task("floor-sync16").run(server, server.facts(), tmp_path)
    rejected = server.counters()["rejected"]
    server.change(quota=0)

    assert record.wrong
    assert rejected > 0


def test_bound_counts_pages_and_distinct_secrets():
    """Ten pages of services, a page for each of them, and each secret once."""
    facts = {"services": 1000, "revisions": 20_000, "touched": 50, "secrets": 500}

    assert bound(facts, 100, {"ListServices": 10}, remembers=False) == 1010
    assert bound(facts, 100, {"ListSecrets": 1, "ListJobs": 1}, remembers=False) == 1512
    assert bound(facts, 100, {}, remembers=True) == 60


def test_peers_are_checked_too():
    """A list without a revision is wrong, whoever printed it."""
    facts = {"names": 0, "revisions": 1, "env": 40}

    assert gcloud_listed("[]", facts)
    assert ours_listed("[]", facts)


def test_imports_are_seen(server, tmp_path):
    """What a command imports is told by the interpreter: schemas need pydantic, the version not."""
    assert "pydantic" in imported(["schema", "show", "report"], tmp_path)
    assert not imported(["--version"], tmp_path) & HEAVY
    assert not [told for told in heavy(server, tmp_path) if "compare" in told]


@pytest.mark.parametrize("profile", PROFILES)
def test_contests_name_what_is_there(profile):
    """Every row names a group and sides that exist."""
    chosen = PROFILES[profile]
    for contest in chosen.contests():
        assert contest.group in chosen.groups()
        assert {n.partition("@")[0] for n in (contest.ours, contest.against) if n} <= SIDES.keys()
