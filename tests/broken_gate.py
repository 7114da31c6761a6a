"""
`python -m tests.broken_gate [--kills N] [--statements N] [--seed N] [--control]`: a gate that is broken blocks.

An intact gate ends with 0: a service as its baseline has it and as the policy requires. It is then broken
in every way that it can be, one at a time: permissions, network, scope, policy, baseline, key, clock, disk,
streams, environment, and killed at random moments and at statements all over the program. Whatever was
done to it, it must not end with 0, and leave no report behind that says clean; but a signal that comes when
everything is said and written changes nothing. No run makes a baseline: only people do.

The figures are printed as JSON; the exit code is 1 where a broken gate let something pass.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from drift_audit.store import bucket
from tests import forked, planted
from tests.command import SEALED
from tests.gates import (
    AUDIT,
    BASELINE,
    COMPARE,
    DAY,
    FAIL_ON,
    GATES,
    NOW,
    OTHER,
    WHERE,
    Gate,
    clean,
    opened,
    world,
)
from tests.planted import Planted

PACKAGE = Path(__file__).parents[1] / "drift_audit"


# Ways


def breaks(gate: Gate) -> None:
    """Every way, but for kills."""
    for way in (_baseline, _policy, _key, _clock, _streams, _words, _python, _server):
        way(gate)


def _at(path: Path, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))


def _baseline(gate: Gate) -> None:
    kept = Path("store") / "_history" / "shop" / "europe-west1"

    def older(folder: Path) -> None:
        shutil.copy(folder / kept / "api.000001.json", folder / BASELINE)

    def pipe(folder: Path) -> None:
        (folder / BASELINE).unlink()
        os.mkfifo(folder / BASELINE)

    def link(folder: Path) -> None:
        (folder / "elsewhere").write_bytes((folder / BASELINE).read_bytes())
        (folder / BASELINE).unlink()
        (folder / BASELINE).symlink_to(folder / "elsewhere")

    def file(folder: Path) -> None:
        shutil.rmtree(folder / "store")
        (folder / "store").touch()

    def emptied(folder: Path) -> None:
        shutil.rmtree(folder / "store")
        (folder / "store").mkdir()

    def folder_(folder: Path) -> None:
        (folder / BASELINE).unlink()
        (folder / BASELINE).mkdir()

    def forgotten(folder: Path) -> None:
        (folder / BASELINE).unlink()
        for path in (folder / kept).glob("api.*"):
            path.unlink()

    gate.blocks("the baseline is gone", lambda f: (f / BASELINE).unlink())
    gate.blocks("the baseline and its history are gone", forgotten)
    gate.blocks("the store is gone", lambda f: shutil.rmtree(f / "store"))
    gate.blocks("the store is a file", file)
    gate.blocks("the store is empty", emptied)
    gate.blocks("the baseline is empty", _at(BASELINE, lambda _: b""))
    gate.blocks("the baseline is cut", _at(BASELINE, lambda data: data[: len(data) // 2]))
    gate.blocks("the baseline was edited", _at(BASELINE, lambda d: d.replace(b"second", b"edited")))
    gate.blocks("a bit of it flipped", _at(BASELINE, lambda d: d[:99] + bytes([d[99] ^ 1]) + d[100:]))  # fmt: skip
    gate.blocks("the baseline is an older one", older)
    gate.blocks("it is that of another service", lambda f: shutil.copy(f / OTHER, f / BASELINE))
    gate.blocks("the baseline is a pipe", pipe)
    gate.blocks("the baseline is a link", link)
    gate.blocks("the baseline is a folder", folder_)
    gate.blocks("the store cannot be reached", words=["--store=gs://audits/prod"], env={"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1", "STORAGE_X": "1"}, first=_impatient)  # fmt: skip


def _impatient() -> None:
    """A store in a bucket waits two minutes for an answer: here less."""
    bucket.Bucket = partial(bucket.Bucket, patience=1.0)  # type: ignore[misc,assignment]  # here alone


def _policy(gate: Gate) -> None:
    policy = Path("policy.toml")

    def folder_(folder: Path) -> None:
        (folder / policy).unlink()
        (folder / policy).mkdir()

    gate.blocks("the policy is gone", lambda f: (f / policy).unlink())
    gate.blocks("the policy is empty", lambda f: (f / policy).write_text(""))
    gate.blocks("the policy is cut", _at(policy, lambda data: data[:-30]))
    gate.blocks("the policy is no text", _at(policy, lambda _: b"\xff\xfe\x00"))
    gate.blocks("the policy is misspelled", _at(policy, lambda d: d.replace(b"required", b"requierd")))  # fmt: skip
    gate.blocks("the policy is a folder", folder_)
    gate.blocks("the policy requires more", _at(policy, lambda d: d.replace(b"JWT", b"JWT_KEY")))
    gate.blocks("its schema is gone", _at(policy, lambda d: d.replace(b"required = {", b'schema = "none.json"\nrequired = {')))  # fmt: skip
    gate.blocks("a service is not there", _at(policy, lambda d: d.replace(b"/web", b"/gone")), gates=[AUDIT])  # fmt: skip


def _key(gate: Gate) -> None:
    variable = "DRIFT_AUDIT_SEAL_KEY"
    gate.blocks("there is no key", env={variable: None})
    gate.blocks("the key is another one", env={variable: Planted(5).key()})
    gate.blocks("the key is cut", env={variable: SEALED[variable][:20]})
    gate.blocks("its file is gone", env={variable: None, f"{variable}_FILE": "none"})
    gate.blocks("its secret is denied", env={variable: None, f"{variable}_SECRET": "projects/shop/secrets/jwt/versions/1"})  # fmt: skip


def _clock(gate: Gate) -> None:
    name = "SOURCE_DATE_EPOCH"
    gate.blocks("the clock is years behind", env={name: "0"})
    gate.blocks("the clock is behind the newest revision", env={name: str(NOW - 16 * DAY)})
    gate.blocks("the clock is behind the promotion", env={name: str(NOW - 2 * DAY)})
    gate.blocks("the clock is ahead of what is waived", env={name: str(NOW + 400 * DAY)})
    gate.blocks("the clock is none", env={name: "yesterday"})
    stale = ["--max-audit-age=26h", "--strict-age"]
    gate.blocks("nobody has audited for days", gates=[COMPARE], words=stale, env={name: str(NOW + 3 * DAY)})  # fmt: skip


def _streams(gate: Gate) -> None:
    def closed() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)

    def limit(kind: int, most: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(kind, (most, most))

    gate.blocks("standard output is full", out="/dev/full")
    gate.blocks("standard output is closed", first=closed)
    gate.blocks("the report has no folder", words=["-o", "none/r.html"])
    gate.blocks("the report is a device that is full", words=["-o", "html=/dev/full"])
    gate.blocks("the report is a folder", lambda f: (f / "r.html").mkdir(), words=["-o", "r.html"])
    gate.blocks("files may not grow", first=limit(resource.RLIMIT_FSIZE, 100))
    gate.blocks("no file can be opened", first=limit(resource.RLIMIT_NOFILE, 5))
    if shutil.which("unshare"):
        for kind in ("ro", "full"):
            gate.blocks(f"the disk is {kind}", first=partial(_small_disk, kind))


def _small_disk(kind: str) -> None:
    """The folder on a disk of its own, which takes nothing any more."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = Path.cwd()
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(0x10000000 | 0x00020000):  # a user namespace and one of mounts
        os._exit(99)
    for name, said in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with suppress(OSError):
            Path(f"/proc/self/{name}").write_text(said)
    place = str(here).encode()
    kept = here.parent / "kept"
    shutil.copytree(here, kept)
    if libc.mount(b"none", place, b"tmpfs", 0, b"size=256k"):
        os._exit(99)
    shutil.copytree(kept, here, dirs_exist_ok=True)
    shutil.rmtree(kept)
    if kind == "ro":
        libc.mount(b"none", place, b"tmpfs", 0x1 | 0x20, b"")
    else:
        with suppress(OSError), (here / "filler").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
    os.chdir(here)


