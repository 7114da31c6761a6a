"""
`python -m tests.proof [NAME...|--page]`: the campaigns, and docs/proof.md of what they came to, or the
page alone.

A campaign holds one promise against all that could break it. It is a module of the tests that prints
its figures, or ordinary tests that count what they try. The page is written from docs/proof.json, which
nobody edits: a campaign that runs replaces its own entry there, and no other. Why a figure falls short, as far
as somebody knows, is told by shortfalls.toml. The exit code is 1 where a promise did not hold or a figure
falls short.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, shorten
from typing import Any

from tests import watch

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "proof.json"
PAGE = ROOT / "docs" / "proof.md"
REASONS = Path(__file__).with_name("shortfalls.toml")
COLUMNS = 110
MOST = 90
"""Characters of a problem on the page: docs/proof.json holds all of it."""


@dataclass(frozen=True)
class Goal:
    """A figure and what it must be: at least so much, at most, or exactly that where it counts failures."""

    figure: str
    words: str
    least: float | None = None
    most: float | None = None
    exactly: int | None = None

    def met(self, figures: Mapping[str, float]) -> bool:
        """Whether it was counted and is as it must be."""
        value = figures.get(self.figure)
        if value is None:
            return False
        if self.least is not None:
            return value >= self.least
        return value <= self.most if self.most is not None else value == self.exactly

    @property
    def limit(self) -> str:
        """What it must be, as a reader writes it."""
        if self.least is not None:
            return f"at least {number(self.least)}"
        return f"at most {number(self.most)}" if self.most is not None else f"{self.exactly}"


@dataclass(frozen=True)
class Campaign:
    """
    One promise, how it is tried and what must come of it. `control` is the test that puts something
    broken in the place of the real thing and asserts that the campaign notices.
    """

    name: str
    promise: str
    how: str
    command: tuple[str, ...]
    goals: tuple[Goal, ...]
    control: str

    @property
    def shown(self) -> str:
        """What a reader would type."""
        return " ".join(("python", "-m", *self.command))


FAILED = Goal("failed", "tests that failed", exactly=0)

CAMPAIGNS = (
    Campaign(
        "single-faults",
        "A bad API gives a complete snapshot, or one that is marked incomplete.",
        "Every call that an audit makes fails in every way there is, at its first, middle and last page,"
        " once and from there on.",
        ("pytest", "-q", "tests/test_faults.py"),
        (Goal(watch.FAULTS, "single faults that took effect", least=1_000), FAILED),
        "tests/test_faults.py::test_control_naive_collector",
    ),
    Campaign(
        "schedules",
        "Several faults at once give no third thing: complete, or marked incomplete.",
        "Worlds made up at random, under up to six faults each, of any kind and anywhere.",
        ("pytest", "-q", "--hypothesis-profile=proof", "tests/test_fault_schedules.py"),
        (Goal(watch.SCHEDULES, "schedules", least=20_000), FAILED),
        "tests/test_fault_schedules.py::test_control_naive_collector",
    ),
    Campaign(
        "calls",
        "It only asks: it writes nothing, reads no payload, and never waits for ever.",
        "Servers that speak the protocol count what our program asks of them, in every test that has one.",
        (
            "pytest",
            "-q",
            "tests/test_cloud_run.py",
            "tests/test_secrets.py",
            "tests/test_gather.py",
            "tests/test_every_revision.py",
            "tests/test_watch.py",
        ),
        (
            Goal(watch.CALLS, "calls", least=300),
            Goal(watch.NO_DEADLINE, "calls without a deadline", exactly=0),
            Goal(watch.PAYLOAD, "calls for a payload", exactly=0),
            Goal(watch.WRITE, "calls that write", exactly=0),
            FAILED,
        ),
        "tests/test_watch.py::test_control_calls_that_must_not_be",
    ),
    Campaign(
        "nasty",
        "A hostile input is refused by name or audited whole, within bounds, and acts nowhere.",
        "Every file of the corpus, those that our own formats suggest, and what no file can hold: devices,"
        " pipes, links, bombs. Two CPU seconds and 512 MiB for each.",
        ("tests.nasty_campaign",),
        (
            Goal("inputs", "inputs that end as their row says", least=250),
            Goal("refused_or_flagged", "of these, refused or flagged", least=150),
            Goal("leaks", "values that showed", exactly=0),
            Goal("slowest_cpu_seconds", "CPU seconds of the slowest", most=2),
            Goal("most_memory_mib", "MiB of the largest", most=512),
        ),
        "tests/test_hostile.py::test_careless_tool_is_found",
    ),
    Campaign(
        "fuzz",
        "No bytes break an importer, the policy or a page.",
        "A guided search, which follows what new ways its mutations take through the program. Bytes are"
        " imported or refused in one line; a name in a page makes no markup.",
        ("tests.fuzz", "--runs=1000000"),
        (
            Goal("yaml_importer_executions", "executions of the YAML importer", least=1_000_000),
            Goal("json_importer_executions", "of the JSON importer", least=1_000_000),
            Goal("policy_executions", "of the policy", least=1_000_000),
            Goal("markdown_executions", "of the Markdown of names", least=1_000_000),
            Goal("crashes", "inputs that broke a law", exactly=0),
            Goal("timeouts", "inputs that hung", exactly=0),
        ),
        "tests/test_fuzz.py::test_search_finds_what_is_broken",
    ),
    Campaign(
        "leakage",
        "No value shows anywhere.",
        "A value of its own in every place that can hold one. All that is printed, written, sent or left behind"
        " is searched for each, in every disguise, where things go well, where they go wrong, and where an"
        " exception that holds the values is raised at a statement that sees them.",
        ("tests.leakage", "--every=15"),
        (
            Goal("canaries", "values", least=65),
            Goal("sinks", "places where they could show", least=20),
            Goal("encodings", "disguises", least=20),
            Goal("failure_paths", "ways to fail", least=30),
            Goal("raised_at_statements", "statements that raised", least=150),
            Goal("leaks", "values that showed", exactly=0),
        ),
        "tests/test_leakage.py::test_control_program_that_leaks",
    ),
    Campaign(
        "broken-gate",
        "A gate that is broken blocks.",
        "A gate that ends with 0 is broken in every way that it can be, and killed at random moments and at"
        " statements all over the program.",
        ("tests.broken_gate",),
        (
            Goal("ways", "ways to break it", least=30),
            Goal("runs", "runs", least=300),
            Goal("passed", "broken gates that did not block as they must", exactly=0),
        ),
        "tests/test_broken_gate.py::test_control_gate_that_tolerates_blindness",
    ),
    Campaign(
        "mutants",
        "A fault in what judges, seals, reads or keeps is noticed by a test.",
        "Faults are made one at a time, and tried with the tests that reach them ([more](mutation.md)).",
        ("tests.mutants",),
        (
            Goal("faults", "faults", least=1_000),
            Goal("noticed_percent", "noticed by a test, in percent", least=90),
            Goal("neither", "neither noticed nor explained", exactly=0),
        ),
        "tests/test_mutants.py::test_control_tests_that_look_at_nothing",
    ),
    Campaign(
        "crash",
        "A crash never leaves half a file.",
        "Writers are killed at random moments, and their system calls fail one after the other"
        " ([more](crash-safety.md)).",
        ("tests.crash", "--kills=2000"),
        (
            Goal("kills", "kills", least=2_000),
            Goal("failed_calls", "system calls that failed", least=200),
            Goal("torn_lost_or_left", "files torn, lost or left behind", exactly=0),
        ),
        "tests/test_crash.py::test_control_broken_writers_are_found",
    ),
    Campaign(
        "promotion",
        "Two promotions at once never lose one, and a baseline that was touched is refused.",
        "Eight processes promote twenty times each; every byte of a baseline is changed in three ways.",
        ("pytest", "-q", "tests/test_promotion.py"),
        (
            Goal(watch.PROMOTIONS, "promotions kept or refused by name, of 160", exactly=160),
            Goal(watch.FLIPS, "changed bytes that were refused", least=1_000),
            FAILED,
        ),
        "tests/test_promotion.py::test_control_writers_that_do_not_look_lose_promotions",
    ),
    Campaign(
        "same-bytes",
        "The same input gives the same bytes.",
        "Hash seeds, time zones, locales, umasks, folders, and the order of pages and files are shuffled.",
        ("pytest", "-q", "tests/test_determinism.py"),
        (Goal(watch.SAME, "runs with one sha256 for each format", least=30), FAILED),
        "tests/test_determinism.py::test_control_format_that_leaks_its_order",
    ),
    Campaign(
        "pythons",
        "Every supported Python gives the same bytes.",
        "Each has an environment of its own with what is pinned, and runs the same commands: the demo, a world"
        " that is played to it, files of several services in every format, real manifests and hostile inputs.",
        ("tests.pythons",),
        (
            Goal("pythons", "versions of Python", least=3),
            Goal("outputs", "outputs of each", least=1_000),
            Goal("different", "that are not the same under all", exactly=0),
        ),
        "tests/test_pythons.py::test_control_tool_that_tells_its_python",
    ),
    Campaign(
        "formats",
        "Every format says the same.",
        "Verdict, counts, exit code and what was not seen are read back from each format of reports that"
        " are made up at random.",
        ("pytest", "-q", "-k", "say_the_same or readers_notice", "tests/test_renderer.py"),
        (Goal(watch.WORLDS, "reports", least=500), FAILED),
        "tests/test_renderer.py::test_readers_notice_what_is_lost",
    ),
    Campaign(
        "verdict",
        "Clean is never said of something that was not seen.",
        "Every combination of what can fall short, and of what decides the exit code.",
        ("pytest", "-q", "tests/test_coverage.py", "tests/test_report.py"),
        (Goal(watch.COMBINATIONS, "combinations, all of those there are", exactly=512), FAILED),
        "tests/test_coverage.py::test_report_that_was_edited_to_say_clean",
    ),
)
"""Every campaign, in the order of the page."""


def run(campaign: Campaign) -> dict[str, Any]:
    """Run one; what it came to, as docs/proof.json keeps it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        made = _tests if campaign.command[0] == "pytest" else _module
        came = made(campaign, Path(folder))
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "seconds": round(time.monotonic() - began),
        **came,
    }


