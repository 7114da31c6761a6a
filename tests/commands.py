"""
Commands that write, as `tests/syscalls.py` makes their system calls fail, and one that is broken.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drift_audit import files
from drift_audit.__main__ import main
from drift_audit.seal import SealKey
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests.builders import HOME
from tests.command import SEALED
from tests.manifests import PASSWORD, SECRET, revision, service
from tests.writers import ARCHIVE, LEDGER, hasty, naive, told

LEFT = files.TEMPORARY.format("left")
"""A temporary of a run that was killed: each command finds one to sweep."""

PROMOTE = "baseline promote --by=me --project=shop --no-config".split()


@dataclass(frozen=True)
class Command:
    """
    A command, the code it ends with, and the paths of which its message names one if it fails.

    `written` tells whether all that it writes is there, and raises for what is neither that nor what
    was there before. What only makes later runs quicker may fail `quietly`.
    """

    name: str
    run: Callable[[], int]
    prepare: Callable[[Path], None]
    written: Callable[[Path], bool]
    paths: tuple[str, ...]
    code: int = 0
    quietly: bool = False


def _ran(*arguments: str) -> Callable[[], int]:
    """The real command, in this process."""

    def run() -> int:
        os.environ.update(SEALED)
        os.environ["SOURCE_DATE_EPOCH"] = "1768478400"
        os.environ["DRIFT_AUDIT_SEAL_KEY_FILE"] = "config/seal.key"
        if arguments[0] == "init":
            del os.environ["DRIFT_AUDIT_SEAL_KEY"]
        try:
            main([*arguments])
        except SystemExit as ended:
            return int(ended.code or 0)

    return run


def _inputs(folder: Path) -> None:
    (folder / "before.json").write_text(json.dumps(service(env=[SECRET, PASSWORD])))
    (folder / "after.json").write_text(json.dumps(service(env=[PASSWORD])))
    revisions = [revision("api-00001-a", env=[SECRET]), revision("api-00002-b", env=[PASSWORD])]
    (folder / "revisions.json").write_text(json.dumps(revisions))


def warm(command: Command, folder: Path) -> None:
    """Run it once in this process, so that a child of it has nothing left to import."""
    here, kept, nothing = Path.cwd(), os.dup(1), os.open(os.devnull, os.O_WRONLY)
    silent = os.dup(2)
    try:
        os.chdir(folder)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        code = command.run()
    finally:
        os.chdir(here)
        os.dup2(kept, 1)
        os.dup2(silent, 2)
        for descriptor in (kept, silent, nothing):
            os.close(descriptor)
    assert code == command.code, f"{command.name} ended with {code}"
    assert command.written(folder), f"{command.name} wrote nothing"


# Promotions


def _baseline(reason: str) -> Callable[[Path], bool]:
    def written(folder: Path) -> bool:
        store = Baselines(Folder(str(folder / "baselines")))
        baseline = store.read(HOME)
        history = store.history(HOME)
        if baseline is None or baseline.reason != reason:
            return False
        return bool(history) and history[-1] == baseline

    return written


FIRST = Command(
    "first promotion",
    _ran(*PROMOTE, "before.json", "--reason=r1"),
    _inputs,
    _baseline("r1"),
    ("baselines", "before.json"),
)


def _promoted(folder: Path) -> None:
    _inputs(folder)
    warm(FIRST, folder)
    for place in ("shop", "_history/shop"):
        (folder / "baselines" / place / "europe-west1" / LEFT).write_text("half of it")


SECOND = Command(
    "promotion",
    _ran(*PROMOTE, "after.json", "--reason=r2"),
    _promoted,
    _baseline("r2"),
    ("baselines", "after.json"),
)


# Outputs

OLD = '{"old": true}'


def _with_old(name: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        _inputs(folder)
        (folder / name).write_text(OLD)
        (folder / LEFT).write_text("half of it")

    return prepare


def _replaced(name: str) -> Callable[[Path], bool]:
    def written(folder: Path) -> bool:
        text = (folder / name).read_text()
        return bool(json.loads(text)) and text != OLD

    return written


REPORT = Command(
    "report",
    _ran("compare", "before.json", "after.json", "--no-config", "-o", "report.json"),
    _with_old("report.json"),
    _replaced("report.json"),
    ("report.json", "before.json", "after.json", "standard output"),
    code=10,
)
SNAPSHOT = Command(
    "snapshot",
    _ran(*"snapshot --input=revisions.json --project=shop --no-config -o all.json".split()),
    _with_old("all.json"),
    _replaced("all.json"),
    ("all.json", "revisions.json"),
)


# The key and the policy


def _policy(folder: Path) -> None:
    (folder / "drift-audit.toml").write_text("# old\n")
    (folder / LEFT).write_text("half of it")


def _initialised(folder: Path) -> bool:
    text = (folder / "drift-audit.toml").read_text()
    shipped = (files.shipped("templates") / "drift-audit.toml").read_text()
    assert text in ("# old\n", shipped), "the policy is torn"
    key = folder / "config" / "seal.key"
    if not key.exists():
        return False
    SealKey.parse(key.read_text())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600, "others may read the key"
    return text == shipped


INIT = Command(
    "init", _ran("init", "--force"), _policy, _initialised, ("drift-audit.toml", "seal.key")
)


# What audits keep


def _kept() -> int:
    for writer in (ARCHIVE, LEDGER):
        writer.write(Path("store"), 2)
    return 0


def _keeping(folder: Path) -> None:
    for writer in (ARCHIVE, LEDGER):
        writer.write(folder / "store", 1)
    (folder / "store" / ".archive" / "shop" / LEFT).write_text("half of it")


def _both_kept(folder: Path) -> bool:
    there = [writer.there(folder / "store") for writer in (ARCHIVE, LEDGER)]
    assert set(there) <= {1, 2}, "what was kept is lost"
    return set(there) == {2}


KEPT = Command("archive and ledger", _kept, _keeping, _both_kept, (), quietly=True)


# Another key


def _rotated(folder: Path) -> bool:
    baseline = Baselines(Folder(str(folder / "baselines"))).read(HOME)
    if not (folder / "new.key").exists():
        return False
    key = SealKey.parse((folder / "new.key").read_text())
    if baseline is None or baseline.sealed_with != {key.id(HOME)}:
        return False
    return Baselines(Folder(str(folder / "baselines"))).history(HOME)[-1] == baseline


ROTATION = Command(
    "seal rotate",
    _ran(*"seal rotate --new-key-file=new.key --by=me --no-config --input=before.json".split()),
    _promoted,
    _rotated,
    ("baselines", "before.json", "new.key"),
)

COMMANDS = (ROTATION, FIRST, SECOND, REPORT, SNAPSHOT, INIT, KEPT)


# Controls


def _broken(write: Callable[[Path, str], None]) -> Callable[[], int]:
    def run() -> int:
        try:
            write(Path("report.json"), told(2))
        except OSError:
            return 5
        os.write(1, b"done")
        return 0

    return run


_PARTS = _with_old("report.json"), _replaced("report.json"), ("report.json",)
NAIVE_COMMAND = Command("naive", _broken(naive), *_PARTS)
HASTY_COMMAND = Command("hasty", _broken(hasty), *_PARTS)
