"""
`python -m tests.raising [--every N] [--seed N] [--control]`: an exception at each statement that sees values.

The collector, the sealing of values and the comparison are run by the real command over a world full of
values (`tests/planted.py`): live, from files, as a snapshot, before a deploy. What they execute is written
down, and then the same command is run once for each of those statements, which raises the first time that
it is reached. The exceptions take turns, and each holds every value that there is. Whatever the run makes
of it, no value may show anywhere, nothing may be torn, and it ends as without the exception only where it
tells the very same; so a drift is never told as clean. Statements outside of functions run while modules
are imported, and are tried in processes that have imported nothing of the program yet.

The figures are printed as JSON; the exit code is 1 where a run did otherwise.
"""

from __future__ import annotations

import argparse
import ast
import errno
import json
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pydantic
from google.api_core import exceptions as google

from drift_audit.cli import notice
from tests import forked, planted
from tests.canary import files_below
from tests.command import environment
from tests.planted import SCOPE, Lookout, Planted

PACKAGE = Path(__file__).parents[1] / "drift_audit"
FILES = (*sorted((PACKAGE / "collector").glob("*.py")), PACKAGE / "seal.py", PACKAGE / "differ.py")

Statement = tuple[str, int]
"""A file and the line that a statement begins at."""


@dataclass(frozen=True)
class Scenario:
    """
    A command that is run: whether it talks to an emulator, of which region, and where it has the key
    from. One that is `fresh` imports the program anew.
    """

    words: str
    live: bool = False
    everywhere: bool = False
    key_in_secret: bool = False
    fresh: bool = False

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        where = SCOPE[:1] if self.everywhere else SCOPE if self.live else ()
        return [*self.words.split(), *where]


SCENARIOS = (
    Scenario("compare before.json after.json --no-config -o r.json"),
    Scenario("audit --input=revisions.json --no-config --without-literals -o r.json"),
    Scenario("snapshot --input=revisions.json --input=v2.json --project=shop -o s.json"),
    Scenario("compare SERVING plan.json --no-config -o r.json", live=True),
    Scenario("audit --no-config --check-access --store=store -o r.json", live=True),
    Scenario("audit --no-config --full --read-limits --reveal=LEVEL2 -o r.json", live=True),
    Scenario("snapshot -o s.json", live=True),
    Scenario("history api --format=json", live=True),
    Scenario("doctor --no-config --format=json --read-limits", live=True, everywhere=True),
    Scenario("audit --no-config -o r.json", live=True, everywhere=True, key_in_secret=True),
    Scenario("compare ~1 LATEST --no-config -o r.json --service=api", live=True),
    Scenario("audit --input=plan.json --input=v2.json --no-config -o r.json"),
    Scenario("audit --input=folder --no-config -o r.json"),
)
IMPORTING = (
    Scenario("compare before.json after.json --no-config -o r.json", fresh=True),
    Scenario("compare SERVING plan.json --no-config -o r.json", live=True, fresh=True),
    Scenario("audit --no-config --read-limits -o r.json", live=True, fresh=True),
    Scenario("doctor --no-config --format=json", live=True, fresh=True),
)
FEW = (SCENARIOS[0], SCENARIOS[4], IMPORTING[0])
PREVIEW = Scenario(
    "preview --no-config --project=shop --region=europe-west1 --reference=SERVING -o r.json"
    " -- gcloud run services update api --remove-env-vars=LEVEL"
)


# What is raised


def _invalid(text: str) -> Exception:
    try:
        pydantic.TypeAdapter(int).validate_python(text)
    except pydantic.ValidationError as error:
        return error
    raise AssertionError("a text was taken for a number")


EXCEPTIONS: Mapping[str, Callable[[str], BaseException]] = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "UnicodeDecodeError": lambda text: UnicodeDecodeError("utf-8", text.encode(), 0, 1, text),
    "ValidationError": _invalid,
    "RecursionError": RecursionError,
    "JSONDecodeError": lambda text: json.JSONDecodeError(text, text, 0),
    "OSError": lambda text: OSError(errno.EIO, text, text),
    "MemoryError": MemoryError,
    "PermissionDenied": google.PermissionDenied,
    "AssertionError": AssertionError,
    "AttributeError": AttributeError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


