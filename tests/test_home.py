"""The homes of a store, a folder and a bucket: one suite for both, over the real client."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError

from drift_audit import files
from drift_audit.errors import ExitCode, StoreError
from drift_audit.store.bucket import IN_FLIGHT, Bucket, open_bucket
from drift_audit.store.folder import Folder
from drift_audit.store.home import Conflict
from tests.bucket import NAME, bucket

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The client leaves the connections of refused answers to the garbage collector."""


def opened(cloud):
    return cloud.home("some/prefix")


def test_stand_in_refuses_as_the_real_one_does():
    """Of a file that is created twice, or over a generation that is gone, the second is answered 412."""
    with bucket() as cloud:
        home = opened(cloud)
        home.write("a", b"1", over=None)
        for over in (None, "999"):
            with pytest.raises(Conflict):
                home.write("a", b"2", over=over)
        told = cloud.write("some/prefix/a", b"2", "0")

    assert told[0] == 412


def test_round_trip(home):
    """What is written is read back, byte by byte; what is not there is None."""
    data = bytes(range(256))
    home.write("a/b.json", data, over=None)

    assert home.read("a/b.json").data == data
    assert home.read("a/c.json") is None


def test_replacing(home):
    """A file is replaced by whoever read what lies there, and has another generation then."""
    home.write("a/b", b"1", over=None)
    first = home.read("a/b")
    home.write("a/b", b"2", over=first.generation)
    second = home.read("a/b")

    assert (second.data, second.generation != first.generation) == (b"2", True)


def test_conflicts(home):
    """Who did not see what lies there replaces nothing."""
    home.write("a/b", b"1", over=None)
    seen = home.read("a/b").generation
    home.write("a/b", b"2", over=seen)

    for over in (None, seen):
        with pytest.raises(Conflict, match="somebody else wrote it in the meantime") as error:
            home.write("a/b", b"3", over=over)
        assert error.value.code is ExitCode.REFUSED
    with pytest.raises(Conflict):
        home.write("a/new", b"3", over=seen)
    assert home.read("a/b").data == b"2"
    assert home.read("a/new") is None


def test_names(home):
    """A folder is listed with the folders in it, sorted; one that is not there is empty."""
    for path in ("b/2", "b/1", "b/x/1", "b/x/2", "b/x/y/3", "b/z", "c", "a/1"):
        home.write(path, b"-", over=None)

    assert home.names() == ["a/", "b/", "c"]
    assert home.names("b/") == ["1", "2", "x/", "z"]
    assert home.names("d/") == home.names("c/") == []
    assert home.names_all(["b/x/", "d/", "a/"]) == {"b/x/": ["1", "2", "y/"], "d/": [], "a/": ["1"]}


def test_versions(home):
    """A file that is written again has another version, whatever is written; the others keep theirs."""
    for path in ("b/1", "b/2", "b/x/3"):
        home.write(path, b"-", over=None)
    first = home.versions("b/")
    home.write("b/2", b"-", over=home.read("b/2").generation)
    second = home.versions("b/")

    assert first.keys() == second.keys() == {"1", "2"}
    assert [first[name] == second[name] for name in ("1", "2")] == [True, False]
    assert home.versions("d/") == home.versions("b/1/") == {}


def test_several(home):
    """Several files are read at once, those that are there."""
    for name in "abcde":
        home.write(name, name.encode(), over=None)
    found = home.read_all(["a", "nobody", "c"])

    assert {path: stored.data for path, stored in found.items()} == {"a": b"a", "c": b"c"}


def test_limit(home):
    """What is larger than it may be is refused."""
    home.write("a", b"12345", over=None)

    assert home.read("a", limit=5).data == b"12345"
    assert home.read_all(["a"], limit=5)["a"].data == b"12345"
    with pytest.raises(StoreError, match="too-big"):
        home.read("a", limit=4)
    with pytest.raises(StoreError, match="too-big"):
        home.read_all(["a"], limit=4)


def test_one_of_many_writers_wins(home):
    """Of twenty that replace one generation, one does, and the others hear of it."""
    home.write("a", b"before", over=None)
    seen = home.read("a").generation
    ready = threading.Barrier(20)

    def write(number):
        ready.wait()
        try:
            home.write("a", b"%d" % number, over=seen)
        except Conflict:
            return None
        return b"%d" % number

    with ThreadPoolExecutor(20) as pool:
        won = [one for one in pool.map(write, range(20)) if one is not None]

    assert won == [home.read("a").data]


def test_careless_bucket_loses_writes():
    """The suite's control: where preconditions are forgotten, more than one writer wins."""
    with bucket(careless=True) as cloud:
        home = opened(cloud)
        home.write("a", b"1", over=None)
        home.write("a", b"2", over=None)

        assert home.read("a").data == b"2"


