"""
`python -m bench.run`: the program against the floor and its peers, in pairs.

Ends with 1 when a side failed or gave a wrong answer. A goal that was missed is told, not punished.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import table
from bench.backend import Backend
from bench.goals import GOALS, PROFILES, START, Contest, Profile
from bench.imports import heavy
from bench.programs import HAS_GCLOUD, SIDES
from bench.rounds import Outcome, Ran, Rounds

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main(arguments: list[str] | None = None) -> int:
    """Run a profile, print the table, write the results; the exit code."""
    given = _given(arguments)
    profile, here = PROFILES[given.profile], circumstances(given.profile, given.rounds)
    contests = [c for c in profile.contests() if not given.only or c.goal in given.only]
    kept = kept_of(Path(given.json), here) if given.keep else None
    groups, stray = measure(profile, contests, given)
    results = here | summary(contests, groups, stray)
    for line in table.lines(results):
        print(line)
    if given.json:
        path = Path(given.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = beside(kept, results) if kept else results
        path.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if results["failures"] else 0


def measure(
    profile: Profile, contests: list[Contest], given: argparse.Namespace
) -> tuple[dict[str, Ran], list[str]]:
    """Run every group that a contest needs; and what the commands import that they should not."""
    settings = {"hole": given.hole, "run_page": given.page}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shapes = {"": profile.shape, "small": profile.small, "short": profile.short}
        backends = {name: stack.enter_context(Backend(shape)) for name, shape in shapes.items()}
        rounds = Rounds(backends, folder, settings, _tell)
        ran = {}
        for name, group in profile.groups().items():
            mine = [c for c in contests if c.group == name]
            floors = [c.against for c in mine if c.against and "@" not in c.against]
            sides = [*floors, *(s for c in mine for s in (c.ours, c.against) if s)]
            if sides:
                ran[name] = rounds.run(
                    group, list(dict.fromkeys(sides)), given.rounds, given.warm_up
                )
        stray = heavy(backends["small"], folder) if START in ran else []
    return ran, stray


def circumstances(profile: str, rounds: int) -> dict[str, Any]:
    """What two runs have in common whose results may stand on one page."""
    return {
        "profile": profile,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "rounds": rounds,
        "gcloud": HAS_GCLOUD,
    }


def kept_of(path: Path, here: dict[str, Any]) -> dict[str, Any]:
    """
    What an earlier run found. Raises SystemExit where it was another machine, or another size of
    data: before an hour is spent on what cannot stand beside it.
    """
    kept: dict[str, Any] = json.loads(path.read_text())
    if any(kept[name] != here[name] for name in here):
        *others, last = here
        raise SystemExit(f"{path} is of another {', '.join(others)} or {last}")
    return kept


def summary(contests: list[Contest], groups: dict[str, Ran], stray: list[str]) -> dict[str, Any]:
    """Everything that was found by a run, as JSON."""
    rows = [
        *(_row(contest, groups[contest.group]) for contest in contests),
        *([_imports(stray)] if START in groups else []),
    ]
    return {
        "goals": sorted(rows, key=_by_goal),
        "imports": stray,
        "groups": {
            name: {
                "noisy": ran.noisy,
                "records": {side: [asdict(r) for r in rs] for side, rs in ran.records.items()},
            }
            for name, ran in groups.items()
        },
        "failures": [f"{name}: {told}" for name, ran in groups.items() for told in ran.failures],
    }


def beside(kept: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Results with what an earlier run found of the goals that this one did not measure."""
    new = {row["goal"] for row in results["goals"]}
    rows = [*results["goals"], *(row for row in kept["goals"] if row["goal"] not in new)]
    groups = dict(kept["groups"])
    for name, group in results["groups"].items():
        before = groups.get(name, {"records": {}})["records"]
        groups[name] = {**group, "records": before | group["records"]}
    return {
        **results,
        "goals": sorted(rows, key=_by_goal),
        "imports": results["imports"] if "P7" in new else kept["imports"],
        "groups": groups,
        "failures": [*kept["failures"], *results["failures"]],
    }


def _by_goal(row: dict[str, Any]) -> int:
    return [*GOALS, "-"].index(row["goal"])


def _row(contest: Contest, ran: Ran) -> dict[str, Any]:
    outcome = Outcome.of(contest, ran)
    return {
        "goal": contest.goal,
        "date": _today(),
        "what": contest.what,
        "command": SIDES[contest.ours].shown,
        "against": SIDES[contest.against.partition("@")[0]].shown if contest.against else "",
        "measure": contest.measure.name,
        "unit": contest.measure.unit,
        "limit": contest.limit,
        "at_least": contest.at_least,
        "value": outcome.value if outcome else None,
        "least": outcome.least if outcome else None,
        "most": outcome.most if outcome else None,
        "met": contest.met(outcome.value) if outcome else False,
        "noisy": ran.noisy and bool(contest.against),
    }


def _imports(stray: list[str]) -> dict[str, Any]:
    """The row of what is imported; no pair, no rounds: it is so or it is not."""
    return {
        "goal": "P7",
        "date": _today(),
        "what": "imports of google, grpc, deepdiff, pydantic, jinja2 where none is needed",
        "command": "drift-audit --help, --version, explain; compare of two files",
        "against": "",
        "measure": "commands that import them",
        "unit": "",
        "limit": 0,
        "at_least": False,
        "value": len(stray),
        "least": len(stray),
        "most": len(stray),
        "met": not stray,
        "noisy": False,
    }


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _given(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one warm-up")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds that are not counted")
    parser.add_argument("--only", action="append", choices=GOALS, help="one goal; repeatable")
    parser.add_argument("--json", default="", help="where to write the results")
    parser.add_argument("--keep", action="store_true", help="of other goals, what is written there")
    parser.add_argument("--page", type=int, default=100, help="most items on a page of Cloud Run")
    parser.add_argument("--hole", action="store_true", help="break the server: drop a page")
    return parser.parse_args(arguments)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
