"""Kept revisions: what nights saw is told later, in a folder and a bucket, and nothing is believed that others wrote."""

from __future__ import annotations

import datetime as dt
import gc
import gzip
import json
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_audit.errors import StoreError
from drift_audit.inventory import Service
from drift_audit.kept import Record, recorded
from drift_audit.seal import SealKey
from drift_audit.snapshot import Address, Status
from drift_audit.store.folder import Folder
from drift_audit.store.histories import (
    GONE,
    IN_FLIGHT,
    LEVEL,
    OTHER,
    TOUCHED,
    Histories,
    _Head,
    _record,
)
from drift_audit.store.home import LIMIT
from drift_audit.store.key_index import File, IndexHead
from drift_audit.store.marked import marked, packed, unpacked
from tests.bucket import bucket
from tests.builders import HOME, LASTING, sealer, snapshot
from tests.canary import files_below, leaks
from tests.strategies import environments

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The client of buckets leaves the connections of refused answers to the garbage collector."""

CANARY = "cnry-kept-90b1d4e7fa"
START = dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)
PLACE = ("shop", "europe-west1")
BELOW = ".archive/shop/europe-west1"
INDEX = f"{BELOW}.index.jsonl.gz"
API = f"{BELOW}/api.revisions.jsonl.gz"
OTHER_KEY = SealKey(b"o" * 32, lasting=True)


def revision(number, side=None, *, service="api", key=LASTING, **more):
    """The n-th revision of a service, as an audit reads it."""
    seal = sealer(key=key, reveal=["LEVEL"])
    return snapshot(
        side, seal=seal, service=service, revision=f"{service}-{number}",
        uid=f"u-{service}-{number}", create_time=START + dt.timedelta(days=number),
        creator="amy@example.com", **more,
    )  # fmt: skip


def of(*revisions, service="api", **more):
    return Service(project=PLACE[0], region=PLACE[1], service=service, revisions=revisions, **more)


def keep(home, *services, key=LASTING, kind=Histories, **sizes):
    """What one audit does at its end."""
    histories = kind(home, key, **sizes)
    for service in services:
        histories.note(service)
    histories.keep()


def told(home, service="*", keys=(), key=LASTING):
    """What became of keys, as short as it goes: service, name, and the deploys with what they did."""
    index, _ = Histories(home, key).index(PLACE)
    found = index.search(Address(project=PLACE[0], region=PLACE[1]), service, keys)
    return [
        (line.at.service, line.at.name, *((s.deploy.revision, s.what) for s in line.steps))
        for line in found.lines
    ]


def wrong(home, key=LASTING):
    return [u.reason for u in Histories(home, key).index(PLACE)[1]]


def rewrite(folder, change):
    """Change what stands in the first history of a service as whoever holds the key can."""
    data = (folder / API).read_bytes().partition(b"\n")[2]
    mark = Histories(Folder(str(folder)), LASTING)._mark
    (folder / API).write_bytes(marked(mark, API, _Head(), change(data)))


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    """A home, what lies in it, and a way to put something else there."""
    with bucket() if request.param == "bucket" else nullcontext() as cloud:
        if cloud is None:
            home = Folder(str(tmp_path / "store"))
            place = tmp_path / "store"
            yield SimpleNamespace(
                home=home,
                files=lambda: {
                    str(p.relative_to(place)): p.read_bytes()
                    for p in place.rglob("*") if p.is_file()
                },
                put=lambda path, data: (place / path).write_bytes(data),
                drop=lambda path: (place / path).unlink(),
            )  # fmt: skip
        else:
            yield SimpleNamespace(
                home=cloud.home("prod"),
                files=lambda: {
                    n.removeprefix("prod/"): data for n, (_, data) in cloud.objects.items()
                },
                put=lambda path, data: cloud.write(f"prod/{path}", data, None),
                drop=lambda path: cloud.objects.pop(f"prod/{path}"),
            )
    if cloud is not None:
        gc.collect()  # here, and not in the test of another module


JWT = {"JWT": {"secret": "jwt", "version": "1"}}


def test_night_after_night(store):
    """Each revision is kept once, and the index tells what each deploy did, also of what is gone."""
    keep(store.home, of(revision(1, JWT), revision(2, JWT)))
    first = store.files()
    keep(store.home, of(revision(2, JWT), revision(1, JWT)))
    same = store.files()
    keep(store.home, of(revision(3, {"A": "x"})), of(revision(1, service="web"), service="web"))
    kept, unseen = Histories(store.home, LASTING).of(HOME)

    assert same == first
    assert [one.revision for one in kept] == ["api-1", "api-2", "api-3"]
    assert unseen == []
    assert told(store.home) == [
        ("api", "A", ("api-3", "appeared")),
        ("api", "JWT", ("api-1", "there"), ("api-3", "vanished")),
    ]
    assert sorted(p for p in store.files() if p.endswith("jsonl.gz")) == sorted(
        [INDEX, API, f"{BELOW}/web.revisions.jsonl.gz"]
    )
    versions = store.home.versions(f"{BELOW}/")
    seen = Histories(store.home, LASTING).index(PLACE)[0].seen
    assert seen == {name: File(version) for name, version in versions.items()}


def test_what_is_kept_is_what_was_deployed(tmp_path):
    """No status, no traffic, no version that a secret stood for, and no value that was revealed."""
    secret = {"secret": "jwt", "version": "latest", "resolved": 7, "state": "enabled"}
    side = {
        "env": {"LEVEL": CANARY, "TWICE": [CANARY, "b"], "JWT": secret},
        "files": {"/etc/jwt": secret},
        "status": {"ready": True, "percent": 100},
        "service": {"ingress": "all"},
    }
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, side)))
    [kept] = Histories(home, LASTING).of(HOME)[0]

    assert (kept.status, kept.service) == (Status(), None)
    assert [ref.resolved for _, ref in kept.references] == [None, None]
    assert [ref.version_state for _, ref in kept.references] == [None, None]
    assert kept.keys["", "LEVEL"].source.clear is None
    assert kept.keys["", "LEVEL"].source.sealed is not None
    assert {p for p, data in files_below(tmp_path).items() if leaks(data, [CANARY])} == set()


def test_control_of_the_canary(tmp_path):
    """A value in the second member of a file is found."""
    packed = gzip.compress(b"harmless\n") + gzip.compress(f"{CANARY}\n".encode())
    (tmp_path / "a.revisions.jsonl.gz").write_bytes(b"{}\n" + packed)

    assert leaks(files_below(tmp_path)["a.revisions.jsonl.gz"], [CANARY])


def test_what_stands_in_for_a_revision_is_not_kept(tmp_path):
    """A template has no uid, a job no revision: neither is a revision."""
    home = Folder(str(tmp_path))
    job = snapshot({"A": "x"}, kind="job", revision="", uid="u")
    keep(home, of(snapshot({"A": "x"}, uid="")), of(job, kind="job"))

    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("region", ["-", "Europe", "..", "a/b"])
def test_names_that_are_no_path(tmp_path, region):
    """Of a place whose name is no part of a path nothing is kept, or asked for."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1)).but(region=region))

    assert files_below(tmp_path) == {}
    assert Histories(home, LASTING).of(HOME.but(region=region)) == ([], [])


