"""
`python -m tests.fuzz [TARGET...] [--runs N] [--seed N] [--control] [--corpus FOLDER]`: a guided search
for bytes that break an importer, the policy or the Markdown of a report.

Each target is a law over bytes (`tests/laws.py`). Atheris mutates the seeds, and follows what new ways
they take through `drift_audit` and PyYAML; most mutations are of lines, or of nodes of a document, so that they
go deeper than a parser. A target runs in a process of its own, with 512 MiB, and is started
again where one input ended it. What breaks a law is kept in .fuzz, once for each place, and told; the search
goes on.

With `--control` something that is broken on purpose takes the place of what is tried, and must be found.
"""

from __future__ import annotations

import argparse
import gc
import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.laws import Law

HERE = Path(__file__).parent
FOUND = HERE.parent / ".fuzz"
TARGETS = ("yaml-importer", "json-importer", "policy", "markdown")

MEMORY = 512
"""MiB that a process of the search may take."""

PATIENCE = 60
"""Wall seconds after which an input counts as one that hangs; what it may take is CPU time."""

LONGEST = 4096
BYTES = 0.2
"""The share of mutations that look at nothing but bytes."""

STARTS = 5
"""How often a target is started again after an input has ended it."""

MISSING = "THERE IS NO ATHERIS FOR THIS MACHINE (make installs it on Linux x86-64): nothing was searched for"


def available() -> bool:
    """Whether there is an atheris for this Python and this machine."""
    from importlib.util import find_spec

    return find_spec("atheris") is not None


def law(target: str, *, control: bool = False) -> Law:
    """The law of a target; with `control`, over something that breaks it."""
    from tests import laws

    if target == "policy":
        return laws.reading_policies(laws.naive_policy) if control else laws.reading_policies()
    if target == "markdown":
        naive = laws.encoding(laws.naive_code, laws.naive_sentence, whole=sys.maxsize)
        return naive if control else laws.encoding()
    return laws.importing(laws.naive_parse) if control else laws.importing()


# Seeds


def seeds(target: str) -> list[bytes]:
    """What the search begins with: the stored corpora, with a canary for a value where it can be."""
    found: list[Path]
    if target == "yaml-importer":
        found = [*_stored("yaml"), *_stored("yml")]
    elif target == "json-importer":
        found = [*_stored("json"), HERE / "golden/snapshot-v1.json", *_plans()]
    elif target == "policy":
        found = [HERE.parent / "templates/drift-audit.toml", *HERE.rglob("*.toml")]
        short = [p.read_bytes() for p in found if p.stat().st_size <= LONGEST]
        return [*short, *_policies()]
    else:
        return [text.encode("utf-8", "surrogatepass") for text in _texts()]
    return [_planted(p.read_bytes()) for p in found if p.stat().st_size <= LONGEST]


def _stored(suffix: str) -> list[Path]:
    folders = (HERE / "nasty", HERE / "real", HERE / "fuzzed")
    files = (p for folder in folders for p in sorted(folder.rglob(f"*.{suffix}")))
    return [p for p in files if p.name != "manifest.json"]


def _plans() -> list[Path]:
    return sorted((HERE / "plans").glob("*.json"))


def _planted(data: bytes) -> bytes:
    return re.sub(rb"(?m)^(\s*value: ).*$", rb"\1cnry-fuzz-7f3a9c51e2", data)


def _policies() -> list[bytes]:
    """The example in the docstring of the policy, whole and by its tables."""
    from drift_audit import policy

    text = re.sub(r"(?m)^    ", "", (policy.__doc__ or "").partition("\n\n")[2])
    tables = re.split(r"\n(?=\[)", text)
    return [one.encode() for one in (text, *tables)]


def _texts() -> list[str]:
    cases = json.loads((HERE / "nasty/manifest.json").read_text())["cases"]
    texts = [raw for case in cases for raw in case["inert_raw"]]
    return [*dict.fromkeys(texts), "api-00001-abc", "JWT_SECRET_KEY is gone from container app"]


# Mutations


