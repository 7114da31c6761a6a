"""What runs keep for the next one, in the process: the archive of what was read, the ledger of what was seen."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging

import pytest

from drift_audit import __version__
from drift_audit.errors import StoreError
from drift_audit.inventory import Remembered, Service
from drift_audit.past import Past
from drift_audit.seal import SealKey
from drift_audit.snapshot import Address
from drift_audit.store.archive import FULL_AFTER, NIGHT, Archive
from drift_audit.store.folder import Folder
from drift_audit.store.ledger import Ledger
from tests.builders import HOME, LASTING, NOW, sealer, snapshot

WEB = HOME.but(service="web")
OTHER = SealKey(b"o" * 32, lasting=True)
SECOND = dt.timedelta(seconds=1)
FILE = ".archive/shop/europe-west1.jsonl.gz"


def remembered(at=HOME, mark="m", **env):
    one = Service(
        project=at.project, region=at.region, service=at.service,
        revisions=(snapshot(env, seal=sealer(key=LASTING), service=at.service),),
    )  # fmt: skip
    return Remembered(mark=mark, service=one)


def archive(root, *, key=LASTING, now=NOW, **options):
    return Archive(Folder(str(root)), sealer(key=key), now, **options)


def lines(path):
    head, _, rest = path.read_bytes().partition(b"\n")
    text = gzip.decompress(rest).decode()
    return json.loads(head), dict(line.split("\t", 1) for line in text.split("\n")[:-1])


def test_archive_recalls_what_was_kept(tmp_path):
    """What was kept is recalled, beside what was kept before; other places and services are unknown."""
    archive(tmp_path).keep([remembered(), remembered(HOME.but(region="us-east1"))])
    archive(tmp_path).keep([remembered(WEB)])
    again = archive(tmp_path)

    assert [again.recall(at) for at in (HOME, WEB)] == [remembered(), remembered(WEB)]
    assert again.services("shop", "europe-west1") == [HOME, WEB]
    assert again.services("shop", "us-east1") == [HOME.but(region="us-east1")]
    assert again.recall(HOME.but(service="none")) is None
    assert (again.recall(HOME.but(region="..")), again.services("..", "x")) == (None, [])


def test_how_the_archive_lies_there(tmp_path):
    """A line for each service, below a head that says which version wrote it and when all was read."""
    archive(tmp_path).keep([remembered(WEB), remembered()])
    head, text = lines(tmp_path / FILE)

    assert list(text) == [str(HOME), str(WEB)]
    assert text[str(HOME)] == remembered().model_dump_json()
    assert (head["document"], head["tool"], head["full_at"]) == (
        "drift-audit/archive", __version__, "2026-01-15T12:00:00Z",
    )  # fmt: skip
    bare = json.dumps(head | {"mark": ""}, separators=(",", ":")).encode() + b"\n"
    rest = (tmp_path / FILE).read_bytes().partition(b"\n")[2]
    what = f"archive shop/europe-west1.jsonl.gz {__version__}"
    assert head["mark"] == sealer(key=LASTING).mark(what, bare + rest)


def test_archive_of_another_key(tmp_path, caplog):
    """What another key wrote is not recalled, and it is said that all is read."""
    archive(tmp_path).keep([remembered()])

    assert archive(tmp_path, key=OTHER).recall(HOME) is None
    assert caplog.messages == [
        f"{tmp_path / FILE}: written by another version, or another key: all is read"
    ]


def test_services_that_are_gone(tmp_path):
    """What is forgotten is not recalled, in this run and the next ones; what is unknown cannot be."""
    archive(tmp_path).keep([remembered(), remembered(WEB)])
    one = archive(tmp_path)
    one.forget(HOME)
    one.forget(HOME.but(service="none"))
    assert one.recall(HOME) is None
    one.keep([])

    assert archive(tmp_path).services("shop", "europe-west1") == [WEB]


def test_nothing_to_write(tmp_path):
    """A run that changed nothing, or whose places are none, writes nothing."""
    archive(tmp_path).keep([])
    one = archive(tmp_path)
    one.forget(HOME)
    one.keep([remembered(HOME.but(project=".."))])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("after", "recalled"),
    [
        (dt.timedelta(0), True),
        (FULL_AFTER - SECOND, True),
        (FULL_AFTER, False),
        (FULL_AFTER + SECOND, False),
        (-SECOND, False),
    ],
)
def test_archive_that_is_too_old(tmp_path, caplog, after, recalled):
    """After a week, or before its own time, nothing is recalled, and what is read replaces it."""
    caplog.set_level(logging.INFO, "drift_audit.store.archive")
    archive(tmp_path).keep([remembered()])
    later = archive(tmp_path, now=NOW + after)
    found = later.recall(HOME)
    later.keep([remembered(WEB)])
    head, text = lines(tmp_path / FILE)

    assert found == (remembered() if recalled else None)
    assert list(text) == ([str(HOME), str(WEB)] if recalled else [str(WEB)])
    told = f"{tmp_path / FILE}: last read whole on 2026-01-15: everything is read"
    assert caplog.messages == ([] if recalled else [told])
    assert dt.datetime.fromisoformat(head["full_at"]) == (NOW if recalled else NOW + after)


def test_age_is_that_of_the_oldest_reading(tmp_path):
    """A run that reads little does not make the whole young again, whether or not it asked before."""
    archive(tmp_path).keep([remembered()])
    for hours, asks in ((24, True), (48, False)):
        one = archive(tmp_path, now=NOW + dt.timedelta(hours=hours))
        if asks:
            one.recall(HOME)
        one.keep([remembered(WEB)])

        assert lines(tmp_path / FILE)[0]["full_at"] == "2026-01-15T12:00:00Z"


def test_archive_that_vanishes_meanwhile(tmp_path):
    """What is made of what was recalled is as old as that, also where the file is gone by then."""
    archive(tmp_path).keep([remembered()])
    one = archive(tmp_path, now=NOW + dt.timedelta(hours=24))
    found = one.recall(HOME)
    (tmp_path / FILE).unlink()
    one.keep([found])

    assert lines(tmp_path / FILE)[0]["full_at"] == "2026-01-15T12:00:00Z"


@pytest.mark.parametrize(("after", "stays"), [(NIGHT, True), (NIGHT + SECOND, False)])
def test_everything_anew(tmp_path, after, stays):
    """With `full` nothing is recalled; what another part of the same run has read anew stays."""
    archive(tmp_path).keep([remembered()])
    full = archive(tmp_path, now=NOW + after, full=True)
    assert (full.recall(HOME), full.services("shop", "europe-west1")) == (None, [])
    full.keep([remembered(WEB)])
    head, text = lines(tmp_path / FILE)

    assert list(text) == ([str(HOME), str(WEB)] if stays else [str(WEB)])
    assert dt.datetime.fromisoformat(head["full_at"]) == (NOW if stays else NOW + after)


def test_everything_anew_on_the_first_day(tmp_path):
    """With `full` and nothing there, what was read is kept."""
    archive(tmp_path, full=True).keep([remembered()])

    assert archive(tmp_path).recall(HOME) == remembered()


@pytest.mark.parametrize("line", ["{}", remembered(WEB).model_dump_json()])
def test_line_that_is_not_of_the_service(tmp_path, line):
    """A line that says nothing, or is of another service, is not taken for that of the service."""
    one = archive(tmp_path)
    one._lines(("shop", "europe-west1"))[str(HOME)] = line

    assert one.recall(HOME) is None


# What was seen


SEEN = Past(service=HOME, since=NOW)
SEEN_WEB = Past(service=WEB, since=NOW + SECOND)
LEDGER = ".archive/shop/europe-west1.past.jsonl.gz"


def ledger(root, key=LASTING):
    return Ledger(Folder(str(root)), key)


def note(root, *pasts, key=LASTING):
    one = ledger(root, key)
    for past in pasts:
        one.note(past)
    one.keep()


def test_ledger_tells_what_was_noted(tmp_path):
    """What was noted is told by the next run, and not by this one, which asked before."""
    one = ledger(tmp_path)
    before = one.of(HOME)
    one.note(SEEN)
    one.keep()
    note(tmp_path, SEEN_WEB, SEEN.but(service=HOME.but(project="..")))
    again = ledger(tmp_path)

    assert (before, one.of(HOME)) == (None, None)
    assert [again.of(at) for at in (HOME, WEB, HOME.but(service="none"))] == [SEEN, SEEN_WEB, None]
    assert again.of(HOME) is again.of(HOME)
    assert again.of(Address()) is None
    assert [p.name for p in (tmp_path / ".archive").iterdir() if p.is_dir()] == ["shop"]


def test_how_the_ledger_lies_there(tmp_path, caplog):
    """A line for each service, marked with the key for its place."""
    note(tmp_path, SEEN_WEB, SEEN)
    head, text = lines(tmp_path / LEDGER)
    bare = json.dumps(head | {"mark": ""}, separators=(",", ":")).encode() + b"\n"
    rest = (tmp_path / LEDGER).read_bytes().partition(b"\n")[2]
    what = json.dumps(["drift-audit/v1 past", "shop/europe-west1.past.jsonl.gz"])

    assert text == {str(HOME): SEEN.model_dump_json(), str(WEB): SEEN_WEB.model_dump_json()}
    assert head["document"] == "drift-audit/past"
    assert head["mark"] == LASTING.mark(what, bare + rest)
    assert ledger(tmp_path, OTHER).of(HOME) is None
    assert caplog.messages == [
        f"{tmp_path / LEDGER}: written by another version, or another key: what was seen before is lost"
    ]


def test_ledger_is_read_once(tmp_path):
    """A location is read when it is asked for first, and no more."""
    note(tmp_path, SEEN, SEEN_WEB)
    one = ledger(tmp_path)
    one.of(HOME)
    (tmp_path / LEDGER).unlink()

    assert one.of(WEB) == SEEN_WEB


@pytest.mark.parametrize("line", ["{}", SEEN_WEB.model_dump_json()])
def test_line_of_the_ledger_that_is_not_of_the_service(tmp_path, line):
    """A line that says nothing, or is of another service, tells nothing of the service."""
    one = ledger(tmp_path)
    one._noted["shop", "europe-west1"] = {str(HOME): line}
    one.keep()

    assert ledger(tmp_path).of(HOME) is None


def test_ledger_under_another_key(tmp_path, caplog):
    """
    Handed over, what was seen is kept under the other key; what that one wrote already stays, and
    nothing is said to be lost.
    """
    there = ".archive/shop/us-east1.past.jsonl.gz"
    east = SEEN.but(service=HOME.but(region="us-east1"))
    note(tmp_path, SEEN, SEEN_WEB)
    note(tmp_path, east, key=OTHER)
    before = (tmp_path / there).read_bytes()
    ledger(tmp_path).hand_over(OTHER)

    assert caplog.messages == []
    assert [ledger(tmp_path, OTHER).of(p.service) for p in (SEEN, SEEN_WEB, east)] == [
        SEEN, SEEN_WEB, east,
    ]  # fmt: skip
    assert (tmp_path / there).read_bytes() == before
    assert ledger(tmp_path).of(HOME) is None


def test_ledger_of_a_third_key(tmp_path):
    """What neither key wrote stays as it is; what cannot be read is an error."""
    note(tmp_path, SEEN, key=SealKey(b"t" * 32, lasting=True))
    before = (tmp_path / LEDGER).read_bytes()
    ledger(tmp_path).hand_over(OTHER)
    assert (tmp_path / LEDGER).read_bytes() == before

    (tmp_path / LEDGER).unlink()
    (tmp_path / LEDGER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        ledger(tmp_path).hand_over(OTHER)