def test_history_beside_the_store(tmp_path):
    """A name that leads out of the place of histories leads nowhere, whatever lies there."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1)))
    home.write(".archive/api.revisions.jsonl.gz", (tmp_path / API).read_bytes(), over=None)
    histories = Histories(home, LASTING)

    assert histories.of(HOME.but(region="..")) == ([], [])
    assert histories.of(HOME.but(service="nobody")) == ([], [])
    assert [one.revision for one in histories.of(HOME)[0]] == ["api-1"]


def test_locations_of_what_is_kept(store):
    """A location is known by its histories or by its index, and by nothing else that lies there."""
    keep(store.home, of(revision(1)), of(revision(1)).but(region="us-east1"))
    keep(store.home, of(revision(1)).but(project="bank"))
    store.drop(INDEX)
    store.drop(".archive/bank/europe-west1/api.revisions.jsonl.gz")
    for other in ("parts/nightly/1-of-2.json.gz", "bank/x", "notes", "Bank/us-east1/x", "bank/A/x"):
        store.home.write(f".archive/{other}", b"-", over=None)

    assert Histories(store.home, LASTING).places() == [
        ("bank", "europe-west1"), PLACE, ("shop", "us-east1"),
    ]  # fmt: skip


def test_history_larger_than_other_files(tmp_path):
    """A history may be larger than a baseline: it is told, gone on with, and handed over all the same."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT)))
    rewrite(  # with a name in it, as gzip calls that
        tmp_path, lambda data: data[:3] + b"\x08" + data[4:10] + b"-" * LIMIT + b"\0" + data[10:]
    )
    keep(home, of(revision(2)))
    Histories(home, LASTING).hand_over(OTHER_KEY)

    assert (tmp_path / API).stat().st_size > LIMIT
    assert told(home, key=OTHER_KEY) == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]