def _words(gate: Gate) -> None:
    gate.blocks("a flag is misspelled", words=["--requires-baseline"])
    gate.blocks("a word too many", words=["word", "word", "word"])
    gate.blocks("a kind that is none", words=["--kind=function"])
    for what, flags in (("another project", ("--project=none", WHERE[1])), ("another region", (WHERE[0], "--region=r1"))):  # fmt: skip
        elsewhere = [(*AUDIT[:1], *flags, *AUDIT[3:]), (*COMPARE[:3], *flags, *COMPARE[5:])]
        gate.blocks(what, gates=elsewhere)
    gate.blocks("no such service", words=["--service=none"])
    gate.blocks("no command at all", gates=[("nothing",)])
    gate.blocks("no flag that says where", gates=[("audit", "--require-baseline")])
    gate.blocks("an account that cannot be", words=["--impersonate-service-account="], env=_nowhere())  # fmt: skip


def _nowhere() -> dict[str, str | None]:
    names = ("CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "CLOUD_RUN_EMULATOR_REST_HOST")  # fmt: skip
    return dict.fromkeys(names)


def _python(gate: Gate) -> None:
    def without(*names: str) -> Callable[[], None]:
        def first() -> None:
            for name in [n for n in sys.modules if n.startswith((*names, "drift_audit"))]:
                del sys.modules[name]
            for name in names:
                package, _, module = name.rpartition(".")
                if package in sys.modules:  # where `from package import module` looks first
                    vars(sys.modules[package]).pop(module, None)
            sys.modules.update(dict.fromkeys(names))

        return first

    for name in ("grpc", "pydantic", "google.cloud.run_v2"):
        gate.blocks(f"{name} is not installed", first=without(name))
    gate.blocks("no google.cloud.storage", words=["--store=gs://a/b"], first=without("google.cloud.storage"))  # fmt: skip
    gate.blocks("no prometheus_client", words=["--metrics-file=m"], first=without("prometheus_client"))  # fmt: skip
    gate.blocks("no detect_secrets", words=["--detect"], first=without("detect_secrets"))


VERSION = "SecretManagerService"
GROUPS = {
    "services": ("Services/ListServices", "Services/GetService"),
    "revisions": ("Revisions/ListRevisions", "Revisions/GetRevision"),
    "versions": (f"{VERSION}/ListSecretVersions", f"{VERSION}/GetSecretVersion"),
}
"""Calls that take each other's place."""


def _server(gate: Gate) -> None:
    gate.blocks("nobody answers", env=_only(forked.pointing("127.0.0.1:1 127.0.0.1:1")))
    gate.blocks("there are no credentials", env=_nowhere())
    parent = "projects/shop/locations/europe-west1"
    for name in ("projects/shop", parent, "projects/shop/secrets/jwt"):
        _with(gate, f"{name} is denied", world(denied=[name]))
    for name, rpcs in GROUPS.items():
        for kind in ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE", "DATA_LOSS"):
            _with(gate, f"{name}: {kind}", world(faults=[f"{rpc}:1+:{kind}" for rpc in rpcs]))
        faults = [f"{rpcs[0]}:1:expired-credential"]
        _with(gate, f"{name}: from here on nothing", world(faults=faults), flips=True)
    _with(gate, "services hang", world(faults=[f"{rpc}:1+:hang" for rpc in GROUPS["services"]]))
    gone = world()
    gone["services"] = [s for s in gone["services"] if s["service"] == "web"]
    _with(gate, "the service was deleted", gone)
    _with(gate, "everything was deleted", {**gone, "services": []})
    anew = world()
    anew["services"][0]["project"] = "shop2"
    _with(gate, "the service is in another project", anew)
    lost = world()
    lost["services"][0]["revisions"][0]["env"] = {"LEVEL": "info"}
    _with(gate, "the key is lost", lost)


def _only(env: Mapping[str, str]) -> dict[str, str | None]:
    return {name: value for name, value in env.items() if name.endswith("HOST")}


def _with(gate: Gate, what: str, document: Mapping[str, Any], *, flips: bool = False) -> None:
    """Break what it talks to. A permission may be gone only after the last call that needs it."""
    play = partial(planted.playing, Planted(), (), document)
    for words in GATES[:1] if gate.few else GATES:
        with forked.child(play, forked.reached, forked.fired) as other:
            env = _only(forked.pointing(other.said))
            before = len(gate.problems)
            gate.blocks(what, env=env, gates=[words])
        gate.figures["ways"] -= words is not GATES[0]
        if flips and other.last == "0":  # this gate does not ask for that
            del gate.problems[before:]


# Kills


def kills(gate: Gate, number: int, chance: random.Random) -> None:
    """Kill it at random moments, by either signal."""
    began = time.perf_counter()
    gate.passes(AUDIT)
    took = time.perf_counter() - began
    for _ in range(number):
        sent = chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        wait = chance.uniform(0, took)
        gate.blocks("killed", gates=[AUDIT], meanwhile=partial(_kill, sent, wait), late=_finished)
        gate.figures["ways"] -= 1
        gate.figures["kills"] += 1


def _kill(number: int, seconds: float, process: int) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _finished(folder: Path) -> bool:
    """Whether all that was to be written is there: whoever comes now comes too late."""
    return clean(folder / "r.json")


def statements(gate: Gate, number: int, chance: random.Random) -> None:
    """Kill it at so many of the statements that it executes, wherever they are."""
    listed = gate.root / "executed"
    with gate.folder() as folder:
        gate.run([*AUDIT, FAIL_ON], folder, gate.env(), first=partial(_record, listed))
    seen = [tuple(one) for one in json.loads(listed.read_text())]
    for at in sorted(chance.sample(seen, min(number, len(seen)))):
        sent = chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        place = f"signal {sent} at {at[0].removeprefix(str(PACKAGE))}:{at[1]}"
        gate.blocks(place, gates=[AUDIT], first=partial(_trap, at, sent), late=_finished)
        gate.figures["ways"] -= 1
        gate.figures["killed_at_statements"] += 1


def _record(listed: Path) -> None:
    seen: set[tuple[str, int]] = set()

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(str(PACKAGE)) else None

    def end() -> None:
        sys.settrace(None)
        listed.write_text(json.dumps(sorted(seen)))

    forked.at_end(end)
    threading.settrace(enter)
    sys.settrace(enter)


def _trap(at: tuple[str, int], number: int) -> None:
    done = threading.Event()

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_lineno == at[1] and not done.is_set():
            done.set()
            os.kill(os.getpid(), number)
        return line

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename == at[0] and not done.is_set() else None

    threading.settrace(enter)
    sys.settrace(enter)


def _careless(arguments: Sequence[str], *given: Any, **options: Any) -> forked.Ended:
    """The control: a gate that passes whatever it could not look at, as many do."""
    ended = forked.run(arguments, *given, **options)
    return forked.Ended(0 if ended.code in (3, 4, 5) else ended.code, ended.out, ended.err)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.broken_gate")
    parser.add_argument("--kills", type=int, default=300, help="at random moments")
    parser.add_argument("--statements", type=int, default=1000, help="to kill it at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--few", action="store_true", help="one of two gates for each way")
    parser.add_argument("--control", action="store_true", help="a gate that tolerates blindness")
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    with opened() as gate:
        gate.few = given.few
        if given.control:
            gate.run = _careless
        for words in GATES:
            gate.passes(words)
        breaks(gate)
        kills(gate, given.kills, chance)
        statements(gate, given.statements, chance)
        for words in GATES:
            gate.passes(words)
    figures = {**gate.figures, "passed": len(gate.problems)}
    print(json.dumps({"figures": figures, "problems": gate.problems}, indent=1))
    return 1 if gate.problems else 0


if __name__ == "__main__":
    sys.exit(main())