@dataclass
class Injector:
    """Raises at one statement, the first time that any thread comes there; line 0 is any of a file."""

    at: Statement
    make: Callable[[str], BaseException]
    values: str
    fired: bool = False

    def install(self) -> None:
        """From now on, in this thread and those to come."""
        threading.settrace(self.enter)
        sys.settrace(self.enter)

    def enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        """What the interpreter calls for each call of a function."""
        if not self.fired and frame.f_code.co_filename == self.at[0]:
            return self.line
        return None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        """What it calls for each line of one that may hold the statement."""
        if event == "line" and self.at[1] in (0, frame.f_lineno) and not self.fired:
            self.fired = True
            raise self.make(f"{_shown(frame.f_locals)} {self.values}")
        return self.line


def _shown(found: object) -> str:
    try:
        return repr(found)
    except Exception:  # noqa: BLE001  # half made objects cannot tell of themselves
        return ""


# What there is


def statements(path: Path) -> dict[int, bool]:
    """The lines at which statements begin, and whether they stand in a function."""
    found: dict[int, bool] = {}

    def walk(node: ast.AST, *, inner: bool) -> None:
        for one in ast.iter_child_nodes(node):
            words = isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
            if isinstance(one, ast.stmt) and not words:
                found[one.lineno] = inner or found.get(one.lineno, False)
            walk(one, inner=inner or isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))

    walk(ast.parse(path.read_text()), inner=False)
    return found


KNOWN = {str(path): statements(path) for path in FILES}