def before_reading(home, call):
    """The same home, where something happens just before a history is read."""

    def read(path, **more):
        if path.endswith(".revisions.jsonl.gz"):
            call(path)
        return home.read(path, **more)

    return SimpleNamespace(
        read=read, versions=home.versions, names=home.names, where=home.where, write=home.write
    )


def test_history_that_goes_while_it_is_read(store):
    """What somebody took away between the list and the reading is told, and stops nothing."""
    keep(store.home, of(revision(1, JWT)), of(revision(1, service="web"), service="web"))
    history, web = store.files()[API], HOME.but(service="web")
    home = before_reading(store.home, lambda p: p == API and p in store.files() and store.drop(p))
    kept, unseen = Histories(home, LASTING).of(HOME)
    store.put(API, history)
    missed = Histories(home, LASTING).index(PLACE)[1]
    store.put(API, history)
    Histories(home, LASTING).hand_over(OTHER_KEY)

    assert kept == []
    assert [one.reason for one in (*unseen, *missed)] == [GONE, GONE]
    assert API not in store.files()
    assert Histories(store.home, OTHER_KEY).of(web)[0] != []


def test_histories_beside_each_other(tmp_path):
    """Sixteen services are written, and read, at a time: none is done before all of them began."""
    together = threading.Barrier(IN_FLIGHT, timeout=5)
    home = before_reading(Folder(str(tmp_path)), lambda _: together.wait())
    names = [f"s{n}" for n in range(IN_FLIGHT)]
    keep(home, *(of(revision(1, JWT, service=name), service=name) for name in names))

    assert {name: len(Histories(home, LASTING).index(PLACE)[0].uids(name)) for name in names} == (
        dict.fromkeys(names, 1)
    )


# The index is nothing but the histories


def naive(chain):
    """Every change of a key or file, found by reading every revision: of what, in which, to what."""
    steps, before = [], None
    for one in chain:
        items = {("key", b.key): b for b in one.bindings} | {
            ("mount", m.path): m for m in one.mounts
        }
        now = {name: _seen(item) for name, item in items.items()}
        if before is None:
            steps += [(name, one.revision, state[0]) for name, state in now.items()]
        else:
            changed = {n for n in now.keys() | before.keys() if now.get(n) != before.get(n)}
            steps += [(n, one.revision, now[n][0] if n in now else "absent") for n in changed]
        before = now
    return sorted(steps)


def _seen(item):
    """What there is of a key or file, and where it comes from, without what it stands for today."""
    sources = (*getattr(item, "shadowed", ()), item.source)
    return item.state, *(s.model_dump_json() for s in sources)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"env": environments()},
            optional={
                "files": st.dictionaries(
                    st.sampled_from(["/a", "/b"]),
                    st.fixed_dictionaries({"secret": st.sampled_from(["x", "y"])}),
                    max_size=2,
                )
            },
        ),
        min_size=1,
        max_size=7,
    ),
    st.data(),
)
def test_index_tells_what_a_scan_tells(tmp_path_factory, sides, data):
    """Over any history, seen in any order in any nights: index, scan and an index made anew agree."""
    folder = tmp_path_factory.mktemp("store")
    home = Folder(str(folder))
    chain = [revision(n, side) for n, side in enumerate(sides)]
    left = data.draw(st.permutations(chain))
    while left:
        night = data.draw(st.integers(1, len(left)))
        keep(home, of(*left[:night]))
        left = left[night:]
    histories = Histories(home, LASTING)
    index, _ = histories.index(PLACE)
    lines = dict(index.lines)
    found = index.search(Address(project=PLACE[0], region=PLACE[1]), "api", [])
    steps = sorted(
        (("key", line.at.key) if line.at.key is not None else ("mount", line.at.mount),
         step.deploy.revision, step.state)
        for line in found.lines
        for step in line.steps
    )  # fmt: skip
    if (folder / INDEX).exists():
        (folder / INDEX).unlink()
    again, _ = Histories(home, LASTING).index(PLACE)

    assert steps == naive(histories.of(HOME)[0])
    assert again.lines == lines