def test_bucket_that_fails_for_a_while():
    """An answer that says to come back is asked for again."""
    with bucket(faults=[503, 429]) as cloud:
        opened(cloud).write("a", b"1", over=None)
        cloud.faults = [503]
        there = opened(cloud).read("a").data
        cloud.faults = [503]

        assert (there, opened(cloud).names()) == (b"1", ["a"])


HINT = f"gcloud storage ls gs://{NAME}"
CALLS = {
    "read": lambda home: home.read("a"),
    "write": lambda home: home.write("a", b"1", over=None),
    "list": lambda home: home.names("a"),
}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize(("fault", "pause"), [(503, 0), (None, 1.5)])
def test_patience_with_a_bucket(verb, fault, pause):
    """A bucket that fails, or does not answer in time, is asked again for so long and no longer."""
    with bucket(faults=[fault] if fault else [], pause=pause) as cloud:
        client = opened(cloud)._client
        home = Bucket(client, NAME, "some/prefix", seconds=0.1, patience=0.0)
        with pytest.raises(StoreError, match="it did not answer as it should"):
            CALLS[verb](home)


@pytest.mark.parametrize("ask", [Bucket.read_all, Bucket.names_all])
def test_calls_beside_each_other(ask):
    """Of many files or folders sixteen are asked for at a time: none is answered before all of them came."""
    paths = [f"{n}/" for n in range(IN_FLIGHT)]
    with bucket(together=threading.Barrier(IN_FLIGHT, timeout=5)) as cloud:
        found = ask(opened(cloud), paths)

    assert len(cloud.asked) == IN_FLIGHT
    assert not any(found.values())


def test_write_that_is_answered():
    """A write is one call: what was written is not asked for again."""
    with bucket() as cloud:
        opened(cloud).write("a", b"1", over=None)

    assert cloud.asked == [f"POST /upload/storage/v1/b/{NAME}/o/some/prefix/a"]


def test_write_whose_answer_was_lost():
    """A write that was done before the answer was lost is no conflict when it is repeated."""
    with bucket(after_write=[503]) as cloud:
        opened(cloud).write("a", b"1", over=None)

        assert opened(cloud).read("a").data == b"1"
        assert len([ask for ask in cloud.asked if ask.startswith("POST")]) == 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda home: home.read("a"), "cannot read gs://audits/some/prefix/a: permission denied"),
        (
            lambda home: home.names("a/"),
            "cannot list gs://audits/some/prefix/a/: permission denied",
        ),
        (
            lambda home: home.write("a", b"", over=None),
            "cannot write gs://audits/some/prefix/a: permission",
        ),
    ],
)
def test_bucket_that_may_not_be_used(call, told):
    """Who may not see or change something hears where, and nothing of what the server said."""
    with bucket(denied="/o") as cloud, pytest.raises(StoreError, match=told) as error:
        call(opened(cloud))
    assert "canary" not in f"{error.value} {error.value.hint}"


def test_bucket_that_is_not_there():
    """A bucket that does not exist is told as that, for every call."""
    with bucket() as cloud:
        home = open_bucket("gs://nobodys", cloud.url, credentials=pytest.fail)
        cloud.opened.append(home._client)
        for call in (lambda: home.read("a"), home.names, lambda: home.write("a", b"1", over=None)):
            with pytest.raises(StoreError, match="no such bucket"):
                call()


def test_bucket_that_does_not_answer():
    """An answer that nobody understands is an error, and no empty store."""
    with (
        bucket(faults=[400]) as cloud,
        pytest.raises(StoreError, match="did not answer as it should"),
    ):
        opened(cloud).read("a")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.json", "application/json"),
        ("a/b.html", "text/html"),
        ("a/b.md", "text/markdown"),
        ("a/b.jsonl.gz", "application/gzip"),
        ("a/.gitignore", "text/plain"),
        ("json", "application/json"),
        ("a", "text/plain"),
    ],
)
def test_what_a_browser_takes_a_file_for(path, kind):
    """A page opens as a page, and what is compressed is not taken for text."""
    with bucket() as cloud:
        opened(cloud).write(path, b"1", over=None)

        assert cloud.kinds == {f"some/prefix/{path}": kind}


@pytest.mark.parametrize(
    ("prefix", "where"),
    [("", ""), ("/", ""), ("a", "a/"), ("a/b/", "a/b/"), ("//a//", "a/"), ("X", "X/")],
)
def test_prefixes(prefix, where):
    """A home lies below its prefix, with or without slashes around it."""
    with bucket() as cloud:
        home = cloud.home(prefix)
        home.write("x/y", b"1", over=None)

        assert home.where("x/y") == f"gs://{NAME}/{where}x/y"
        assert list(cloud.objects) == [f"{where}x/y"]
        assert (home.names(), home.names("x/"), home.read("x/y").data) == (["x/"], ["y"], b"1")


