"""
The write paths of the program, as the crash campaigns run them, and writers that are broken on purpose.

What the n-th write of one leaves says so, so that whoever reads it back knows which write it was: the
last that was done before a kill, or the one that was under way, and nothing else.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drift_audit import files
from drift_audit.cli import keys
from drift_audit.cli import snapshot as snapshots
from drift_audit.errors import StoreError
from drift_audit.inventory import Remembered, Scope, Service
from drift_audit.night import Night
from drift_audit.past import Past, Seen
from drift_audit.seal import SealKey
from drift_audit.snapshot import Snapshot
from drift_audit.store.archive import Archive
from drift_audit.store.baseline import promotion
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from drift_audit.store.histories import Histories
from drift_audit.store.ledger import Ledger
from drift_audit.store.nights import Nights
from tests.builders import HOME, LASTING, NOW, sealer, snapshot

SEVERAL = 20
"""Parts of what is written, so that half of it is something."""

NOT_ENDED = "promotion was not ended"
"""What a promotion that was cut off may be told as until the next one."""


class Torn(AssertionError):
    """What lies there is neither what was there before nor what was written."""


@dataclass(frozen=True)
class Writer:
    """One write path: `write` makes the n-th write, `there` tells of which write the content is."""

    name: str
    write: Callable[[Path, int], None]
    there: Callable[[Path], int]
    mended: Callable[[Path], object] = lambda _: None
    """Raises where the write after a kill has not mended everything."""


# A baseline


def _promote(folder: Path, number: int) -> None:
    store = Baselines(Folder(str(folder / "store")))
    one = snapshot({f"KEY_{i}": str(number) for i in range(SEVERAL)}, seal=sealer(key=LASTING))
    store.write(promotion(one, store.read(HOME), by="me", at=NOW, reason=str(number)))


def _promoted(folder: Path) -> int:
    store = Baselines(Folder(str(folder / "store")))
    baseline = store.read(HOME)
    store.history(HOME)
    if baseline is None:
        return 0
    try:
        store.verify(HOME)
    except StoreError as error:
        if not str(error).endswith((NOT_ENDED, "no promotion of it is kept")):
            raise
    return int(baseline.reason)


def _verified(folder: Path) -> object:
    return Baselines(Folder(str(folder / "store"))).verify(HOME)


# A report, and snapshots as they come


def told(number: int) -> str:
    """A report that says which one it is, from its first part to its last."""
    return json.dumps([number] * (SEVERAL * 500))


def _report(folder: Path, number: int) -> None:
    files.write(str(folder / "report.json"), told(number))


def _reported(folder: Path) -> int:
    return _same(_parsed(folder / "report.json"))


def _snapshots(folder: Path, number: int) -> None:
    some = [snapshot({"A": "x"}, revision=f"r{number}") for _ in range(SEVERAL)]
    snapshots._write(str(folder / "all.json"), iter(some))


def _collected(folder: Path) -> int:
    found = _parsed(folder / "all.json")
    return _same([int(one["identity"]["revision"][1:]) for one in found])


def _parsed(path: Path) -> list:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except ValueError:
        raise Torn(f"{path.name} is not whole") from None


def _same(numbers: list[int]) -> int:
    if len(set(numbers)) > 1:
        raise Torn("two writes in one file")
    return numbers[0] if numbers else 0


# What audits keep


def _archive(folder: Path, number: int) -> None:
    archive = Archive(Folder(str(folder)), sealer(key=LASTING), NOW)
    archive.keep(
        Remembered(
            mark=f"{number}",
            service=Service(project="shop", region="europe-west1", service=f"s{i:02}"),
        )
        for i in range(SEVERAL)
    )


def _archived(folder: Path) -> int:
    archive = Archive(Folder(str(folder)), sealer(key=LASTING), NOW)
    found = [archive.recall(HOME.but(service=f"s{i:02}")) for i in range(SEVERAL)]
    return _same([int(one.mark) if one else 0 for one in found])


def _ledger(folder: Path, number: int) -> None:
    ledger = Ledger(Folder(str(folder)), LASTING)
    for i in range(SEVERAL):
        seen = Seen(since=NOW, ids=(f"{number}",))
        ledger.note(Past(service=HOME.but(service=f"s{i:02}"), findings=(seen,)))
    ledger.keep()


def _noted(folder: Path) -> int:
    ledger = Ledger(Folder(str(folder)), LASTING)
    found = [ledger.of(HOME.but(service=f"s{i:02}")) for i in range(SEVERAL)]
    return _same([int(one.findings[0].ids[0]) if one else 0 for one in found])


# Nights


def _night(folder: Path, number: int) -> None:
    at = NOW + dt.timedelta(minutes=number)
    night = Night(
        run=f"run-{number}",
        generated_at=at,
        verdict="clean",
        exit_code=0,
        headline="-",
        scope=Scope(projects=("shop",)),
    )
    Nights(Folder(str(folder))).keep(night, {"report.json": told(number)})


def _nights(folder: Path) -> int:
    store = Nights(Folder(str(folder)))
    nights = [(kept.folder, kept.read(Night)) for kept in store.kept()]
    found = sorted(int(night.run.removeprefix("run-")) for _, night in nights)
    for place, night in nights:
        page = json.loads((folder / "_nights" / place / "report.json").read_text())
        if night.run != f"run-{_same(page)}":
            raise Torn("a night without its page")
    if found != list(range(1, len(found) + 1)):
        raise Torn("a night that was kept is gone")
    return len(found)


def _keep(folder: Path, number: int) -> None:
    histories = Histories(Folder(str(folder)), LASTING)
    first = number * SEVERAL
    made = tuple(_revision(n) for n in range(first, first + SEVERAL))
    histories.note(Service(project="shop", region="europe-west1", service="api", revisions=made))
    histories.keep()


def _revision(number: int) -> Snapshot:
    made = NOW + dt.timedelta(minutes=number)
    seal, name = sealer(key=LASTING), f"api-{number}"
    return snapshot({"A": name}, seal=seal, revision=name, uid=name, create_time=made)


def _kept(folder: Path) -> int:
    histories = Histories(Folder(str(folder)), LASTING)
    [*kept], unseen = histories.of(HOME)
    index, _ = histories.index(("shop", "europe-west1"))
    if unseen or len(kept) % SEVERAL or index.counts.get("api", 0) != len(kept):
        raise Torn("a history that is not whole, or is not what its index says")
    return len(kept) // SEVERAL


# The key that seals


def _key(folder: Path, number: int) -> None:
    os.environ[keys.FILE_VARIABLE] = str(folder / "keys" / f"{number}.key")
    if not keys.there():
        keys.create()


def _created(folder: Path) -> int:
    found = sorted(int(path.stem) for path in folder.glob("keys/*.key"))
    for number in found:
        path = folder / "keys" / f"{number}.key"
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            raise Torn(f"{path.name} can be read by others")
        try:
            SealKey.parse(path.read_text())
        except ValueError:
            raise Torn(f"{path.name} is not whole") from None
    if found != list(range(1, len(found) + 1)):
        raise Torn("a key that was created is gone")
    return len(found)


ARCHIVE = Writer("archive", _archive, _archived)
LEDGER = Writer("ledger", _ledger, _noted)
WRITERS = (
    Writer("promotion", _promote, _promoted, _verified),
    Writer("report", _report, _reported),
    Writer("snapshots", _snapshots, _collected),
    ARCHIVE,
    LEDGER,
    Writer("night", _night, _nights),
    Writer("histories", _keep, _kept),
    Writer("key", _key, _created),
)


# Controls


def naive(path: Path, text: str) -> None:
    """Open, write, close."""
    with path.open("w") as file:
        file.write(text)


def hasty(path: Path, text: str) -> None:
    """A temporary that takes the name, and nothing that is flushed to disk."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


NAIVE = Writer("naive", lambda f, n: naive(f / "report.json", told(n)), _reported)