def test_control_scan_finds_what_an_index_lacks():
    """An index that misses one deploy tells other steps than the scan."""
    chain = [revision(1, JWT), revision(2), revision(3, {"A": "x"})]
    told = {
        name: sorted(
            ((kind, key), step.revision, step.state)
            for (kind, _, key), steps in recorded(some).steps.items()
            for step in steps
        )
        for name, some in (("whole", chain), ("poor", [chain[0], chain[2]]))
    }

    assert told["whole"] == naive(chain)
    assert told["poor"] != naive(chain)


def test_question_with_another_key_leaves_the_index(store):
    """Who believes nothing of what is kept does not put an index of nothing in place of the one there."""
    keep(store.home, of(revision(1, JWT)))
    before = store.files()
    asked = wrong(store.home, OTHER_KEY)

    assert asked == [TOUCHED]
    assert store.files() == before


def test_index_that_is_lost_loses_nothing(store, caplog):
    """Deleted, touched, or made by somebody else, it is made anew, and the answers are the same."""
    keep(store.home, of(revision(1, JWT)), of(revision(1, JWT, service="web"), service="web"))
    keep(store.home, of(revision(2)), of(revision(2, JWT, service="web"), service="web"))
    before, index = told(store.home), store.files()[INDEX]
    answers = []
    for spoil in (
        lambda: store.drop(INDEX),
        lambda: store.put(INDEX, index[:-9]),
        lambda: store.put(INDEX, b"{}\n"),
        lambda: store.put(INDEX, bytes([*index[:-1], index[-1] ^ 1])),
    ):
        spoil()
        answers.append(told(store.home))

    assert before == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]
    assert answers == [before] * 4
    assert wrong(store.home) == []
    assert caplog.messages == 3 * [
        f"{store.home.where(INDEX)}: written by another version, or another key: it is made anew"
    ]


def test_index_older_than_the_histories(store):
    """A run that was killed before it wrote the index is noticed by whoever asks next."""
    keep(store.home, of(revision(1, JWT)))
    index = store.files()[INDEX]
    keep(store.home, of(revision(2)))
    store.put(INDEX, index)

    assert told(store.home) == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]


def test_asking_reads_the_index_alone(store):
    """Where nothing was written since, no history is read, also by audits that saw nothing new."""
    keep(store.home, of(revision(1, JWT), revision(2)))
    reads = []

    def read(path, **more):
        reads.append(path)
        return store.home.read(path, **more)

    home = SimpleNamespace(read=read, versions=store.home.versions, where=store.home.where)

    assert told(home) == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]
    assert reads == [INDEX]
    keep(home, of(revision(1, JWT), revision(2)))
    assert reads == [INDEX, INDEX]


def test_later_nights_read_what_is_new():
    """A record goes on where it stopped: of what is known, the last revision alone is read again."""
    chain = [revision(n, {"A": str(n)}) for n in range(4)]
    lines = {one.identity.uid: one.model_dump_json() for one in chain}
    known = recorded(chain[:3])
    unread = dict.fromkeys([*lines][:2], "not to be read")

    assert _record(known, lines | unread) == recorded(chain)
    with pytest.raises(ValueError, match="json"):
        _record(known, lines | unread | {"u-api-9": revision(-1).model_dump_json()})