def _module(campaign: Campaign, folder: Path) -> dict[str, Any]:
    """A module of the tests, which prints its figures, some by module of the program as well."""
    done = _done(campaign.command, folder, stdout=subprocess.PIPE)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return _nothing(f"it ended with {done.returncode} and told no figures")
    return {name: found[name] for name in ("figures", "problems", "modules") if name in found}


def _nothing(problem: str) -> dict[str, Any]:
    return {"figures": {}, "problems": [problem]}


def _tests(campaign: Campaign, folder: Path) -> dict[str, Any]:
    """Ordinary tests: what they counted, and those that failed. One that was skipped proves nothing."""
    results, counted = folder / "tests.xml", folder / "figures.json"
    more = (f"--junitxml={results}", f"--figures={counted}", "-n", str(os.cpu_count() or 1))
    _done((*campaign.command, *more), folder)
    if not (results.exists() and counted.exists()):
        return _nothing("its tests did not run")
    cases = list(ET.parse(results).getroot().iter("testcase"))
    if not cases:
        return _nothing("there were no tests")
    wrong = {
        f"{case.get('classname')}.{case.get('name')}: {word}"
        for case in cases
        for word in ("failure", "error", "skipped")
        if case.find(word) is not None
    }
    figures = {**json.loads(counted.read_text()), "tests": len(cases), "failed": len(wrong)}
    return {"figures": figures, "problems": sorted(wrong)}


