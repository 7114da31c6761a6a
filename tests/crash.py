"""
`python -m tests.crash [--kills N] [--faults all|few|none] [--control]`: what a crash leaves of a file.

Kills: a process writes in a loop over a real write path and is killed at a random moment, N times. Faults:
system calls of the real command fail one after the other (`tests/syscalls.py`). After each, what is there
must be what was there before or what was written, and the next write must mend the rest. The figures are
printed as JSON; the exit code is 1 where anything was torn, lost or left.

With `--control` a writer that is broken on purpose takes the place of the others, and must be found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from drift_audit import files
from tests import syscalls
from tests.commands import COMMANDS, HASTY_COMMAND, NAIVE_COMMAND, Command
from tests.writers import NAIVE, WRITERS, Writer

AFRESH = 10
"""Kills in one folder, each after what the one before has left."""

WINDOW = 4
"""A writer is killed within the time of so many writes."""

BROKEN = NAIVE_COMMAND, HASTY_COMMAND
FEW = 5
"""Commands that a short run looks at: rotations and first promotions are left to a long one."""


@dataclass
class Tally:
    """
    What was seen of one write path: how many writes were done before the kills, and how often a
    temporary was `left`, which shows that they struck in the middle of a write.
    """

    kills: int = 0
    writes: int = 0
    left: int = 0
    torn: int = 0
    problems: list[str] = field(default_factory=list)


def campaign(writer: Writer, kills: int, root: Path, chance: random.Random) -> Tally:
    """Kill a write path so many times."""
    tally = Tally()
    window = WINDOW * _seconds(writer, root / "timed")
    while tally.kills < kills:
        folder = root / f"{writer.name}-{tally.kills}"
        folder.mkdir()
        done = 0
        for _ in range(min(AFRESH, kills - tally.kills)):
            tally.kills += 1
            done = _once(writer, folder, done, chance.uniform(0, window), tally)
        shutil.rmtree(folder)
    return tally


def _seconds(writer: Writer, folder: Path) -> float:
    """How long one write takes."""
    folder.mkdir()
    with _silent():
        for number in range(1, 4):
            began = time.perf_counter()
            writer.write(folder, number)
    shutil.rmtree(folder)
    return time.perf_counter() - began


def _once(writer: Writer, folder: Path, done: int, seconds: float, tally: Tally) -> int:
    """One kill, what it left, and the write that mends it; tells which write was the last."""
    confirmed = done + _killed(writer, folder, done, seconds)
    tally.writes += confirmed - done
    tally.left += bool(_left(folder))
    try:
        there = writer.there(folder)
    except Exception as error:  # noqa: BLE001  # whatever a reader says, it is not what was written
        tally.torn += 1
        tally.problems.append(f"{writer.name}: {error}")
        shutil.rmtree(folder)
        folder.mkdir()
        return 0
    if there not in (confirmed, confirmed + 1):
        tally.problems.append(f"{writer.name}: write {there} is there after write {confirmed}")
    with _silent():
        writer.write(folder, there + 1)
    try:
        writer.mended(folder)
        assert writer.there(folder) == there + 1, "the write after a kill did not count"
        assert not _left(folder), "a temporary was not swept"
    except Exception as error:  # noqa: BLE001
        tally.problems.append(f"{writer.name}: {error}")
    return there + 1


def _killed(writer: Writer, folder: Path, done: int, seconds: float) -> int:
    """Let another process write until it is killed; tells how many writes it said were done."""
    reader, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            _write_on(writer, folder, done, told)
        finally:
            os._exit(1)
    os.close(told)
    os.read(reader, 1)  # it has begun
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended == -signal.SIGKILL, f"{writer.name} ended by itself"
    with os.fdopen(reader, "rb") as file:
        return len(file.read())


def _write_on(writer: Writer, folder: Path, done: int, told: int) -> None:
    with _silent():
        os.write(told, b".")
        for number in count(done + 1):
            writer.write(folder, number)
            os.write(told, b".")


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error: the creation of a key is told there."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _left(folder: Path) -> list[Path]:
    return [*folder.rglob(files.TEMPORARY.format("*"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=2000, help="over all write paths together")
    parser.add_argument("--faults", choices=("all", "few", "none"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="a broken writer in their place")
    given = parser.parse_args(arguments)
    writers: Sequence[Writer] = (NAIVE,) if given.control else WRITERS
    commands: Sequence[Command] = BROKEN if given.control else COMMANDS
    if given.faults == "few":
        commands = commands[-FEW:]
    chance = random.Random(given.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        each = -(-given.kills // len(writers))
        killed = {w.name: campaign(w, each, Path(folder), chance) for w in writers if given.kills}
        faults = syscalls.campaign(
            Path(folder), given.faults, commands[-FEW:] if given.faults == "few" else commands
        )
    problems = [*(p for t in killed.values() for p in t.problems), *faults.problems]
    found = {
        "figures": {
            "kills": sum(tally.kills for tally in killed.values()),
            "in_the_middle": sum(tally.left for tally in killed.values()),
            "failed_calls": sum(faults.struck.values()),
            "torn_lost_or_left": len(problems),
        },
        "problems": problems,
        "kills": {name: asdict(tally) for name, tally in killed.items()},
        "faults": asdict(faults),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(found, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