def test_what_is_known_is_not_read_again(tmp_path):
    """The index goes on where it stopped, though a line that it knows cannot be read any more."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT), revision(2, JWT)))
    rewrite(tmp_path, lambda data: packed(unpacked(data).replace('"document"', '"later"', 1)))
    keep(home, of(revision(3)))

    assert told(home) == [
        ("api", "JWT", ("api-1", "there"), ("api-3", "vanished")),
    ]
    assert wrong(home) == []
    (tmp_path / INDEX).unlink()
    assert wrong(home) == [OTHER]


# Two writers, and those that are cut off


def test_two_writers(store):
    """Audits that end at the same time lose nothing of each other, and keep nothing twice."""
    ready = threading.Barrier(4)

    def audit(number):
        histories = Histories(store.home, LASTING)
        histories.note(of(revision(1, JWT), revision(2 + number, {"A": str(number)})))
        histories.note(of(revision(number, service="web"), service="web"))
        ready.wait()
        histories.keep()

    writers = [threading.Thread(target=audit, args=(n,)) for n in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    web = HOME.but(service="web")
    histories = Histories(store.home, LASTING)
    lines = gzip.decompress(store.files()[API].partition(b"\n")[2]).splitlines()

    assert [r.revision for r in histories.of(HOME)[0]] == [f"api-{n}" for n in range(1, 6)]
    assert [r.revision for r in histories.of(web)[0]] == [f"web-{n}" for n in range(4)]
    assert len(lines) == 5
    assert told(store.home, "*", ["JWT"]) == [
        ("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))
    ]


def test_store_that_cannot_be_written(store, caplog):
    """What cannot be kept is told by a warning, and ends no audit."""

    def write(path, data, *, over):
        raise StoreError("no room")

    home = SimpleNamespace(
        read=store.home.read, versions=store.home.versions, where=store.home.where, write=write
    )
    keep(home, of(revision(1)))

    assert "revisions were not kept: no room" in caplog.messages


def test_same_nights_same_bytes(tmp_path):
    """Nothing of a history depends on when it was written."""
    for name in ("one", "two"):
        home = Folder(str(tmp_path / name))
        keep(home, of(revision(1, JWT)))
        keep(home, of(revision(2)))

    assert (tmp_path / "one" / API).read_bytes() == (tmp_path / "two" / API).read_bytes()


# What is not believed


def test_touched_history_stays_and_goes_on_beside(store, caplog):
    """What others touched is named, not believed and not written over; living revisions are kept anew."""
    keep(store.home, of(revision(1, JWT), revision(2)))
    touched = store.files()[API].replace(b'"mark":"', b'"mark":"0', 1)
    store.put(API, touched)
    asked = told(store.home, "api"), wrong(store.home)
    keep(store.home, of(revision(2), revision(3, JWT)))
    second = f"{BELOW}/api.revisions.2.jsonl.gz"
    keep(store.home, of(revision(4)))

    assert asked == ([], [TOUCHED])
    assert f"{store.home.where(API)}: {TOUCHED}" in caplog.messages
    assert store.files()[API] == touched
    assert len(gzip.decompress(store.files()[second].partition(b"\n")[2]).splitlines()) == 3
    assert told(store.home, "api") == [("api", "JWT", ("api-3", "appeared"), ("api-4", "vanished"))]
    assert wrong(store.home) == [TOUCHED]


def test_every_edit_is_noticed(tmp_path):
    """A history with any byte changed, or cut off anywhere, is not believed."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT)))
    path = tmp_path / API
    text = path.read_bytes()
    for i in range(0, len(text), 41):
        for data in (text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :], text[:i]):
            path.write_bytes(data)
            assert Histories(home, LASTING).of(HOME)[0] == [], i
    path.write_bytes(text)

    assert len(Histories(home, LASTING).of(HOME)[0]) == 1


def test_mark_of_a_history(tmp_path):
    """A mark is bound to its purpose and place, in words that no later version may change."""
    keep(Folder(str(tmp_path)), of(revision(1, JWT)))
    head, _, data = (tmp_path / API).read_bytes().partition(b"\n")
    told = json.loads(head)
    where = '["drift-audit/v1 revisions", "shop/europe-west1/api.revisions.jsonl.gz"]'
    bare = head.replace(told["mark"].encode(), b"")

    assert told["mark"] == LASTING.mark(where, bare + b"\n" + data)


def test_history_of_another_place(tmp_path):
    """A history that was put in another one's place is not believed there."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT)), of(revision(1, service="web"), service="web"))
    (tmp_path / BELOW / "web.revisions.jsonl.gz").write_bytes((tmp_path / API).read_bytes())

    assert wrong(home) == [TOUCHED]


def test_history_that_is_gone(store, caplog):
    """A file that was there and is no more is told by name, until its index is gone too."""
    keep(store.home, of(revision(1, JWT)), of(revision(1, service="web"), service="web"))
    store.drop(API)
    asked = told(store.home, "api"), wrong(store.home), wrong(store.home)
    keep(store.home, of(revision(1, service="web"), service="web"))
    store.drop(INDEX)

    assert asked == ([], [GONE], [GONE])
    assert GONE in caplog.text
    assert wrong(store.home) == []


def test_history_that_comes_back(tmp_path):
    """A folder that was moved away, and is moved back as it was, is read again."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT), revision(2)))
    before = told(home)
    (tmp_path / BELOW).rename(tmp_path / "away")
    index, unseen = Histories(home, LASTING).index(PLACE)
    (tmp_path / "away").rename(tmp_path / BELOW)

    assert [missed.reason for missed in unseen] == [GONE]
    assert told(home) == before == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]
    assert wrong(home) == []
    assert index.seen == {"api.revisions.jsonl.gz": File("", GONE)}


