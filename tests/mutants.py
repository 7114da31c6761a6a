"""
`python -m tests.mutants [--again | NAME...]`: faults in the core that no test notices, one by one.

mutmut makes them and runs the tests that reach each; `[tool.mutmut]` in pyproject.toml says where
and with which. It leaves decorated functions alone, and every rule is one, so it is given a copy in
which `@d def f` is written as `def f` and `f = d(f)`: the same program. What survives is what
`tests/survivors.yaml` lists with a reason, no more and no less. Names are those of modules or
functions, with globs; without any, everything is tried. `--again` is for whoever writes cases: what
was killed in a function that is as it was stays killed, and the rest is tried once more.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import libcst as cst
import yaml

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".mutants"
COPIED = "drift_audit tests docs templates baselines pyproject.toml README.md CHANGELOG.md".split()
SURVIVORS = Path(__file__).with_name("survivors.yaml")
MUTMUT = Path(sys.executable).with_name("mutmut")
AT_ONCE = 2
LEAST = 0.9
"""The share of mutants that the tests of a module must kill."""

KILLED = frozenset({"killed", "timeout"})
STALE = frozenset({"survived", "timeout", "no tests"})
"""What another test, or a machine with less to do, may change."""

SAME_ANYWAY = frozenset({"staticmethod", "classmethod"})
"""Decorators that mutmut knows."""

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


def main(arguments: list[str]) -> int:
    """Make the copy, run mutmut on it, and hold what survived against the list."""
    again, globs = arguments == ["--again"], [f"{n}*" for n in arguments if n != "--again"]
    copy(keep=again)
    alive = [n for n, status in results([]).items() if status in STALE] if again else []
    for names in ([], alive) if alive else (globs,):
        command = [str(MUTMUT), "run", f"--max-children={AT_ONCE}", *names]
        if failed := subprocess.run(command, cwd=COPY, check=False).returncode:
            return failed
    found = results(globs)
    survived = {name for name, status in found.items() if status not in KILLED}
    mutations = [mutation(name, mutmut("show", name)) for name in sorted(survived)]
    modules = {place(name)[0] for name in found}
    known = [one for one in listed() if one.module in modules]
    told = [*figures(found), *complaints(found, mutations, known, whole=not globs)]
    print("", *told, sep="\n")
    return int(any(not line.startswith(" ") for line in told))


def results(globs: list[str]) -> dict[str, str]:
    """The mutants that were asked for, with their statuses."""
    found = read(mutmut("results", "--all", "true"))
    return {n: s for n, s in found if not globs or any(fnmatchcase(n, glob) for glob in globs)}


def copy(*, keep: bool) -> None:
    """
    The project as mutmut is to see it, with or without the mutants of the last time; which tests
    reach what is always found out anew.
    """
    for name in COPIED if keep else [""]:
        shutil.rmtree(COPY / name, ignore_errors=True)
    (COPY / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    COPY.mkdir(exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, COPY / name)
    for path in (COPY / "drift_audit").rglob("*.py"):
        path.write_text(undecorated(path.read_text()))


def mutmut(*arguments: str) -> str:
    """What a command of mutmut prints."""
    command = [str(MUTMUT), *arguments]
    return subprocess.run(command, cwd=COPY, check=True, capture_output=True, text=True).stdout


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
    sys.exit(main(sys.argv[1:]))