def test_generations_of_a_bucket():
    """Versions and generations are those that the bucket counts, as text."""
    with bucket() as cloud:
        home = opened(cloud)
        for path in "abcdef":
            home.write(f"x/{path}", b"1", over=None)
        wanted = {path: str(cloud.objects[f"some/prefix/x/{path}"][0]) for path in "abcdef"}

        assert home.versions("x/") == wanted
        assert home.read("x/a") == (b"1", wanted["a"])
        assert home.names_all(["x/", "y/"]) == {"x/": [*"abcdef"], "y/": []}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize(
    ("settings", "told", "hint"),
    [
        ({"denied": "/o"}, "permission denied", HINT),
        ({"faults": (400,)}, "BadRequest: it did not answer as it should", ""),
    ],
)
def test_refusals_word_for_word(verb, settings, told, hint):
    """What a bucket refuses is told by what was tried, where, and why, with the next thing to type."""
    with bucket() as cloud:
        cloud.denied, cloud.faults = settings.get("denied", ""), [*settings.get("faults", ())]
        with pytest.raises(StoreError) as error:
            CALLS[verb](opened(cloud))

    assert str(error.value) == f"cannot {verb} gs://{NAME}/some/prefix/a: {told}"
    assert error.value.hint == hint


@pytest.mark.parametrize("verb", CALLS)
def test_missing_bucket_word_for_word(verb):
    """A bucket that is not there is no empty one, whatever is asked of it."""
    with bucket() as cloud:
        home = open_bucket("gs://nobodys", cloud.url, credentials=pytest.fail)
        cloud.opened.append(home._client)
        with pytest.raises(StoreError) as error:
            CALLS[verb](home)

    assert str(error.value) == f"cannot {verb} gs://nobodys/a: no such bucket"
    assert error.value.hint == "gcloud storage ls gs://nobodys"


def test_conflicts_and_limits_word_for_word():
    """A file that somebody else wrote, that is too large, or that is empty, is told by its path."""
    with bucket() as cloud:
        home = opened(cloud)
        home.write("a", b"1" * 9, over=None)
        cloud.write("some/prefix/b", b"", None)
        cloud.write("some/prefix/large", b"1" * (8 * 2**20 + 1), None)
        told = []
        for call in (
            lambda: home.write("a", b"2", over=None),
            lambda: home.read("a", limit=8),
            lambda: home.read("large"),
            lambda: home.read("b"),
        ):
            with pytest.raises(StoreError) as error:
                call()
            told.append(str(error.value).removeprefix(f"gs://{NAME}/some/prefix/"))

        assert told == [
            "a: somebody else wrote it in the meantime",
            "a: too-big: larger than 0 MiB",
            "large: too-big: larger than 8 MiB",
            "b: empty",
        ]
        assert home.read("a", limit=9).data == b"1" * 9
        home.write("a", b"1" * 9, over=None)  # what lies there is what was to be written


def test_empty_file():
    """A file without content is none of ours."""
    with bucket() as cloud:
        cloud.write("some/prefix/a", b"", None)
        with pytest.raises(StoreError, match="gs://audits/some/prefix/a: empty"):
            opened(cloud).read("a")


@pytest.mark.parametrize("name", ["gs://", "gs://A", "gs:///x", "gs://a b/c"])
def test_names_of_no_bucket(name):
    """What is no name of a bucket is refused before anything is asked."""
    with pytest.raises(StoreError) as error:
        open_bucket(name, "http://127.0.0.1:1", credentials=pytest.fail)

    assert str(error.value) == f"{name}: not the name of a bucket"
    assert error.value.hint == "give gs://BUCKET/PREFIX"


def test_credentials_that_cannot_be_used(monkeypatch):
    """Credentials that fail when they are used are told of, and not what they say."""

    class Expired(Credentials):
        def refresh(self, _):
            raise DefaultCredentialsError("canary-in-the-credentials")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "")
    home = open_bucket(f"gs://{NAME}", "", credentials=Expired)

    with closing(home._client), pytest.raises(StoreError, match="no usable credentials") as error:
        home.read("a")
    assert str(error.value) == f"cannot read gs://{NAME}/a: no usable credentials"
    assert error.value.hint == "gcloud auth application-default login"


def test_what_a_killed_run_has_left_is_swept(tmp_path):
    """A temporary that nobody finished is gone after the next write beside it."""
    left = tmp_path / "a" / files.TEMPORARY.format("00112233")
    left.parent.mkdir()
    left.write_text("half of it")
    Folder(str(tmp_path)).write("a/b", b"1", over=None)

    assert [entry.name for entry in left.parent.iterdir()] == ["b"]
