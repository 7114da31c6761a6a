"""Files that only a key can write: how they lie there, and what is not believed of them."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from drift_audit.errors import StoreError
from drift_audit.seal import SealKey
from drift_audit.store.folder import Folder
from drift_audit.store.home import Conflict
from drift_audit.store.marked import (
    LIMIT,
    TRIES,
    Head,
    Marked,
    again,
    believed,
    leave_out_of_git,
    marked,
    packed,
    unpacked,
)

KEY, OTHER = (SealKey(text * 32, lasting=True) for text in (b"k", b"o"))
PLACE = "shop", "europe-west1"
PATH = ".archive/shop/europe-west1.x.gz"
LINES = {"b": "two\ttabs", "a": "\ud800é", "c": " a space"}


class Kind(Head):
    document: str = "kind"
    told: int = 0


def mark(where, data):
    return KEY.mark(where, data)


def another(where, data):
    return OTHER.mark(where, data)


def files(root, made=mark):
    return Marked(Folder(str(root)), ".x.gz", Kind, made, lost="it is lost")


def put(root, lines=LINES, told=7, made=mark):
    files(root, made).write(PLACE, lambda _: (Kind(told=told), lines))


def warned(caplog):
    return [(r.levelname, r.getMessage()) for r in caplog.records]


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level(logging.INFO, "drift_audit.store.marked")


def test_how_a_file_lies_there(tmp_path):
    """A head that marks itself and the rest at their place, then the lines, sorted and compressed."""
    put(tmp_path)
    first, _, rest = (tmp_path / PATH).read_bytes().partition(b"\n")
    head = json.loads(first)
    bare = Kind(told=7).model_dump_json().encode() + b"\n"

    assert gzip.decompress(rest).decode("utf-8", "surrogatepass") == (
        "a\t\ud800é\nb\ttwo\ttabs\nc\t a space\n"
    )
    assert head == {"schema_version": 1, "document": "kind", "told": 7, "mark": head["mark"]}
    assert head["mark"] == KEY.mark("shop/europe-west1.x.gz", bare + rest)
    assert (tmp_path / ".archive/.gitignore").read_bytes() == b"*\n"


def test_what_is_kept_is_read(tmp_path, caplog):
    """The head and the lines come back as they were, and nothing is said of it."""
    put(tmp_path)
    found = files(tmp_path)

    assert found.believes(PLACE)
    head, lines = found.read(PLACE) or (Kind(), {})
    assert (head.told, lines) == (7, LINES)
    assert found.where(PLACE) == str(tmp_path / PATH)
    assert warned(caplog) == []


def test_nothing_is_kept(tmp_path, caplog):
    """Where nothing is, nothing is read, believed, listed or said."""
    found = files(tmp_path)

    assert (found.read(PLACE), found.believes(PLACE), [*found.places()]) == (None, False, [])
    assert warned(caplog) == []


def touched(data):
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize("change", [touched, lambda d: b"", lambda d: b"{}\n", lambda d: d + b"\n"])
def test_files_that_somebody_touched(tmp_path, caplog, change):
    """What was touched is not believed, and that is said with what comes of it."""
    put(tmp_path)
    path = tmp_path / PATH
    path.write_bytes(change(path.read_bytes()))

    assert (files(tmp_path).believes(PLACE), files(tmp_path).read(PLACE)) == (False, None)
    assert warned(caplog) == [
        ("WARNING", f"{path}: written by another version, or another key: it is lost")
    ]


class Asked(Folder):
    """A folder that remembers how large a file it was asked for might be."""

    def __init__(self, root):
        super().__init__(str(root))
        self.limits: list[int] = []

    def read(self, path, *, limit=0):
        self.limits.append(limit)
        return super().read(path, limit=limit)


def test_files_may_be_large(tmp_path):
    """A location is read as far as one may go, by whoever reads, asks or writes."""
    put(tmp_path)
    home = Asked(tmp_path)
    found = Marked(home, ".x.gz", Kind, mark, lost="")
    found.read(PLACE)
    found.believes(PLACE)
    found.write(PLACE, lambda there: there or (Kind(), {}))

    assert home.limits[:3] == [LIMIT] * 3


def test_file_of_another_key_or_place(tmp_path):
    """What another key marked, or what was marked for another place, is not believed."""
    put(tmp_path, made=another)
    elsewhere = tmp_path / ".archive/shop/us-central1.x.gz"
    assert not files(tmp_path).believes(PLACE)
    assert files(tmp_path, another).believes(PLACE)

    (tmp_path / PATH).rename(elsewhere)
    assert not files(tmp_path, another).believes(("shop", "us-central1"))


def test_file_that_cannot_be_read(tmp_path, caplog):
    """A file that cannot be read is as good as none for who reads, and an error for who asks."""
    (tmp_path / PATH).mkdir(parents=True)

    assert files(tmp_path).read(PLACE) is None
    assert warned(caplog) == [("WARNING", f"{tmp_path / PATH}: cannot be read: it is lost")]
    with pytest.raises(StoreError):
        files(tmp_path).believes(PLACE)


def test_places(tmp_path):
    """Places are what lies under names that can be those of a project and region, with the suffix."""
    put(tmp_path)
    for path in ("shop/us.y.gz", "shop/US.x.gz", "Shop/us.x.gz", "x.gz", "web/us-east1.x.gz"):
        file = tmp_path / ".archive" / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")

    assert [*files(tmp_path).places()] == [PLACE, ("web", "us-east1")]


@pytest.mark.parametrize(
    ("place", "held"),
    [
        (("shop-1", "europe-west1"), True),
        (("shop-1", "-"), False),
        (("-", "europe-west1"), False),
        (("shop-1", "../x"), False),
        (("../shop", "europe-west1"), False),
    ],
)
def test_places_that_can_be_kept(tmp_path, place, held):
    """Both names must be such that they can be part of a path."""
    assert files(tmp_path).holds(place) is held


def test_what_changes_is_told_what_there_was(tmp_path):
    """Whoever writes is told what is kept by now, and nothing where it is not believed."""
    seen = []

    def change(there):
        seen.append(there)
        return Kind(), {"a": "1"}

    for made in (mark, mark, another):
        files(tmp_path, made).write(PLACE, change)

    assert [there and (there[0].told, there[1]) for there in seen] == [None, (0, {"a": "1"}), None]


class Contended(Folder):
    """A folder that somebody else has just written, so many times."""

    def __init__(self, root, times):
        super().__init__(str(root))
        self.times = times

    def write(self, path, data, *, over):
        if path == PATH and self.times:
            self.times -= 1
            raise Conflict("somebody else")
        super().write(path, data, over=over)


def test_file_that_others_write_too(tmp_path):
    """A write that others came before is done again, from what lies there then."""
    asked = []

    def change(there):
        asked.append(there)
        return Kind(), {"a": str(len(asked))}

    found = Marked(Contended(tmp_path, 2), ".x.gz", Kind, mark, lost="")
    found.write(PLACE, change)
    kept = found.read(PLACE)

    assert asked == [None] * 3
    assert kept is not None
    assert kept[1] == {"a": "3"}


def test_file_that_cannot_be_written(tmp_path, caplog):
    """What cannot be written is told, and no more."""
    (tmp_path / ".archive").write_text("")
    put(tmp_path)

    assert warned(caplog) == [("INFO", f"cannot read {tmp_path / PATH}: not a directory")]


def test_others_that_do_not_stop():
    """
    After so many tries it is given up and the file is named; the waits between them are random, up to
    twice as long each time, and have a bound.
    """
    waited: list[list[float]] = []
    for _ in range(200):
        waits: list[float] = []
        tried: list[int] = []

        def write(tried=tried, waits=waits):
            assert len(tried) == len(waits) < TRIES
            tried.append(1)
            raise Conflict("somebody else")

        with pytest.raises(StoreError, match=r"\Ax: others wrote it all the time\Z"):
            again(write, "x", sleep=waits.append)
        waited.append(waits)
    longest = [max(beside) for beside in zip(*waited, strict=True)]

    assert longest == pytest.approx([min(0.05 * 2**n, 5) for n in range(TRIES - 1)], rel=0.1)


def test_errors_that_are_no_conflict():
    """Other errors than a conflict end it at once."""
    tried = []

    def write():
        tried.append(1)
        raise StoreError("no")

    with pytest.raises(StoreError, match=r"\Ano\Z"):
        again(write, "x")
    assert len(tried) == 1


def test_what_is_not_for_review(tmp_path):
    """git is told once to leave the folder out, and what a person wrote there stays."""
    home = Folder(str(tmp_path))
    leave_out_of_git(home)
    assert (tmp_path / ".archive/.gitignore").read_bytes() == b"*\n"
    (tmp_path / ".archive/.gitignore").write_bytes(b"x\n")
    leave_out_of_git(home)

    assert (tmp_path / ".archive/.gitignore").read_bytes() == b"x\n"


@pytest.mark.parametrize("text", ["", "a\ud800\n", "x" * 10_000])
def test_what_is_compressed(text):
    """Text of any kind comes back, in a form that gzip reads, the same bytes each time."""
    assert unpacked(packed(text)) == unpacked(packed(text, 9)) == text
    assert packed(text) == packed(text, 1)
    assert gzip.decompress(packed(text)).decode("utf-8", "surrogatepass") == text
    assert packed("ab" * 999, 9) != packed("ab" * 999)


def test_marks_of_files_that_bear_one():
    """A mark is made of the head without one, so that a file can be marked again."""
    once = marked(mark, PATH, Kind(told=1), b"data")
    found = believed(mark, PATH, Kind, once)
    assert found is not None
    head, data = found

    assert (head.told, data) == (1, b"data")
    assert marked(mark, PATH, head, b"data") == once
    assert believed(mark, PATH, Kind, b"data") is None
    assert believed(mark, PATH, Kind, once.replace(b'"told":1', b'"told":2')) is None
