"""
Hostile inputs as cases: a file in its place in a folder, the command that meets it, and what must come of it.

They come from three places: the corpus that the promises speak of (`tests/nasty/manifest.json`), those that
the shapes of this program suggest (`tests/nasty/own/manifest.json`, the same columns and three more: `place`,
`run`, `says`), and those that are too large or too odd to store, which are made here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drift_audit.renderer import FORMATS
from tests.canary import leaks, unpacked
from tests.command import SEALED, Ran, ended, environment
from tests.manifests import service
from tests.test_nasty import POLICY
from tests.warm import CPU_SECONDS, MEMORY

CORPUS = Path(__file__).parent / "nasty"
OWN = CORPUS / "own"
BESIDE = "service.json"
"""An ordinary service, which lies in every folder."""

BESIDE_CANARY = "cnry-own-7f3a9c51e2"
KEY_FILE = "seal.key"
POLICY_FILE = "policy.toml"

CODES = {
    "accept": {0, 10},
    "accept-or-reject-names": {0, 4, 10},
    "drift": {10},
    "incomplete": {3},
    "output": {5},
    "reject": {4},
    "reject-or-audit-all": {0, 4, 10},
    "usage": {2},
}
"""The exit codes that each word allows; `usage` is a command line or a policy that is wrong."""


@dataclass(frozen=True)
class Measured:
    """How a run ended, its CPU seconds, and the most memory it held, in bytes."""

    ran: Ran
    seconds: float
    memory: int


Run = Callable[..., Measured]
"""Runs a command in a folder with an environment."""


def measured(*arguments: str, cwd: Path, env: dict[str, str], fresh: bool = False) -> Measured:
    """The real command, within its limits; `fresh` starts a process for it."""
    done = ended(arguments, cwd, env, limited=True, fresh=fresh)
    return Measured(Ran.of(done), done.seconds, done.memory)


@dataclass(frozen=True)
class Case:
    """
    One input. `make` puts it into a folder, `run` is the command; `says` is what standard error must
    hold, `tells` standard output, `findings` the rules that must speak, by their own ids.
    """

    id: str
    expect: str
    run: tuple[str, ...]
    make: Callable[[Path], None]
    says: str = ""
    tells: str = ""
    canaries: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    made: frozenset[str] = frozenset()

    @property
    def codes(self) -> set[int]:
        """The exit codes that are right."""
        return set().union(*(CODES[word] for word in self.expect.split("|")))


@dataclass(frozen=True)
class Outcome:
    """What a case came to: what is wrong with it, and whether it was refused or flagged."""

    problems: list[str]
    leaks: int
    flagged: bool
    measured: Measured


def judge(case: Case, folder: Path, run: Run) -> Outcome:
    """Run a case in a folder of its own."""
    shutil.copy(OWN / BESIDE, folder / BESIDE)
    case.make(folder)
    env = environment(folder, _key(folder), measured=False)
    done = run(*case.run, cwd=folder, env=env)
    code, err = done.ran.code, done.ran.err
    written = _written(folder, case)
    shown = written + _bytes(done.ran.block)
    found = leaks(shown, [*case.canaries, BESIDE_CANARY])
    wrong = [f"ended with {code}, and not as {case.expect}"] if code not in case.codes else []
    wrong += [f"does not say {case.says}"] if not re.search(case.says, err) else []
    wrong += [f"does not tell {case.tells}"] if not re.search(case.tells, done.ran.out) else []
    wrong += [f"a value as {form}" for form in found]
    wrong += ["a traceback"] if "Traceback" in err or code in (1, 70) else []
    wrong += ["the payload as it was written" for raw in case.inert if _bytes(raw) in shown]
    wrong += [f"{done.seconds:.1f} CPU seconds"] if done.seconds > CPU_SECONDS else []
    wrong += ["too much memory"] if done.memory > MEMORY else []
    wrong += [f"{rule} does not speak" for rule in case.findings if rule not in done.ran.out]
    flagged = code in (2, 3, 4, 5, 10) or bool(case.findings)
    return Outcome([f"{case.id}: {what}" for what in wrong], len(found), flagged, done)


def _key(folder: Path) -> Mapping[str, str]:
    """The key in the environment, or in the file that the case is about."""
    file = folder / KEY_FILE
    if not file.exists():
        return SEALED
    file.chmod(0o600)
    return {"DRIFT_AUDIT_SEAL_KEY_FILE": KEY_FILE}


def _written(folder: Path, case: Case) -> bytes:
    """What the command wrote, names included."""
    written = (p for p in sorted(folder.rglob("*")) if str(p.relative_to(folder)) not in case.made)
    return b"\n".join(
        p.name.encode() + b"\n" + unpacked(p.name, p.read_bytes()) for p in written if p.is_file()
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def stored() -> list[Case]:
    """Our own cases."""
    cases = json.loads((OWN / "manifest.json").read_text())["cases"]
    return [
        Case(
            id=case["id"],
            expect=case["expect"],
            run=tuple(word.replace("{file}", case["place"]) for word in case["run"]),
            make=partial(_copy, OWN / case["file"], case["place"]),
            says=case["says"],
            canaries=tuple(case["canaries"]),
            inert=tuple(case["inert_raw"]),
            findings=tuple(case["findings"]),
            made=frozenset({case["place"], BESIDE}),
        )
        for case in cases
    ]


def _copy(file: Path, place: str, folder: Path) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, folder / place)


def corpus() -> Iterator[Case]:
    """The corpus of the promises, each case audited into every format, each pair compared."""
    cases = json.loads((CORPUS / "manifest.json").read_text())["cases"]
    outputs = [f"--output={format}=report.{format}" for format in FORMATS]
    for i, case in enumerate(cases):
        if case["expect"] == "pair-before":
            continue
        pair = [cases[i - 1], case] if case["pair"] else [case]
        files = [str(CORPUS / one["file"]) for one in pair]
        command = ["compare", *files] if case["pair"] else ["audit", f"--input={files[0]}"]
        yield Case(
            id=case["id"],
            expect="accept" if case["pair"] else case["expect"],
            run=(*command, f"--config={POLICY_FILE}", *outputs),
            make=_with_policy,
            tells={"drift": "result: drift", "no-drift": "result: (?!drift)"}.get(
                case["expect"], ""
            ),
            canaries=tuple(c for one in pair for c in one["canaries"]),
            inert=tuple(raw for one in pair for raw in one["inert_raw"]),
            made=frozenset({BESIDE, POLICY_FILE}),
        )


def _with_policy(folder: Path) -> None:
    (folder / POLICY_FILE).write_text(POLICY)


# What is too large or too odd to store


def generated() -> Iterator[Case]:
    """Large files and deep ones, links, pipes, devices and folders, by the numbers of the corpus."""
    value = {"name": "BIG", "value": "x"}
    for number, size, expect, findings in (
        ("Z01", 32_768, "accept", ()), ("Z02", 32_769, "accept", ("value-odd",)), ("Z03", 2**20, "accept", ("value-odd",)),
    ):  # fmt: skip
        entry = {**value, "value": _filler(size)}
        yield _text(number, json.dumps(service(env=[entry])), expect, findings=findings)
    for number, count, expect, findings in (
        ("Z04", 1_000, "accept", ()), ("Z05", 1_001, "accept", ()), ("Z06", 200_000, "reject", ()),
    ):  # fmt: skip
        yield _text(number, json.dumps(service(env=_entries(count))), expect, findings=findings)
    many = [service(f"s{i}", env=_entries(4)) for i in range(1_000)]
    yield _text("Z07", json.dumps(many), "accept", run=("snapshot", "--output=snap.json"))
    yield _text("Z08", "[" * 10_000 + "]" * 10_000, "reject", says="too-deep")
    yield _text("Z09", '{"a":' * 100_000 + "1" + "}" * 100_000, "reject", says="too-deep")
    yield _text("Z10", "a: " + "[" * 10_000 + "]" * 10_000, "reject", "yaml", says="too-deep")
    block = "".join("  " * i + "a:\n" for i in range(2_000))
    yield _text("Z11", block, "reject", "yaml", says="too-deep|too-big")
    yield _text("Z12", "a: '" + "x" * 50 * 2**20 + "'\n", "reject", "yaml", says="too-big")
    keys = ",".join(f'"k{i}":1' for i in range(1_000_000))
    yield _text("Z13", f"{{{keys}}}", "reject", says="too-big|too-many")
    flow = "a: " + "{a: " * 5_000 + "b" + "}" * 5_000
    yield _text("Z14", flow, "reject", "yaml", says="too-deep")
    yield from _odd_files()


def _odd_files() -> Iterator[Case]:
    yield _odd("Z15", lambda path: path.symlink_to(BESIDE), "link: ")
    yield _odd("Z16", lambda path: path.symlink_to("/dev/zero"), "link: ")
    yield _odd("Z17", lambda path: path.symlink_to(path.name), "link: ")
    yield _odd("Z18", lambda path: path.symlink_to("nowhere"), "link: ")
    yield _odd("Z19", os.mkfifo, "not-a-file")
    yield _odd("Z20", Path.mkdir, "", expect="incomplete|reject|usage")
    yield _odd("Z22", _sparse, "too-big")
    yield Case(
        "Z23",
        "reject",
        ("audit", "--input=/dev/zero"),
        lambda _: None,
        "not-a-file",
        made=frozenset({BESIDE}),
    )
    for number, place, run in (
        ("Z24", "drift-audit.toml", ("audit", f"--input={BESIDE}")),
        ("Z25", "baselines/shop/europe-west1/api.json", ("audit", f"--input={BESIDE}", "--project=shop")),
        ("Z26", "report.json", ("render", "report.json")),
        ("Z27", "required-keys.json", ("schema", "check", "required-keys.json", f"--input={BESIDE}")),
    ):  # fmt: skip
        yield _odd(number, os.mkfifo, "not-a-file", place=place, run=run, expect="reject|usage")
    bomb = "".join(f'[[waiver]]\nrule = "a{i}"\n' for i in range(60_000))
    yield _text("Z28", bomb, "usage", "toml", says="too-big", run=("audit", "--config"))


def _sparse(path: Path) -> None:
    """A file that says it holds eight gigabytes, and holds nothing."""
    path.touch()
    os.truncate(path, 8 * 2**30)


def _filler(size: int) -> str:
    return ("cnry-big-7f3a9c51e2" * (size // 19 + 1))[:size]


def _entries(count: int) -> list[dict[str, str]]:
    return [{"name": f"K{i}", "value": "cnry-big-7f3a9c51e2"} for i in range(count)]


def _text(
    id: str, text: str, expect: str, suffix: str = "json", *, says: str = "", run: Iterable[str] = ("audit",),
    findings: tuple[str, ...] = (),
) -> Case:  # fmt: skip
    name = f"{id}.{suffix}"
    command = (*run, name, f"--input={BESIDE}") if "--config" in run else (*run, f"--input={name}")
    return Case(
        id=id,
        expect=expect,
        run=command,
        make=lambda folder: (folder / name).write_text(text) and None,
        says=says,
        canaries=("cnry-big-7f3a9c51e2",),
        findings=findings,
        made=frozenset({name, BESIDE}),
    )


def _odd(
    id: str, make: Callable[[Path], object], says: str, *, place: str = "", run: tuple[str, ...] = (), expect: str = "reject"
) -> Case:  # fmt: skip
    """A case of something that is no ordinary file."""
    name = place or f"{id}.json"

    def put(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make(folder / name)

    command = run or ("audit", f"--input={name}")
    return Case(id, expect, command, put, says, made=frozenset({name, BESIDE}))