def test_touched_file_that_a_person_took_away(store):
    """Who looked at a file that is not believed moves it away, and it is told no more."""
    keep(store.home, of(revision(1, JWT)))
    store.put(API, b"{}\n")
    before = wrong(store.home)
    store.drop(API)

    assert (before, wrong(store.home)) == ([TOUCHED], [])


def test_version_that_can_read_it_again(tmp_path):
    """What one version could not read, the next one that can does, though nothing was written since."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT)))
    index, _ = Histories(home, LASTING).index(PLACE)
    index.seen["api.revisions.jsonl.gz"] = File(index.seen["api.revisions.jsonl.gz"].version, OTHER)
    index.replace("api", Record())
    lines = index.close()
    Histories(home, LASTING)._index.write(PLACE, lambda _: (IndexHead(), lines))

    assert told(home, "api") == [("api", "JWT", ("api-1", "there"))]
    assert wrong(home) == []


class Later(Histories):
    """A later version, which knows more of a snapshot."""

    def _add_to(self, path, left):
        for uid in left:
            left[uid] = left[uid].replace('"document"', '"later":1,"document"')
        super()._add_to(path, left)


def test_lines_of_another_version(tmp_path):
    """A history that a later version wrote is named, and nothing of it is written over."""
    home = Folder(str(tmp_path))
    keep(home, of(revision(1, JWT)), kind=Later)
    before = wrong(home), [u.reason for u in Histories(home, LASTING).of(HOME)[1]]
    keep(home, of(revision(1, JWT), revision(2)))
    lines = gzip.decompress((tmp_path / API).read_bytes().partition(b"\n")[2]).splitlines()

    assert before == ([OTHER], [OTHER])
    assert [b'"later"' in line for line in lines] == [True, False]


def test_full_file_goes_on_in_the_next(tmp_path):
    """A file that is full is left as it is; the history is the two of them, in members of some size."""
    home, second = Folder(str(tmp_path)), f"{BELOW}/api.revisions.2.jsonl.gz"
    keep(home, of(revision(1, JWT)))
    first = (tmp_path / API).read_bytes()
    data = first.partition(b"\n")[2]
    keep(home, of(revision(2)), full=len(data))
    text = gzip.decompress((tmp_path / second).read_bytes().partition(b"\n")[2])
    keep(home, of(revision(3)), member=len(text))
    members = (tmp_path / second).read_bytes().count(b"\x1f\x8b\x08")
    keep(home, of(revision(4)))

    assert (tmp_path / API).read_bytes() == first
    assert (members, (tmp_path / second).read_bytes().count(b"\x1f\x8b\x08")) == (2, 2)
    assert data == packed(unpacked(data), LEVEL)
    assert [r.revision for r in Histories(home, LASTING).of(HOME)[0]] == [
        "api-1", "api-2", "api-3", "api-4",
    ]  # fmt: skip
    assert told(home, "api") == [("api", "JWT", ("api-1", "there"), ("api-2", "vanished"))]


def test_another_key(store):
    """What was kept under another key is believed when it is handed over; values stay as sealed."""
    keep(store.home, of(revision(1, {"A": "x", **JWT})))
    store.home.write("other", b"-", over=None)
    Histories(store.home, LASTING).hand_over(OTHER_KEY)
    Histories(store.home, LASTING).hand_over(OTHER_KEY)
    keep(store.home, of(revision(2, {"A": "y"}, key=OTHER_KEY)), key=OTHER_KEY)
    index, unseen = Histories(store.home, OTHER_KEY).index(PLACE)
    found = index.search(Address(project=PLACE[0], region=PLACE[1]), "*", [])

    assert unseen == []
    assert [(line.at.name, len(line.steps)) for line in found.lines] == [("JWT", 2)]
    assert [u.where for u in found.unseen] == ["plain values of shop/europe-west1/api in api-2"]
    assert wrong(store.home) == [TOUCHED]


def test_service_that_was_made_anew(tmp_path):
    """Revisions of one name are told apart by their uids."""
    home = Folder(str(tmp_path))
    again = revision(2, {"A": "x"}).but(
        identity=revision(2).identity.but(revision="api-1", uid="u2")
    )
    keep(home, of(revision(1)))
    keep(home, of(again, revision(3)))

    assert told(home, "api") == [("api", "A", ("api-1 (u2)", "appeared"), ("api-3", "vanished"))]