@dataclass
class Bench:
    """Where the runs happen: a folder as each of them finds it, and what each would do undisturbed."""

    root: Path
    plant: Planted
    env: dict[str, str]
    look: Lookout
    first: Callable[[], object] = lambda: None
    truths: dict[Scenario, tuple[forked.Ended, dict[str, bytes]]] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder of its own for one run, with the files and nothing else."""
        folder = self.root / "run"
        shutil.copytree(self.root / "files", folder)
        (folder / "store").mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def run(
        self,
        scenario: Scenario,
        first: Callable[[], object],
        run: Callable[..., forked.Ended] = forked.run,
    ) -> tuple[forked.Ended, dict[str, bytes]]:
        """How a scenario ends, and what it wrote."""

        def prepared() -> None:
            if scenario.fresh:
                for name in [n for n in sys.modules if n.partition(".")[0] == "drift_audit"]:
                    del sys.modules[name]
            self.first()
            first()

        env = self.env
        if scenario.key_in_secret:
            env = {name: v for name, v in env.items() if name != "DRIFT_AUDIT_SEAL_KEY"}
            env["DRIFT_AUDIT_SEAL_KEY_SECRET"] = "projects/shop/secrets/seal-key/versions/1"
        with self.folder() as folder:
            before = files_below(folder)
            ended = run(scenario.arguments, folder, env, first=prepared)
            after = files_below(folder).items()
            return ended, {name: data for name, data in after if before.get(name) != data}

    def learn(self, scenario: Scenario) -> set[Statement]:
        """What a scenario executes, after what it tells was learned without a trace."""
        if not scenario.fresh:
            self.run(scenario, lambda: None, run=forked.warm)
        self.truths[scenario] = self.run(scenario, lambda: None)
        ended, written = self.truths[scenario]
        assert ended.code in (0, 10, 3), (scenario, ended)
        if found := self.look.found(b"\n".join([ended.out, ended.err, *written.values()])):
            self.problems.append(f"{scenario.words}, undisturbed: {found[0]}")
        listed = self.root / "executed"
        self.run(scenario, partial(_record, listed))
        return {(file, line) for file, line in json.loads(listed.read_text())}

    def try_out(self, scenario: Scenario, at: Statement, name: str) -> None:
        """Raise one exception at one statement, and judge what comes of it."""
        values = " ".join(self.plant.values.values())
        injector = Injector(at, EXCEPTIONS[name], values)
        fired = self.root / "fired"
        fired.unlink(missing_ok=True)

        def first() -> None:
            was = injector.make

            def make(text: str) -> BaseException:
                fired.touch()
                return was(text)

            injector.make = make
            injector.install()

        ended, written = self.run(scenario, first)
        place = f"{Path(at[0]).relative_to(PACKAGE)}:{at[1]} {name}, {scenario.words}"
        self.figures["runs"] += 1
        self.figures["raised"] += fired.exists()
        self.figures[f"exit_{ended.code}"] += 1
        for wrong in self.judge(scenario, ended, written, raised=fired.exists()):
            self.problems.append(f"{place}: {wrong}")

    def judge(
        self,
        scenario: Scenario,
        ended: forked.Ended,
        written: Mapping[str, bytes],
        *,
        raised: bool,
    ) -> Iterator[str]:
        """What is wrong with how a run ended."""
        truth, true = self.truths[scenario]
        if found := self.look.found(b"\n".join([ended.out, ended.err, *written.values()])):
            yield f"a value shows: {found[0]}"
        same = (ended.out, dict(written)) == (truth.out, true)
        if ended.code == truth.code and not same:
            yield f"exit {ended.code}, and what it tells is not what is so"
        if ended.code not in (truth.code, 2, 3, 4, 5, 70, 130):
            yield f"exit {ended.code}"
        for name, data in written.items():
            yield from _torn(name, data, ended.code)


def _torn(name: str, data: bytes, code: int) -> Iterator[str]:
    """What is wrong with a file that was written: torn, or clean where nothing is."""
    if not name.endswith(".json"):
        return
    try:
        told = json.loads(data.partition(b"\n")[2])
    except ValueError:
        yield f"{name} is torn"
        return
    if isinstance(told, dict) and told.get("verdict") == "clean" and code != 0:
        yield f"{name} says clean, and the run ended with {code}"


def _record(listed: Path) -> None:
    """Write down at the end which statements were executed."""
    seen: set[Statement] = set()

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename in KNOWN else None

    def end() -> None:
        sys.settrace(None)
        listed.write_text(json.dumps([s for s in seen if s[1] in KNOWN[s[0]]]))

    forked.at_end(end)
    threading.settrace(enter)
    sys.settrace(enter)


# The campaign


@contextmanager
def benched(seed: int, first: Callable[[], object] = lambda: None) -> Iterator[Bench]:
    """A bench, with the emulator that its runs talk to."""
    plant = Planted(seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "files").mkdir()
        planted.write(root / "files", plant)
        planted.known(plant)
        with forked.child(partial(planted.playing, plant), forked.reached) as other:
            env = {**environment(root / "home"), **forked.pointing(other.said)}
            env["DRIFT_AUDIT_SEAL_KEY"] = plant.key()
            yield Bench(root, plant, env, Lookout(plant.values), first)


def campaign(bench: Bench, every: int, seed: int, *, few: bool = False) -> None:
    """Every so many statements, each with the exception whose turn it is; of a `few` commands alone."""
    where: dict[Statement, Scenario] = {}
    preview = [PREVIEW] if every == 1 and shutil.which("gcloud") else []
    scenarios = (*SCENARIOS, *preview, *IMPORTING)
    for scenario in FEW if few else scenarios:
        for at in bench.learn(scenario):
            if KNOWN[at[0]][at[1]] != scenario.fresh:
                where.setdefault(at, scenario)
    known = [inner for file in KNOWN.values() for inner in file.values()]
    bench.figures |= Counter({"statements": len(known), "reached": len(where)})
    inner = sum(KNOWN[file][line] for file, line in where)
    bench.figures |= Counter({"in_functions": sum(known), "reached_in_functions": inner})
    names = list(EXCEPTIONS)
    for number, at in enumerate(sorted(where)):
        if number % every == seed % every:
            bench.try_out(where[at], at, names[(number // every + seed) % len(names)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.raising")
    parser.add_argument("--every", type=int, default=1, help="every so many statements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="a program that tells what it met")
    given = parser.parse_args(arguments)
    with benched(given.seed, _talkative if given.control else lambda: None) as bench:
        campaign(bench, given.every, given.seed)
    print(json.dumps({"figures": dict(bench.figures), "problems": bench.problems}, indent=1))
    return 1 if bench.problems else 0


def _talkative() -> None:
    """The control: a program that says of a defect what the exception says."""

    def defect(message: str, error: BaseException, *, hint: str = "") -> None:
        notice.failed(message, str(error), hint=hint)

    notice.defect = defect


if __name__ == "__main__":
    sys.exit(main())