class Mutator:
    """Some of the time what libFuzzer does, else something to the lines or nodes of a document."""

    def __init__(self, given: Sequence[bytes], mutate: Any) -> None:
        self._bytes = mutate
        lines = (line for seed in given for line in seed.splitlines())
        self._lines = [*dict.fromkeys(line for line in lines if len(line) < 200)] or [b""]

    def __call__(self, data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < BYTES:
            return bytes(self._bytes(data, most))
        document = _document(data) if data[:1] in (b"{", b"[") else None
        if document is None:
            return b"\n".join(self._other_lines(data.split(b"\n"), chance))[:most]
        for _ in range(chance.randint(1, 3)):
            document = _other_node(document, chance)
        made = json.dumps(document).encode()
        return made if len(made) <= most else bytes(self._bytes(data, most))

    def _other_lines(self, lines: list[bytes], chance: random.Random) -> list[bytes]:
        for _ in range(chance.randint(1, 3)):
            i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
            match chance.randrange(7):
                case 0:
                    lines = [*lines[:i], *lines[i + 1 :]] or [b""]
                case 1:
                    lines.insert(i, lines[j])
                case 2:
                    lines[i], lines[j] = lines[j], lines[i]
                case 3:
                    lines[i] = b" " * chance.randrange(8) + lines[i].lstrip()
                case 4:
                    head, mark, _ = re.match(rb"([^:=]*)([:=]? ?)(.*)", lines[i]).groups()
                    lines[i] = head + mark + chance.choice(ODD)
                case 5:
                    lines.insert(i, chance.choice(self._lines))
                case 6:
                    lines[i] = chance.choice(self._lines)
        return lines


ODD = (
    b"", b"null", b"~", b"[]", b"{}", b"''", b"[1, [2]]", b"{a: {b: c}}", b"true", b"no", b"-1", b"0", b"1e400",
    b"9223372036854775808", b"0x7fffffffffffffff", b".nan", b"12:34:56", b"2026-01-01", b"|-\n  x", b"'cnry-fuzz-7f3a9c51e2'",
    b'"\\ud800"', b'"\\u202e"', b"&a x", b"*a", b"!!binary eA==", b"<<", b"../../x", b"*", b"[*", b"(a+)+$", b"$(X)", b"${X}",
    b"projects/1/secrets/s/versions/latest", b"latest", b"300.5s", b"1000m", b"512Mi", b"99999999999999999Ei", b"0000-00-00T00:00:00Z",
    b"9999-12-31T23:59:59.999999999-23:59", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"a" * 300,
)  # fmt: skip
"""What stands in a field that expects something else."""

ODD_NODES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 1e400, 0.5, "", " ", "x", "\ud800", "\u202e", "cnry-fuzz-7f3a9c51e2", [], {}, [[]], [None], {"a": {}},
    {"name": None}, [{}], "../../x", "latest", "-1", "07", "projects/1/secrets/s/versions/2", "300s", "512Mi", "1e400", "1" * 70, "*", "$(X)",
    "0000-00-00T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "a" * 300,
)  # fmt: skip


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _other_node(document: Any, chance: random.Random) -> Any:
    """A document in which one node is another, is gone, stands twice, or has another name."""
    places = [(None, 0, document), *_places(document)]
    holder, at, node = chance.choice(places)
    new = chance.choice(ODD_NODES) if chance.random() < 0.7 else chance.choice(places)[2]
    if new is not node and isinstance(new, dict | list):
        new = json.loads(json.dumps(new))
    if holder is None:
        return [document] if chance.random() < 0.3 else document
    what = chance.randrange(5)
    if what == 0:
        del holder[at]
    elif what == 1 and isinstance(holder, list):
        holder.append(json.loads(json.dumps(node)))
    elif what == 1:
        keys = [k for one, k, _ in places if isinstance(one, dict)]
        holder[chance.choice(keys)] = holder.pop(at)
    else:
        holder[at] = new
    return document


def _places(node: Any) -> list[tuple[Any, Any, Any]]:
    """Every node below one, with what holds it and where."""
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    found = []
    for at, one in inner:
        found += [(node, at, one), *_places(one)]
    return found


# The process of one target


@dataclass
class Tally:
    """What the search of one target came to."""

    executions: int = 0
    taken: int = 0
    crashes: int = 0
    timeouts: int = 0
    corpus: int = 0
    problems: list[str] = field(default_factory=list)


