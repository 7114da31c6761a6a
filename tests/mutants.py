"""
`python -m tests.mutants [--again] [--control] [--at-once N] [NAME...]`: faults in the core that no
test notices, one by one.

mutmut makes them and runs the tests that reach each. `[tool.mutmut]` in pyproject.toml says how, and
its `groups` say where and with which tests. It leaves decorated functions alone, and every rule is
one, so it is given a copy in which `@d def f` is written as `def f` and `f = d(f)`: the same program.
Every group has a copy of its own. What survives is what `tests/survivors.yaml` lists with a reason,
no more and no less. Names are those of groups, modules or functions, the last two with globs;
without any, everything is tried. `--again` is for whoever writes cases: what was killed in a function
that is as it was stays killed, and the rest is tried once more. With `--control` sealing is tried
with tests that look at nothing, which must be found.

The figures are printed as JSON, and all else goes to standard error; the exit code is 1 where there
are problems.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import libcst as cst
import yaml

ROOT = Path(__file__).parents[1]
COPIES = ROOT / ".mutants"
COPIED = "drift_audit tests docs templates baselines pyproject.toml README.md CHANGELOG.md".split()
SURVIVORS = Path(__file__).with_name("survivors.yaml")
MUTMUT = Path(sys.executable).with_name("mutmut")
LEAST = 0.9
"""The share of mutants that the tests of a module must kill."""

WEAK = """
from drift_audit.seal import Sealer, SealKey
from drift_audit.snapshot import Address

def test_weak():
    Sealer(SealKey(b"k" * 32, lasting=True), reveal=["*"]).seal(Address(key="A"), "value")
"""
"""A test that runs what it is given, and looks at nothing."""

KILLED = frozenset({"killed", "timeout"})
STALE = frozenset({"survived", "timeout", "no tests"})
"""What another test, or a machine with less to do, may change."""

SAME_ANYWAY = frozenset({"staticmethod", "classmethod"})
"""Decorators that mutmut knows."""

COMMANDS = """
import json, sys
from mutmut.__main__ import cli
for command in json.loads(sys.argv[1]):
    cli.main(command, standalone_mode=False)
"""

_SHOWN = re.compile(r"\n# (?=\S+__mutmut_\d+: )")
_NAME = re.compile(r"(?P<module>.+)\.x(?:ǁ(?P<owner>\w+)ǁ|_)(?P<function>\w+)__mutmut_\d+")


@dataclass(frozen=True, order=True)
class Mutation:
    """A fault by what stands in the source before and after, which outlives its number."""

    module: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.module} {self.function}\n    - {self.before}\n    + {self.after}"


class Undecorated(cst.CSTTransformer):
    """Takes decorators off functions and calls them in the next line, as the language says."""

    def leave_FunctionDef(  # noqa: N802  # the library's name
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        """The function, and the line that decorates it."""
        decorators = [d.decorator for d in updated_node.decorators]
        if not decorators or getattr(decorators[0], "value", None) in SAME_ANYWAY:
            return updated_node
        decorated: cst.BaseExpression = updated_node.name
        for decorator in reversed(decorators):
            decorated = cst.Call(decorator, [cst.Arg(decorated)])
        line = cst.SimpleStatementLine(
            [cst.Assign([cst.AssignTarget(updated_node.name)], decorated)]
        )
        return cst.FlattenSentinel([updated_node.with_changes(decorators=[]), line])


def undecorated(source: str) -> str:
    """The same module without decorators of functions."""
    return cst.parse_module(source).visit(Undecorated()).code


@dataclass(frozen=True)
class Group:
    """Modules of one kind, as globs of paths, and the tests that are to notice faults in them."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def copy(self) -> Path:
        """Where the project stands as mutmut is to see it."""
        return COPIES / self.name

    @property
    def names(self) -> list[str]:
        """The modules as one imports them."""
        paths = (path.relative_to(ROOT) for glob in self.modules for path in ROOT.glob(glob))
        return [".".join(path.with_suffix("").parts) for path in paths]

    def globs(self, asked: Sequence[str]) -> list[str] | None:
        """What of the group was asked for: globs of mutants, none for all, None for nothing."""
        if not asked or self.name in asked:
            return []
        found = [f"{a}*" for a in asked if any(_meets(a, module) for module in self.names)]
        return found or None


