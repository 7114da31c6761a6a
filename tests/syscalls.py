"""
Faults of single system calls, and their order, in real processes of the write paths.

A process imports the program, forks, and the child runs a command while strace watches it: so the calls
that are counted are those of the command alone. Of every kind of call that writes take, the first fails,
then the second, and so on, until a run has no such call left; once, and from there on for ever. After each
the files are what they were or what they were to be, the command says 4 or 5 and where, and the same
command succeeds afterwards.

The order of calls is judged apart: neither a kill nor a fault shows that something was never flushed.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from drift_audit import files
from tests.commands import LEFT, Command, warm

CALLS = (
    "openat",
    "write",
    "fsync",
    "?rename,?renameat,?renameat2",
    "?link,?linkat",
    "?unlink,?unlinkat",
    "flock",
    "?mkdir,?mkdirat",
    "?chmod,?fchmodat",
)
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EACCES", "EROFS", "EINTR")
FEW = (("ENOSPC", "{}"),)
ALL = tuple(product(ERRORS, ("{}", "{}+")))
"""Which error, and when: at that call alone, or from it on."""

INTERRUPTED = ("EINTR", "{0}..{0}+1")
"""A call that is interrupted for ever is none: Python asks again, as the kernel's callers do."""

SPARED = ("flock", "unlink", "mkdir", "chmod", "openat")
"""Calls whose fault may leave a success, if all that was to be written is there."""

OURS = str(files.shipped("templates"))
"""What cannot be read of the program itself is no matter of what it writes."""

STDOUT = "standard output"
MOST = 200
PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)


class CannotTrace(Exception):
    """strace is not there, or may not watch other processes here."""


@dataclass
class Tally:
    """What was seen: faults that struck, by command, and what was wrong after them."""

    struck: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    succeeded: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ""


@dataclass(frozen=True)
class Traced:
    """How a process ended, and the calls that strace saw."""

    code: int
    err: str
    calls: tuple[str, ...]

    @property
    def struck(self) -> list[str]:
        """The calls that were made to fail."""
        return [call for call in self.calls if call.endswith("(INJECTED)")]


def campaign(root: Path, which: str, commands: Iterable[Command]) -> Tally:
    """The order of calls of each command, then faults: `all` errors, a `few`, or `none`."""
    tally = Tally()
    kinds = {"all": ALL, "few": FEW, "none": ()}[which]
    try:
        for command in commands:
            folder = root / f"command-{command.name}"
            prepare(command, folder)
            tally.problems += [f"{command.name}: {one}" for one in order(command, folder)]
            tally.struck[command.name] = 0
            for call, (error, when) in product(CALLS, kinds):
                _exhaust(command, folder, call, error, when, tally)
    except CannotTrace as error:
        tally.skipped = str(error)
    return tally


def prepare(command: Command, folder: Path) -> None:
    """A folder as a command finds it; what the command imports is imported then."""
    folder.mkdir()
    command.prepare(folder)
    with _copy(folder) as copy:
        warm(command, copy)


def order(command: Command, prepared: Path) -> list[str]:
    """What is wrong with the order of its calls. Raises CannotTrace."""
    with _copy(prepared) as folder:
        ran = traced(command, folder)
        assert ran.code == command.code, ran.err
        return disorder(ran.calls, folder)