class Counts:
    """Two counts in a file, which outlive the process that counts."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._at = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")

    def add(self, *, taken: bool) -> None:
        self._at[0] += 1
        self._at[1] += taken

    @property
    def both(self) -> tuple[int, int]:
        return self._at[0], self._at[1]


def _search(target: str, folder: Path, options: Sequence[str], *, control: bool) -> None:
    """Run a target until libFuzzer has enough; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["drift_audit", "yaml"]):
        holds = law(target, control=control)
    counts = Counts(folder / "counts")
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)  # as the command does

    def once(data: bytes) -> None:
        taken = False
        try:
            taken = holds(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
            _keep(folder / "broken", data, error)
        counts.add(taken=taken)

    # atheris.Mutate of 3.0 looks for a search in another copy of libFuzzer than that which runs

    def mutate(data: bytes, most: int) -> bytes:
        return bytes(sys.modules["atheris.core_with_libfuzzer"].Mutate(data, most))

    mutator = Mutator(seeds(target), mutate)
    atheris.Setup([sys.argv[0], *options], once, custom_mutator=mutator)
    atheris.Fuzz()


def _keep(folder: Path, data: bytes, error: Exception) -> None:
    """Write down the shortest input for each kind of fault and place, and where that is."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/tests/fuzz" not in f.filename][-3:]
    places = [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in ours]
    kind = type(error).__name__ + (f": {error}" if kind_is_ours(error) else "")
    told = f"{kind} at {' < '.join(reversed(places))}"
    path = folder / sha256(told.encode()).hexdigest()[:12]
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(told)


def kind_is_ours(error: Exception) -> bool:
    """Whether an error is what a law says, which quotes nothing."""
    return type(error).__name__ == "Broken"


def campaign(
    target: str, folder: Path, runs: int, seed: int = 0, *, control: bool = False
) -> Tally:
    """Search so many inputs of one target; what is found lies in the folder."""
    tally = Tally()
    corpus, first, broken = folder / "corpus", folder / "seeds", folder / "broken"
    for one in (corpus, first, broken):
        one.mkdir(parents=True, exist_ok=True)
    (folder / "counts").unlink(missing_ok=True)
    counts = Counts(folder / "counts")
    given = seeds(target)
    for data in given:
        (first / sha256(data).hexdigest()[:16]).write_bytes(data)
    (folder / "words").write_text("\n".join(_words(given)))
    for start in range(STARTS):
        left = runs - counts.both[0]
        if left <= 0:
            break
        options = [
            f"-runs={left}", f"-seed={seed + start + 1}", f"-timeout={PATIENCE}", f"-rss_limit_mb={MEMORY}",
            f"-max_len={LONGEST}", f"-artifact_prefix={folder}/", f"-dict={folder}/words", "-mutate_depth=3",
            str(corpus), str(first),
        ]  # fmt: skip
        _watched(target, folder, options, tally, control=control)
    tally.executions, tally.taken = counts.both
    kept = sorted(broken.glob("*.txt"))
    tally.crashes += len(kept)
    tally.problems += [f"{target}: {one.read_text()} ({one.stem})" for one in kept]
    if tally.executions < runs:
        tally.problems.append(f"{target}: {tally.executions} of {runs} executions")
    tally.corpus = len([*corpus.iterdir()])
    return tally


def _watched(
    target: str, folder: Path, options: Sequence[str], tally: Tally, *, control: bool
) -> None:
    """Let one process search, and tell of an input that ended it."""
    words = [sys.executable, "-m", "tests.fuzz", "--search", target, "--corpus", str(folder)]
    words += ["--control"] if control else []
    with (folder / "log").open("ab+") as log:
        began = log.tell()
        done = subprocess.run(
            # started by a shell: the most memory that a process held goes on to what it starts
            ["/bin/sh", "-c", '"$@"; exit $?', "sh", *words, "--", *options],
            cwd=HERE.parent,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONHASHSEED": "0"},
            stdout=log,
            stderr=log,
            check=False,
        )
        log.seek(began)
        told = log.read().decode(errors="replace")
    if done.returncode:
        ended = re.findall(r"ERROR: libFuzzer: (\S+)", told) or [f"exit {done.returncode}"]
        tally.timeouts += ended[0] == "timeout"
        tally.crashes += ended[0] != "timeout"
        tally.problems.append(f"{target}: an input ended the process: {ended[0]}")


def _words(given: Sequence[bytes]) -> list[str]:
    """The dictionary of a search: the words of its seeds, as far as they are names."""
    found = {word for seed in given for word in re.findall(rb"[A-Za-z][\w./-]{2,40}", seed)}
    return [f'"{word.decode()}"' for word in sorted(found)[:2000]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Search what is asked for and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=1_000_000, help="executions of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="something broken in their place")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="keep what is found there")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not available():
        sys.stderr.write(f"{MISSING}\n")
        return 1
    if given.search:
        _search(given.search, given.corpus, given.targets, control=given.control)
    for name in given.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name}")
    figures: dict[str, int] = {}
    problems = []
    asked = given.targets or TARGETS
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(os.cpu_count()) as searches:
        folders = [(given.corpus or Path(temporary)) / name for name in asked]
        one = partial(campaign, runs=given.runs, seed=given.seed, control=given.control)
        for name, folder, tally in zip(
            asked, folders, searches.map(one, asked, folders), strict=True
        ):
            if tally.crashes and not given.control:
                shutil.copytree(folder / "broken", FOUND / name, dirs_exist_ok=True)
            what = name.replace("-", "_")
            figures[f"{what}_executions"] = tally.executions
            figures[f"{what}_taken"] = tally.taken
            figures[f"{what}_crashes"] = tally.crashes
            figures[f"{what}_timeouts"] = tally.timeouts
            figures[f"{what}_corpus"] = tally.corpus
            problems += tally.problems
    totals = {w: sum(n for k, n in figures.items() if k.endswith(f"_{w}")) for w in TOTALS}
    print(json.dumps({"figures": {**totals, **figures}, "problems": problems}, indent=1))
    return 1 if problems else 0


TOTALS = ("executions", "crashes", "timeouts")


if __name__ == "__main__":
    sys.exit(main())