def _meets(asked: str, module: str) -> bool:
    """Whether a name is that of a module, of something in it, or of what it is in."""
    return asked.startswith(f"{module}.") or fnmatchcase(module, f"{asked}*")


CONTROL = Group("control", ("drift_audit/seal.py",), ("tests/test_weak.py",))
CONTROLLED = "drift_audit.seal.x__printable*"


def groups() -> list[Group]:
    """All groups, as pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    return [
        Group(one["name"], tuple(one["modules"]), tuple(one["tests"])) for one in settings["groups"]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for, hold what survived against the list, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups, modules or functions")
    parser.add_argument("--again", action="store_true", help="try only what was not killed")
    parser.add_argument("--control", action="store_true", help="tests that look at nothing")
    parser.add_argument("--at-once", type=int, default=2, help="mutants that are tried at a time")
    given = parser.parse_args(arguments)
    if given.control:
        tried = {CONTROL: [CONTROLLED]}
    else:
        tried = {g: globs for g in groups() if (globs := g.globs(given.names)) is not None}
    found: dict[str, str] = {}
    survived: list[Mutation] = []
    for group, globs in tried.items():
        run(group, globs, again=given.again, at_once=given.at_once)
        results = of_group(group, globs)
        found |= results
        survived += shown(group, [n for n, status in results.items() if status not in KILLED])
    modules = {place(name)[0] for name in found}
    known = [one for one in listed() if one.module in modules]
    whole = not any(tried.values())
    told = [*figures(found), *complaints(found, survived, known, whole=whole)]
    print("", *told, sep="\n", file=sys.stderr)
    problems = [line for line in told if not line.startswith(" ")]
    print(json.dumps(counted(found, survived, known) | {"problems": problems}, indent=1))
    return int(bool(problems))


def run(group: Group, globs: Sequence[str], *, again: bool, at_once: int) -> None:
    """Make the copy of a group, and let mutmut try what was asked for."""
    copy(group, keep=again)
    alive = [n for n, status in of_group(group, []).items() if status in STALE] if again else []
    for names in ([], alive) if alive else (globs,):
        command = [str(MUTMUT), "run", f"--max-children={at_once}", *names]
        ran = subprocess.run(
            command, cwd=group.copy, check=False, stdout=sys.stderr, env=environment()
        )
        if ran.returncode:
            sys.exit(f"mutmut failed on the group {group.name}")


def of_group(group: Group, globs: Sequence[str]) -> dict[str, str]:
    """The mutants of a group that were asked for, with their statuses."""
    found = read(mutmut(group, ("results", "--all", "true")))
    return {n: s for n, s in found if not globs or any(fnmatchcase(n, glob) for glob in globs)}


def copy(group: Group, *, keep: bool) -> None:
    """
    The project as mutmut is to see it, with or without the mutants of the last time; which tests
    reach what is always found out anew.
    """
    for name in COPIED if keep else [""]:
        shutil.rmtree(group.copy / name, ignore_errors=True)
    (group.copy / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    group.copy.mkdir(exist_ok=True, parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, group.copy / name, ignore=ignored)
        else:
            shutil.copy(source, group.copy / name)
    settings = group.copy / "pyproject.toml"
    settings.write_text(configured(settings.read_text(), group))
    if group is CONTROL:
        (group.copy / "tests" / "test_weak.py").write_text(WEAK)
    for path in (path for glob in group.modules for path in group.copy.glob(glob)):
        path.write_text(undecorated(path.read_text()))


def configured(settings: str, group: Group) -> str:
    """The settings of the project, with what mutmut reads of a group among its own."""
    here = {"only_mutate": group.modules, "pytest_add_cli_args_test_selection": group.tests}
    lines = [f"{name} = {json.dumps(value)}" for name, value in here.items()]  # lists are TOML too
    return settings.replace("[tool.mutmut]\n", "\n".join(["[tool.mutmut]", *lines, ""]), 1)


def mutmut(group: Group, *commands: Sequence[str]) -> str:
    """What commands of mutmut print, one after the other in one process: it takes long to start."""
    told = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    ran = subprocess.run(
        told, cwd=group.copy, check=True, capture_output=True, text=True, env=environment()
    )
    return ran.stdout


def shown(group: Group, names: Iterable[str]) -> list[Mutation]:
    """Mutants by what they change, in the order of their names."""
    told = mutmut(group, *(("show", name) for name in sorted(names)))
    diffs = [part.partition("\n")[2] for part in _SHOWN.split(f"\n{told}")[1:]]
    return [mutation(name, diff) for name, diff in zip(sorted(names), diffs, strict=True)]


def environment() -> dict[str, str]:
    """What mutmut runs in: nobody measures the coverage of a copy."""
    return {name: v for name, v in os.environ.items() if not name.startswith("COVERAGE")}


def read(results: str) -> Iterator[tuple[str, str]]:
    """Name and status of every mutant."""
    for line in results.splitlines():
        name, _, status = line.strip().partition(": ")
        if status:
            yield name, status


def place(name: str) -> tuple[str, str]:
    """Module and function of a mutant."""
    found = _NAME.fullmatch(name)
    assert found, name
    owner = f"{found['owner']}." if found["owner"] else ""
    return found["module"], owner + found["function"]


def mutation(name: str, diff: str) -> Mutation:
    """A mutant by the lines that it changes."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (
        " ".join(" ".join(line[1:].split()) for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    return Mutation(*place(name), before, after)


def listed() -> list[Mutation]:
    """The survivors that are known, each of which has a reason in the list."""
    document: list[dict[str, Any]] = yaml.safe_load(SURVIVORS.read_text())
    return [
        Mutation(entry["module"], entry["function"], change["before"], change["after"])
        for entry in document
        for change in entry["changes"]
    ]


def figures(results: dict[str, str]) -> Iterator[str]:
    """How many mutants of each module the tests kill; below the least it is no mere figure."""
    made = Counter(place(name)[0] for name in results)
    killed = Counter(place(name)[0] for name, status in results.items() if status in KILLED)
    for module in (*sorted(made), ""):
        there = made[module] if module else made.total()
        dead = killed[module] if module else killed.total()
        mark = " " if there and dead >= LEAST * there else "too few: "
        share = 100 * dead / there if there else 0
        yield f"{mark} {dead:5} of {there:5} killed, {share:5.1f} %  {module or 'in all'}"


def counted(
    results: dict[str, str], found: Iterable[Mutation], known: Iterable[Mutation]
) -> dict[str, Any]:
    """The same as plain counts, with how many survivors are explained, in all and by module."""
    made = Counter(place(name)[0] for name in results)
    killed = Counter(place(name)[0] for name, status in results.items() if status in KILLED)
    explained = Counter(one.module for one in (Counter(found) & Counter(known)).elements())
    counts = {"faults": made, "noticed": killed, "explained": explained}
    totals = {word: count.total() for word, count in counts.items()}
    modules = {module: {w: count[module] for w, count in counts.items()} for module in sorted(made)}
    faults, noticed = made.total(), killed.total()
    shares = {
        "noticed_percent": round(100 * noticed / faults, 1) if faults else 0,
        "neither": faults - noticed - explained.total(),
    }
    return {"figures": {"modules": len(made), **totals, **shares}, "modules": modules}


def complaints(
    results: dict[str, str], found: Iterable[Mutation], known: Iterable[Mutation], *, whole: bool
) -> Iterator[str]:
    """Where the list and what survived do not agree; what was not tried is no agreement."""
    survived, expected = Counter(found), Counter(known)
    if untried := sum(status == "not checked" for status in results.values()):
        yield f"{untried} mutants were not tried"
    yield from (f"survived, and is not listed: {one}" for one in sorted(survived - expected))
    if whole:
        yield from (f"listed, and did not survive: {one}" for one in sorted(expected - survived))


if __name__ == "__main__":
    sys.exit(main())
