"""Baselines and their folder, word for word: what is written, and how each thing that is wrong is told."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import resource

import pytest

from drift_audit.errors import StoreError
from drift_audit.history import Baseline
from drift_audit.seal import SealKey
from drift_audit.snapshot import Status, Unseen
from drift_audit.store.baseline import (
    ROTATED,
    StoredBaseline,
    content_digest,
    promotion,
    read_baseline,
)
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from drift_audit.store.home import Conflict
from tests.builders import HOME, LASTING, NOW, sealer, snapshot

PLACE = "shop/europe-west1/api"
KEPT = f"_history/{PLACE}.00000{{}}.json"
RESTORE = "restore the file from git or an older generation, or promote the revision again"
SIDE = {
    "env": {"A": "1", "B": ["2", "3"], "C": {"secret": "c"}},
    "settings": {"args": {"sealed": "x"}},
}


def made(number=1, before=None, side=None, **said):
    one = snapshot(side or {"A": str(number)}, seal=sealer(key=LASTING), **said.pop("identity", {}))
    said = {"by": "me", "at": NOW, "reason": f"release {number}"} | said
    return promotion(one, before, **said)


def chain(count=3):
    found: list[StoredBaseline] = []
    for number in range(1, count + 1):
        found.append(made(number, found[-1] if found else None))
    return found


@pytest.fixture
def store(tmp_path):
    found = Baselines(Folder(str(tmp_path)))
    for one in chain():
        found.write(one)
    return Baselines(Folder(str(tmp_path)))


def plain_digest(document):
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def refused(call, error=StoreError):
    with pytest.raises(error) as told:
        call()
    return str(told.value), told.value.hint


# One promotion


def test_what_a_promotion_says():
    """It counts on, names the one before it, and holds what was said, each id once and in order."""
    said = {
        "waivers": ["b", "a", "b"], "service_uid": "u", "known_good": ["it serves", "and well"],
        "forced": "we must", "violates": ["v2", "v1"],
    }  # fmt: skip
    one = made(2, made(), **said)

    assert (one.sequence, one.previous) == (2, made().sha256)
    assert (one.promoted_by, one.promoted_at, one.reason) == ("me", NOW, "release 2")
    assert one.snapshot == snapshot({"A": "2"}, seal=sealer(key=LASTING))
    assert (one.waivers, one.service_uid) == (("a", "b"), "u")
    assert (one.known_good, one.forced, one.violates) == (
        ("it serves", "and well"), "we must", ("v2", "v1"),
    )  # fmt: skip
    assert one.reference == Baseline(
        one.snapshot,
        "promoted on 2026-01-15 by me: release 2; against the policy: we must",
        frozenset({"a", "b"}),
        frozenset({"v1", "v2"}),
        dt.date(2026, 1, 15),
    )


@pytest.mark.usefixtures("far_east")
def test_what_a_promotion_does_not_say():
    """
    What nobody said does not stand in the file; no waivers are told as none. The day is that in UTC,
    wherever the program runs, and whatever the time is written in.
    """
    one = made()
    document = json.loads(one.text())

    assert document.keys() == {
        "schema_version", "document", "sequence", "previous", "promoted_by", "promoted_at", "reason",
        "snapshot", "waivers", "sha256",
    }  # fmt: skip
    assert (one.sequence, one.previous, one.waivers) == (1, "", ())
    assert one.reference == Baseline(one.snapshot, one.why, frozenset(), frozenset(), one.day)
    assert one.why == "promoted on 2026-01-15 by me: release 1"
    assert one.but(waivers=None).reference.waivers is None
    late = made(at=NOW.astimezone(dt.timezone(dt.timedelta(hours=14))))
    assert late.why == one.why


def test_digest_of_a_promotion():
    """The digest is that of the file without it, as canonical JSON: anybody can make it."""
    one = made(reason="é")
    document = json.loads(one.text())

    assert one.sha256 == plain_digest(document) == document["sha256"]
    assert one.text() == json.dumps(document, indent=1, sort_keys=True) + "\n"
    assert read_baseline(one.text().encode(), "x") == one


def test_digest_of_a_revision():
    """What a revision is has the digest of its snapshot, without how it stands and what was unseen."""
    side = SIDE | {"status": {"percent": 7}, "unseen": [{"where": "x", "reason": "y"}]}
    one = snapshot(side, create_time=NOW)
    bare = one.but(status=Status(), seen=type(one.seen)())

    assert content_digest(one) == plain_digest(bare.model_dump(mode="json"))
    assert one.seen.unseen == (Unseen(where="x", reason="y"),)


def test_keys_that_a_baseline_is_sealed_with():
    """Every key is told that some value was sealed with, wherever it stands; none where none is."""
    other = SealKey(b"o" * 32, lasting=True)
    both = snapshot({"A": "1"}, seal=sealer(key=LASTING))
    more = snapshot({"A": ["1", "2"]}, seal=sealer(key=other))
    shadow = both.bindings[0].but(shadowed=more.bindings[0].shadowed)
    one = promotion(both.but(bindings=(shadow,)), None, by="me", at=NOW, reason="r")

    assert one.sealed_with == {LASTING.id(HOME), other.id(HOME)}
    assert made(side={"C": {"secret": "c"}}).sealed_with == frozenset()
    assert made(side={"settings": {"args": {"sealed": "x"}}}).sealed_with == {LASTING.id(HOME)}


def test_promotion_under_another_key():
    """The same is said under another key by who rotates, now; one value that was not read forbids it."""
    new = SealKey(b"n" * 32, lasting=True)
    one = made(3, made(), side=SIDE, waivers=["w"], service_uid="u", forced="f")
    seals = {}
    for name, values in (("A", ["1"]), ("B", ["2", "3"])):
        for value in values:
            at = HOME.at(key=name)
            seals[sealer(key=LASTING).seal(at, value).sealed] = (
                sealer(key=new).seal(at, value).sealed
            )
    lacking = dict(seals)
    at = HOME.at(setting="args")
    seals[sealer(key=LASTING).seal(at, "x").sealed] = sealer(key=new).seal(at, "x").sealed
    later = NOW + dt.timedelta(days=1)
    found = one.resealed(seals, by="you", at=later)

    assert (
        found
        == one.but(
            sequence=one.sequence + 1,
            previous=one.sha256,
            promoted_by="you",
            promoted_at=later,
            reason=f"{ROTATED}release 3",
            snapshot=snapshot(SIDE, seal=sealer(key=new)),
        ).signed()
    )
    assert read_baseline(found.text().encode(), "x") == found
    assert one.resealed(lacking, by="you", at=later) is None
    back = {b: a for a, b in seals.items()}
    assert found.resealed(back, by="you", at=later).reason == f"{ROTATED}release 3"


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"at": NOW + dt.timedelta(days=1)}, True),
        ({"service_uid": "u"}, True),
        ({"by": "you"}, False),
        ({"reason": "another"}, False),
        ({"waivers": ["w"]}, False),
        ({"forced": "f"}, False),
        ({"side": {"A": "2"}}, False),
    ],
)
def test_promotions_that_say_the_same(changed, same):
    """The same people who say the same of the same revision repeat themselves, whenever that is."""
    assert (
        made(5, made(), side={"A": "1"}, reason="r").repeats(
            made(**({"side": {"A": "1"}, "reason": "r"} | changed))
        )
        is same
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file"),
        (b"{}", "sequence"),
        (b"\xff", "the file"),
        (json.dumps({**json.loads(made().text()), "sequence": 0}).encode(), "sequence"),
        (made().text().replace('"name": ""', '"nam": ""').encode(), "snapshot.containers.0.name"),
    ],
)
def test_what_is_no_baseline(data, told):
    """What is no baseline is told with the first place that shows it."""
    assert refused(lambda: read_baseline(data, "x.json")) == (
        f"x.json: not a baseline of this version: {told}",
        "",
    )


@pytest.mark.parametrize(
    "text",
    [
        made().text().replace("release 1", "release 2"),
        made().text() + "\n",
        json.dumps(json.loads(made().text())),
        made().but(sha256="").text(),
    ],
)
def test_baseline_that_was_edited(text):
    """Other words, other spaces, or no digest: it is not what was written."""
    assert refused(lambda: read_baseline(text.encode(), "x.json")) == (
        "x.json: the content does not match its sha256",
        "restore the file from git, or promote the revision again",
    )


# The store


def put(root, path, one):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(one if isinstance(one, str) else one.text())


def test_promotions_in_their_places(store, tmp_path):
    """The last one counts, and each is kept under its number."""
    assert (tmp_path / f"{PLACE}.json").read_text() == chain()[2].text()
    for number, one in enumerate(chain(), 1):
        assert (tmp_path / KEPT.format(number)).read_text() == one.text()
    assert (store.read(HOME), store.verify(HOME), store.history(HOME)) == (
        chain()[2], chain()[2], chain(),
    )  # fmt: skip
    assert store.write(chain()[2]) == str(tmp_path / f"{PLACE}.json")
    assert store.write(chain(4)[3]) == str(tmp_path / f"{PLACE}.json")
    assert store.history(HOME) == chain(4)


@pytest.mark.parametrize("part", ["project", "region", "service"])
def test_services_without_a_full_name(store, part):
    """A service of which a name is not known has no baseline; one whose name is no path is refused."""
    assert store.read(HOME.but(**{part: "-"})) is None
    assert refused(lambda: store.read(HOME.but(**{part: "../x"}))) == (
        f"{HOME.but(**{part: '../x'})} does not name project, region and service",
        "give --project and --region",
    )


def test_baseline_that_is_older_than_its_history(store, tmp_path):
    """What was put back, or taken away, is told with where its history goes to."""
    where = tmp_path / f"{PLACE}.json"
    put(tmp_path, f"{PLACE}.json", chain()[0])
    assert refused(lambda: store.read(HOME)) == (
        f"{where}: is that of promotion 1, and its history goes to 3", RESTORE,
    )  # fmt: skip
    where.unlink()
    assert refused(lambda: store.read(HOME)) == (
        f"{where}: is gone, and its history goes to 3",
        RESTORE,
    )


@pytest.mark.parametrize(
    ("was", "asked", "told"),
    [("old", "new", True), ("old", "old", False), ("old", "", False), ("", "new", False)],
)
def test_service_that_was_made_anew(tmp_path, was, asked, told):
    """A baseline is that of the service that was promoted, as far as both say which one it is."""
    store = Baselines(Folder(str(tmp_path)))
    one = made(service_uid=was)
    store.write(one)
    assert store.read(HOME) == one
    if not told:
        assert store.read(HOME, asked) == one
        return
    says, hint = refused(lambda: store.read(HOME, asked))
    where = tmp_path / f"{PLACE}.json"
    assert says == f"{where}: of a service that was deleted; {HOME} was created anew"
    assert hint == "promote a revision of the new service"


@pytest.mark.parametrize("path", [f"{PLACE}.json", KEPT.format(2)])
def test_files_that_are_damaged(store, tmp_path, path):
    """A file that is no baseline, or that of another service, is told by its name."""
    where = tmp_path / path
    put(tmp_path, path, "{}")
    assert refused(lambda: store.verify(HOME)) == (
        f"{where}: not a baseline of this version: sequence",
        "",
    )
    put(tmp_path, path, made(3, chain()[1], identity={"service": "web"}))
    assert refused(lambda: store.verify(HOME)) == (
        f"{where}: is the baseline of shop/europe-west1/web",
        RESTORE,
    )


def test_promotion_over_a_damaged_file(store, tmp_path):
    """What is damaged is not written over: it is told by its name, and stays."""
    put(tmp_path, f"{PLACE}.json", "{}")

    assert refused(lambda: store.write(chain(4)[3])) == (
        f"{tmp_path}/{PLACE}.json: not a baseline of this version: sequence",
        "",
    )
    assert (tmp_path / f"{PLACE}.json").read_text() == "{}"


def test_promotion_that_others_came_before(store, tmp_path):
    """Who follows another baseline than the one that is there hears which one that is, and keeps nothing."""
    where = tmp_path / f"{PLACE}.json"
    hint = "compare with it, then promote again"
    late = made(9, chain()[1])
    assert refused(lambda: store.write(late), Conflict) == (
        f"{where}: another promotion came first: api-00002-new was {chain()[2].why}",
        hint,
    )
    assert refused(lambda: store.write(made(9)), Conflict)[1] == hint
    where.unlink()
    assert refused(lambda: store.write(chain(4)[3]), Conflict) == (
        f"{where}: another promotion came first: it was removed", hint,
    )  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "_history/shop/europe-west1").iterdir()) == [
        f"api.00000{number}.json" for number in (1, 2, 3)
    ]


def test_promotion_whose_place_is_taken(store, tmp_path):
    """What is kept already must be the same."""
    put(tmp_path, KEPT.format(4), made(4))
    where = tmp_path / KEPT.format(4)

    assert refused(lambda: store.write(chain(4)[3])) == (
        f"{where}: tells of another promotion",
        RESTORE,
    )


@pytest.mark.parametrize(
    ("changes", "at", "told"),
    [
        ({KEPT.format(2): None}, KEPT.format(2), "missing: promotion 2 is not kept"),
        ({KEPT.format(2): chain()[0]}, KEPT.format(2), "holds promotion 1"),
        ({KEPT.format(1): made(7)}, KEPT.format(2), "does not follow promotion 1"),
        ({KEPT.format(1): made(1, chain()[0]).but(sequence=1).signed()}, KEPT.format(1), "does not follow promotion 0"),
        ({KEPT.format(1): made(identity={"service": "web"})}, KEPT.format(1), "is the baseline of shop/europe-west1/web"),
        ({f"{PLACE}.json": made(7, chain()[1])}, f"{PLACE}.json", "is not the baseline that its history tells"),
        ({f"{PLACE}.json": made(7, chain(4)[3])}, f"{PLACE}.json", "is not the baseline that its history tells"),
        ({f"{PLACE}.json": made(7, made(8, chain()[1]))}, f"{PLACE}.json", "is not the baseline that its history tells"),
        ({f"{PLACE}.json": chain(4)[3].but(sequence=9).signed()}, f"{PLACE}.json", "is not the baseline that its history tells"),
        ({KEPT.format(n): None for n in (1, 2, 3)}, f"{PLACE}.json", "no promotion of it is kept"),
    ],
)  # fmt: skip
def test_histories_that_are_wrong(store, tmp_path, changes, at, told):
    """The first thing that does not fit is told, with what to do."""
    for path, one in changes.items():
        if one is None:
            (tmp_path / path).unlink()
        else:
            put(tmp_path, path, one)

    assert refused(lambda: store.verify(HOME)) == (f"{tmp_path / at}: {told}", RESTORE)


def test_promotion_that_was_not_ended(store, tmp_path):
    """A baseline that follows the last that is kept was cut off while it was promoted."""
    put(tmp_path, f"{PLACE}.json", chain(4)[3])

    assert refused(lambda: store.verify(HOME)) == (
        f"{tmp_path / PLACE}.json: its promotion was not ended",
        "promote the same revision again, which ends it",
    )
    store.write(chain(4)[3])
    assert store.verify(HOME) == chain(4)[3]


def test_service_without_a_baseline(store, tmp_path):
    """There is nothing to verify of a service that was never promoted."""
    where = tmp_path / "shop/europe-west1/web.json"

    assert refused(lambda: store.verify(HOME.but(service="web"))) == (
        f"{where}: there is no baseline",
        "",
    )
    assert store.history(HOME.but(service="web")) == []


def test_services_of_a_store(tmp_path):
    """Services are those that have a baseline, and those that had one, whatever else lies there."""
    store = Baselines(Folder(str(tmp_path)))
    for path in (
        "shop/us/b.json", "shop/us/a.json", "shop/us/a.job.json", "shop/eu/c.json", "app/us/d.json",
        "shop/us/e.json.orig", "shop/us/E.json", "shop/us/.json", "shop/us/f", "shop/US/a.json", "S/us/a.json",
        "shop/g.json", "_history/shop/us/h.000001.json", "_history/shop/us/a.000002.json",
        "_history/shop/us/i.x.json", "_history/shop/us/j.000001.json.orig", "_history/shop/us/k.²3.json",
        "_history/old/us/l.000010.json", "_history/shop/us/m.job.000003.json", "shopX/us/n.json",
    ):  # fmt: skip
        put(tmp_path, path, "{}")
    (tmp_path / "file").write_text("")
    there = [
        ("app", "us", "d"),
        ("shop", "eu", "c"),
        ("shop", "us", "a"),
        ("shop", "us", "a.job"),
        ("shop", "us", "b"),
    ]
    kept = [("old", "us", "l"), ("shop", "us", "h"), ("shop", "us", "m.job")]

    def told(found):
        return [(at.project, at.region, at.service) for at in found]

    assert sorted(told(store.addresses())) == there
    assert told(store.services()) == sorted([*there, *kept], key="/".join)


def test_promotions_are_listed_once(store, tmp_path):
    """What is kept is listed when it is first asked for, and anew after a promotion."""
    assert len(store.history(HOME)) == 3
    Baselines(Folder(str(tmp_path))).write(chain(4)[3])
    assert len(store.history(HOME)) == 3
    store.write(chain(5)[4])

    assert len(store.history(HOME)) == 5


def test_numbers_are_numbers(tmp_path):
    """Promotions are ordered by their numbers, not by their names."""
    store = Baselines(Folder(str(tmp_path)))
    for number in (9, 10, 1_000_000, 2):
        put(tmp_path, f"_history/{PLACE}.{number:06}.json", "{}")

    assert store._sequences(HOME) == [2, 9, 10, 1_000_000]
    assert store._sequences(HOME.but(service="web")) == []


# The folder


def test_folder_that_was_demanded(tmp_path):
    """A folder that was demanded must be there; another one is made."""
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        where = str(tmp_path / name)
        assert refused(lambda where=where: Folder(where, demanded=True)) == (
            f"{where}: there is no such folder", "give the store's own folder",
        )  # fmt: skip
    Folder(str(tmp_path), demanded=True).write("a/b/c", b"1", over=None)

    assert (tmp_path / "a/b/c").read_bytes() == b"1"
    assert Folder(str(tmp_path / "none")).read("x") is None


def test_files_of_a_folder(tmp_path):
    """A file is known by its digest, and replaced by whoever read it."""
    home = Folder(str(tmp_path))
    home.write("a/b", b"1", over=None)
    first = home.read("a/b")
    assert first == (b"1", hashlib.sha256(b"1").hexdigest())

    says = f"{tmp_path}/a/b: somebody else wrote it in the meantime"
    for over in (None, "x"):
        assert refused(lambda over=over: home.write("a/b", b"2", over=over), Conflict)[0] == says
    assert refused(lambda: home.write("a/c", b"2", over=first.generation), Conflict)[0] == (
        f"{tmp_path}/a/c: somebody else wrote it in the meantime"
    )
    home.write("a/b", b"2", over=first.generation)
    assert home.read_all(["a/b", "a/x"], limit=1) == {"a/b": home.read("a/b")}
    assert home.where("a/b") == str(tmp_path / "a/b")


def test_limits_of_a_folder(tmp_path):
    """What is larger than it may be is not read, alone or among others; it may be written over."""
    home = Folder(str(tmp_path))
    home.write("a", b"1" * 9, over=None)
    says = f"{tmp_path}/a: too-big: larger than 0 MiB"

    assert refused(lambda: home.read("a", limit=8))[0] == says
    assert refused(lambda: home.read_all(["a"], limit=8))[0] == says
    assert home.read("a", limit=9).data == b"1" * 9
    large = b"x" * (8 * 2**20 + 1)
    home.write("b", large, over=None)
    assert refused(lambda: home.read("b"))[0] == f"{tmp_path}/b: too-big: larger than 8 MiB"
    home.write("b", b"1", over=hashlib.sha256(large).hexdigest())


def test_file_that_the_disk_does_not_take(tmp_path):
    """What does not fit is told with its file and the words of the system, and nothing is left of it."""
    home = Folder(str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        told = refused(lambda: home.write("a", b"12", over=None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert told == (f"cannot write {tmp_path}/a: file too large", "")
    assert home.names() == []


def test_names_in_a_folder(tmp_path):
    """Files and folders are told apart, in order; what is no folder is empty, and what fails is told."""
    home = Folder(str(tmp_path))
    for path in ("b/2", "b/1", "b/x/1", "a"):
        home.write(path, b"-", over=None)

    assert (home.names(), home.names("b/"), home.names("b/1"), home.names("c/")) == (
        ["a", "b/"], ["1", "2", "x/"], [], [],
    )  # fmt: skip
    assert home.names_all(["b/", "c/"]) == {"b/": ["1", "2", "x/"], "c/": []}
    odd = "x" * 300
    told = (f"cannot read {tmp_path}/{odd}: file name too long", "")
    for call in (home.names, home.versions, home.read):
        assert refused(lambda call=call: call(odd)) == told
    assert refused(lambda: home.write(f"b/{odd}", b"", over=None))[0] == (
        f"cannot read {tmp_path}/b/{odd}: file name too long"
    )
    assert refused(lambda: home.write(f"{odd}/b", b"", over=None))[0] == (
        f"cannot write {tmp_path}/{odd}/b: file name too long"
    )


def test_versions_in_a_folder(tmp_path):
    """The version of a file is that of its place, its size and its time; folders have none, links have."""
    home = Folder(str(tmp_path))
    for path in ("b/2", "b/1", "b/x/1"):
        home.write(path, b"--", over=None)
    (tmp_path / "b/3").symlink_to("nowhere")
    stats = {name: (tmp_path / "b" / name).lstat() for name in ("1", "2", "3")}

    assert home.versions("b/") == {
        name: f"{at.st_ino:x}-{at.st_size:x}-{at.st_ctime_ns:x}" for name, at in stats.items()
    }
    assert list(home.versions("b/")) == ["1", "2", "3"]
    assert (home.versions("c/"), home.versions("b/1")) == ({}, {})


def test_links_out_of_a_folder(tmp_path):
    """What a link puts elsewhere is neither read nor written, and is told by the folder it is in."""
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "store"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/b").write_bytes(b"1")
    home = Folder(str(root))
    told = (f"{root}/a: a link, which is not followed", "")

    assert refused(lambda: home.read("a/b")) == told
    assert refused(lambda: home.write("a/c", b"2", over=None)) == told
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["b"]
    (root / "c").symlink_to(tmp_path / "elsewhere/b")
    assert refused(lambda: home.read("c"))[0] == (
        f"{root}/c: link: a symbolic link, which is not followed"
    )