def _done(command: Sequence[str], folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TMPDIR": str(folder)}
    whole = [sys.executable, "-m", *command]
    return subprocess.run(whole, cwd=ROOT, env=env, text=True, check=False, **more)


def number(value: float) -> str:
    """A figure as a reader writes it."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


_HEAD = """\
What drift-audit promises, how each promise is tried, and what came of it. Every figure is written by the
command beside it; `make proof` runs all of them. A campaign whose check cannot fail proves nothing, so each
has a control: something broken on purpose, which a test of every commit puts in the place of the real thing,
and which must be noticed. The tests of every commit also run a short form of each campaign.

None of it has been tried against Google Cloud itself: the API is a local server that speaks its protocol."""


def page(
    results: Mapping[str, Any],
    reasons: Mapping[str, str],
    campaigns: Sequence[Campaign] = CAMPAIGNS,
) -> str:
    """The page: what falls short and, as far as somebody gave `reasons`, why; then every promise."""
    lines = ["# Proof", "", _HEAD, "", "## What falls short", ""]
    lines += [*_short(results, campaigns, reasons), ""]
    lines += ["## Promises", ""]
    for campaign in campaigns:
        lines += _promise(campaign, results.get(campaign.name))
    return "\n".join(lines)


def _short(
    results: Mapping[str, Any], campaigns: Sequence[Campaign], reasons: Mapping[str, str]
) -> Iterator[str]:
    found = False
    for campaign in campaigns:
        if told := list(_shortfalls(campaign, results.get(campaign.name))):
            found = True
            why = " ".join(reasons.get(campaign.name, "").split())
            whole = " ".join(filter(None, (f"- {campaign.promise}", *told, why)))
            yield fill(whole, COLUMNS, subsequent_indent="  ", break_on_hyphens=False)
    if not found:
        yield "Nothing: every figure is at or beyond its goal."


def _shortfalls(campaign: Campaign, result: Mapping[str, Any] | None) -> Iterator[str]:
    if result is None:
        yield "The campaign has not been run."
        return
    for goal in campaign.goals:
        if not goal.met(result["figures"]):
            value = result["figures"].get(goal.figure)
            told = "not counted" if value is None else number(value)
            yield f"{goal.words}: {told} instead of {goal.limit}."
    yield from (f"{shorten(told, MOST, placeholder=' ...')}." for told in result["problems"])


def _promise(campaign: Campaign, result: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"### {campaign.promise.rstrip('.')}"
    yield ""
    yield fill(campaign.how, COLUMNS, break_on_hyphens=False)
    yield ""
    yield "| | measured | goal |"
    yield "| --- | --- | --- |"
    for goal in campaign.goals:
        value = result["figures"].get(goal.figure) if result else None
        yield f"| {goal.words} | {'-' if value is None else number(value)} | {goal.limit} |"
    yield ""
    made = ""
    if result:
        made = f", {result['date']}, Python {result['python']}, {number(result['seconds'])} s"
    yield f"`{campaign.shown}`{made}. Control: `{campaign.control}`."
    yield ""
    if result and (modules := result.get("modules")):
        yield from _by_module(modules)
        yield ""


def _by_module(modules: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The figures of each module of the program."""
    words = list(next(iter(modules.values())))
    yield f"| module | {' | '.join(words)} |"
    yield f"| --- |{' --- |' * len(words)}"
    for module, figures in modules.items():
        told = " | ".join(number(figures[word]) for word in words)
        yield f"| `{module.removeprefix('drift_audit.')}` | {told} |"


def main(names: list[str]) -> int:
    """Run what is asked for, or all of it; write the figures and the page."""
    known = {campaign.name: campaign for campaign in CAMPAIGNS}
    reasons = tomllib.loads(REASONS.read_text())
    if names == ["--page"]:
        PAGE.write_text(page(json.loads(RESULTS.read_text()), reasons))
        return 0
    if unknown := [name for name in names if name not in known]:
        print(f"no such campaign: {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    short = []
    for name in names or known:
        print(f"{name}: {known[name].shown}", flush=True)
        results[name] = run(known[name])
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        PAGE.write_text(page(results, reasons))
        short += [f"{name}: {told}" for told in _shortfalls(known[name], results[name])]
    print(*short, sep="\n")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