@contextmanager
def _copy(prepared: Path) -> Iterator[Path]:
    folder = prepared.parent / "now"
    shutil.copytree(prepared, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _exhaust(
    command: Command, prepared: Path, call: str, error: str, when: str, tally: Tally
) -> None:
    """Let the first call of a kind fail, the second, and so on, until there is none."""
    if (error, when) == ("EINTR", "{}+"):
        error, when = INTERRUPTED
    for number in range(1, MOST):
        fault = f"inject={call}:error={error}:when={when.format(number)}"
        with _copy(prepared) as folder:
            ran = traced(command, folder, fault)
            wrong = [*_wrong(command, folder, ran, error)]
        tally.problems += [f"{command.name}: {fault}: {one}" for one in wrong]
        if not ran.struck:
            return
        tally.struck[command.name] += 1
        tally.refused += ran.code != command.code
        tally.succeeded += ran.code == command.code
    raise AssertionError(f"{command.name}: {call} never ended")


def _wrong(command: Command, folder: Path, ran: Traced, error: str) -> Iterator[str]:
    """What a run with a fault did that it may not do."""
    struck = [call for call in ran.struck if not call.startswith("write(2<")]
    try:
        written = command.written(folder)
    except Exception as torn:  # noqa: BLE001  # whatever a reader says, it is not what was written
        yield f"torn: {torn}"
        return
    if ran.code == command.code:
        grave = [c for c in struck if not c.startswith(SPARED) and error != "EINTR"]
        if grave and not command.quietly:
            yield f"ended with {ran.code} although {grave[0]}"
        if not written and not command.quietly:
            yield f"ended with {ran.code}, and what was to be written is not there"
    elif not any(OURS in call for call in struck):
        if ran.code not in (4, 5):
            yield f"ended with {ran.code}: {ran.err}"
        if struck == ran.struck and not any(p in ran.err for p in (*command.paths, STDOUT)):
            yield f"does not say where: {ran.err}"
    again = traced(command, folder)
    if again.code != command.code or not command.written(folder):
        yield f"cannot be repeated: {again.code}: {again.err}"
    left = {path.name for path in folder.rglob(files.TEMPORARY.format("*"))}
    if any(LEFT in call for call in struck):
        left.discard(LEFT)
    if left and not written:  # what has nothing to write any more sweeps nothing
        yield f"left {', '.join(left)}"


# Watching


def traced(command: Command, folder: Path, *expressions: str) -> Traced:
    """Run a command in a folder, in a child of this process, under strace."""
    go, begin = os.pipe()
    said, err = os.pipe()
    nothing = os.open(os.devnull, os.O_WRONLY)  # the child may be watched before it gets that far
    child = os.fork()
    if not child:
        _become(command, folder, go, nothing, err)
    for descriptor in (go, nothing, err):
        os.close(descriptor)
    log = folder.with_suffix(".strace")
    watcher = _attach(child, log, expressions)
    try:
        os.write(begin, b".")
        os.close(begin)
        with os.fdopen(said, "rb") as file:
            told = file.read().decode()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        watcher.communicate(timeout=60)
    finally:
        watcher.kill()
        watcher.wait()
    calls = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    log.unlink()
    return Traced(code, told, tuple(calls))


def _attach(child: int, log: Path, expressions: Iterable[str]) -> subprocess.Popen[str]:
    """strace, as soon as it watches a process. Raises CannotTrace."""
    strace = shutil.which("strace")
    if strace is None:
        os.kill(child, 9)
        raise CannotTrace("strace is not installed")
    wanted = [f"trace={','.join(CALLS)}", *expressions]
    options = [part for one in wanted for part in ("-e", one)]
    command = [strace, "-f", "-y", "-s0", "-o", str(log), *options, "-p", str(child)]
    watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert watcher.stderr is not None
    if "attached" not in (first := watcher.stderr.readline()):
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise CannotTrace(f"strace may not watch: {first.strip()}")
    return watcher


def _become(command: Command, folder: Path, go: int, out: int, err: int) -> None:
    """In the child: run the command when it is being watched, and end with its code."""
    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        with suppress(AttributeError, OSError):  # where only a parent may watch unless it is said
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
        os.chdir(folder)
        os.read(go, 1)
        code = command.run()
    finally:
        os._exit(code)


# The order


_CALL = re.compile(r"(?P<name>\w+)\((?P<rest>.*)\)\s+= (?P<result>\d+)")
_FILE = re.compile(r"^\d+<(?P<path>/[^>]*)>")
_NAMES = re.compile(r'"(?P<path>[^"]*)"')


def disorder(calls: Iterable[str], folder: Path) -> list[str]:
    """
    What was given a name before it was on disk, and what was told, or left, while the name was not.

    Folders count from when a name in them was changed, files from when they were written.
    """
    wrong: list[str] = []
    loose: dict[str, str] = {}  # what is not on disk, and why
    for call in calls:
        match = _CALL.match(call)
        if match is None:
            continue
        name, rest = match["name"], match["rest"]
        open_file = _FILE.match(rest)
        paths = [str(folder / one) for one in _NAMES.findall(rest)]
        if name == "write" and rest.startswith("1<") and loose:
            wrong += [f"told while {path} was not flushed: {why}" for path, why in loose.items()]
        elif name == "write" and open_file and open_file["path"].startswith(str(folder)):
            loose[open_file["path"]] = "written"
        elif name == "fsync" and open_file:
            loose.pop(open_file["path"], None)
        elif name.startswith(("rename", "link")):
            if paths[0] in loose:
                wrong.append(f"{paths[0]} was named {paths[1]} before it was flushed")
            loose.pop(paths[0], None)
            loose[str(Path(paths[1]).parent)] = f"{paths[1]} was named"
        elif name.startswith("mkdir"):
            loose[str(Path(paths[0]).parent)] = f"{paths[0]} was made"
    return wrong + [f"ended while {path} was not flushed: {why}" for path, why in loose.items()]
