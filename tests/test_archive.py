"""The archive: a night reads only what is new, and believes nothing that others wrote."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.collector.api import Location
from drift_audit.inventory import Remembered, Service, TrafficTarget
from drift_audit.patterns import Patterns
from drift_audit.seal import SealKey
from drift_audit.store.archive import FULL_AFTER, Archive
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests.builders import HOME, LASTING, NOW, sealer, snapshot
from tests.canary import files_below, leaks
from tests.command import run
from tests.strategies import sides
from tests.worlds import playing_document, reached, source

CANARY = "cnry-archive-7f3a9c51e2"
FILE = ".archive/shop/europe-west1.jsonl.gz"
PARENT = "projects/shop/locations/europe-west1/services"


def deployed(name, *, revisions=1, region="europe-west1", **more):
    made: list[Any] = [
        {"name": f"{name}-0000{n}", "at": f"2026-01-0{n}T08:00:00Z", "image": f"r/{name}:{n}"}
        for n in range(1, revisions + 1)
    ]
    made[0]["env"] = {"PASSWORD": CANARY, "JWT": {"secret": "jwt", "version": "1"}}
    return {"project": "shop", "region": region, "service": name, "revisions": made, **more}


def shop(*services, **more):
    secrets = [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}]
    return {"page": 3, "secrets": secrets, "services": list(services), **more}


MANY = [deployed(f"s{n:02}") for n in range(30)]
SECRETS = {"GetSecret": 1, "GetSecretVersion": 1}
LISTED = {"ListServices": 10, **SECRETS}
"""What thirty services cost when none of them was changed, three on a page."""


def reads(calls):
    """How many calls were for revisions, whichever way they were read."""
    return calls["GetRevision"] + calls["ListRevisions"]


def night(emulator, folder, *, now=NOW, full=False, seal=None, **scope):
    """What one night finds with the archive of a folder, and the calls that it makes."""
    seal = seal or sealer(key=LASTING)
    archive = Archive(Folder(str(folder)), seal, now, full=full)
    before = len(emulator.calls)
    live = source(emulator, seal=seal, memory=archive, **scope)
    inventory = live.collect()
    archive.keep(live.remember())
    return inventory, Counter(c.method.partition("/")[2] for c in emulator.calls[before:])


def test_second_night_lists_and_no_more(tmp_path):
    """A night after which nothing was changed costs its lists, and what secrets stand for."""
    with playing_document(shop(*MANY)) as emulator:
        first, _ = night(emulator, tmp_path)
        second, calls = night(emulator, tmp_path)

    assert calls == LISTED
    assert second.services == first.services
    assert (len(first.remembered), len(second.remembered)) == (0, 30)


CHANGED = deployed(
    "s03", revisions=2, traffic=[{"to": "s03-00001", "percent": 100}, {"tag": "new"}]
)


def test_changed_service_is_read_again(tmp_path):
    """A service that was deployed since is read again, and the list is looked at once more."""
    after = [CHANGED if s["service"] == "s03" else s for s in MANY]
    with playing_document(shop(*MANY)) as emulator:
        night(emulator, tmp_path)
    with playing_document(shop(*after)) as emulator:
        inventory, calls = night(emulator, tmp_path)
        _, again = night(emulator, tmp_path)
    s03 = inventory.services[3]

    assert [r.revision for r in s03.revisions] == ["s03-00002", "s03-00001"]
    assert s03.address not in inventory.remembered
    assert reads(calls) > 0
    assert calls["ListServices"] == 20
    assert again == LISTED


def test_known_revision_keeps_its_configuration(tmp_path):
    """A revision never changes: one that is known is not taken apart again, and its status is."""
    another = deployed("api", revisions=2, traffic=[{"to": "api-00001", "percent": 100}])
    another["revisions"][0] |= {"image": "impossible", "ready": False}
    with playing_document(shop(deployed("api"))) as emulator:
        before, _ = night(emulator, tmp_path)
    with playing_document(shop(another)) as emulator:
        after, _ = night(emulator, tmp_path)
    [was], [_, now] = before.services[0].revisions, after.services[0].revisions

    assert now.settings == was.settings
    assert (was.status.ready, now.status.ready) == (True, False)


def test_deleted_service_is_forgotten(tmp_path):
    """A service that is not listed any more is asked for once, and then never again."""
    with playing_document(shop(*MANY)) as emulator:
        night(emulator, tmp_path)
    with playing_document(shop(*MANY[1:])) as emulator:
        inventory, calls = night(emulator, tmp_path)
        _, again = night(emulator, tmp_path)

    assert [s.service for s in inventory.services] == [s["service"] for s in MANY[1:]]
    assert inventory.unseen == ()
    assert calls == {**LISTED, "GetService": 1}
    assert again == LISTED


def test_short_list_hides_nothing_that_is_remembered(tmp_path):
    """A list that ends early cannot hide a service that an earlier night saw."""
    fault = "Services/ListServices:1:early-end"
    with playing_document(shop(*MANY)) as emulator:
        night(emulator, tmp_path)
    with playing_document(shop(*MANY, faults=[fault])) as emulator:
        inventory, calls = night(emulator, tmp_path)
        fired = emulator.fired

    assert fired
    assert len(inventory.services) == 30
    assert calls["GetService"] == 27


def test_remembered_service_that_cannot_be_asked_for(tmp_path):
    """Where nobody can tell whether a remembered service is gone, it is unseen, and not forgotten."""
    with playing_document(shop(deployed("api"), deployed("web"))) as emulator:
        night(emulator, tmp_path)
    with playing_document(shop(deployed("web"), denied=[f"{PARENT}/api"])) as emulator:
        inventory, _ = night(emulator, tmp_path)

    assert [u.where for u in inventory.unseen] == [f"service {PARENT}/api"]
    assert Archive(Folder(str(tmp_path)), sealer(key=LASTING), NOW).recall(HOME) is not None


def test_revision_that_was_not_read_is_told_each_night(tmp_path):
    """What stands in for a revision that could not be read is not remembered as if it had been."""
    with playing_document(shop(deployed("api"), denied=[f"{PARENT}/api/revisions"])) as emulator:
        first, _ = night(emulator, tmp_path)
        second, _ = night(emulator, tmp_path)

    assert [u.where for u in first.unseen] == [f"revision {PARENT}/api/revisions/api-00001"]
    assert second.unseen == first.unseen


def test_history_is_kept_and_not_looked_up(tmp_path):
    """A history that was read is kept; what its secrets stand for is asked only of what is in use."""
    two = deployed("api", revisions=2)
    two["revisions"][1]["env"] = {"JWT": None}
    seal = sealer(key=LASTING)
    with playing_document(shop(two)) as emulator:
        archive = Archive(Folder(str(tmp_path)), seal, NOW)
        live = source(emulator, seal=seal, memory=archive)
        whole = live.chain(live.collect().services[0])
        archive.keep(live.remember())
        second, calls = night(emulator, tmp_path)

    assert whole.complete
    assert second.services[0].complete
    assert [r.revision for r in second.services[0].revisions] == ["api-00002", "api-00001"]
    assert calls == {"ListServices": 1}
    assert second.secrets == frozenset()


# What is not believed


@pytest.fixture
def kept(tmp_path):
    """A folder with the archive of two services."""
    with playing_document(shop(deployed("api"), deployed("web"))) as emulator:
        night(emulator, tmp_path)
    return tmp_path


def recalled(folder, *, key=LASTING, now=NOW, at=HOME, **options):
    return Archive(Folder(str(folder)), sealer(key=key, **options), now).recall(at)


def test_control_archive_is_believed(kept):
    """Untouched, with the same key and the same choices, the archive is believed."""
    assert recalled(kept) is not None


def test_every_edit_is_noticed(kept):
    """An archive with any byte changed, or cut off anywhere, is not believed."""
    path = kept / FILE
    text = path.read_bytes()
    for i in range(0, len(text), 53):
        path.write_bytes(text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :])
        assert recalled(kept) is None, i
        path.write_bytes(text[:i])
        assert recalled(kept) is None, i


@pytest.mark.parametrize(
    "change",
    [
        {"key": SealKey(b"m" * 32, lasting=True)},
        {"reveal": ["LOG_LEVEL"]},
        {"keep": False},
        {"patterns": Patterns("library 1.0", {})},
        {"now": NOW + FULL_AFTER},
        {"now": NOW - dt.timedelta(seconds=1)},
    ],
    ids=["key", "reveal", "without-literals", "patterns", "old", "from-tomorrow"],
)
def test_archive_of_other_circumstances(kept, change):
    """Another key, other choices of what is shown, and too many days end what is believed."""
    assert recalled(kept, **change) is None


def test_believed_until_the_last_day(kept):
    """Up to the time at which everything is read anew, the archive is believed."""
    assert recalled(kept, now=NOW + FULL_AFTER - dt.timedelta(seconds=1)) is not None


@pytest.mark.parametrize(
    ("was", "told"), [(b'"tool":"', b'"tool":"9.'), (b'"schema_version":1', b'"x":1')]
)
def test_archive_of_another_version(kept, was, told):
    """What another version of the program wrote is not believed."""
    path = kept / FILE
    path.write_bytes(path.read_bytes().replace(was, told, 1))

    assert recalled(kept) is None


def test_age_of_an_archive_cannot_be_edited(kept):
    """Nobody without the key makes an old archive a young one."""
    path, later = kept / FILE, NOW + FULL_AFTER
    path.write_bytes(path.read_bytes().replace(b"2026-01-15T12", b"2026-01-22T12", 1))

    assert recalled(kept, now=later) is None


def test_archive_of_another_place(kept):
    """An archive that was put in another one's place is not believed there."""
    other = Location("shop", "europe-west4")
    (kept / ".archive/shop/europe-west4.jsonl.gz").write_bytes((kept / FILE).read_bytes())
    with playing_document(shop(deployed("api", region="europe-west4"))) as emulator:
        _, calls = night(emulator, kept, place=other)

    assert reads(calls) > 0


def test_lines_that_were_swapped(tmp_path):
    """A line under another service's address is not taken for that service."""
    seal = sealer(key=LASTING)
    archive = Archive(Folder(str(tmp_path)), seal, NOW)
    archive._lines(("shop", "europe-west1"))[str(HOME)] = remembered(
        service="web"
    ).model_dump_json()
    archive._lines(("shop", "europe-west1"))["shop/europe-west1/odd"] = "{}"
    archive.keep([])
    again = Archive(Folder(str(tmp_path)), seal, NOW)

    assert again.recall(HOME) is None
    assert again.recall(HOME.but(service="odd")) is None


def test_full_reads_everything_and_starts_anew(tmp_path):
    """With `full` nothing is recalled, and the age of the archive begins again."""
    later = NOW + dt.timedelta(days=6)
    with playing_document(shop(deployed("api"), deployed("web"))) as emulator:
        night(emulator, tmp_path)
        _, calls = night(emulator, tmp_path, now=later, full=True)

    assert reads(calls) > 0
    assert recalled(tmp_path, now=NOW + FULL_AFTER) is not None


def test_narrowed_night_keeps_the_rest(tmp_path):
    """An audit of one service leaves what is known of the others, and the age of it, as it was."""
    with playing_document(shop(*MANY)) as emulator:
        night(emulator, tmp_path)
        night(emulator, tmp_path, services=("s07",), now=NOW + dt.timedelta(days=1))
        _, calls = night(emulator, tmp_path)

    assert calls == LISTED
    assert recalled(tmp_path, now=NOW + FULL_AFTER, at=HOME.but(service="s07")) is None


def test_places_beside_each_other(tmp_path):
    """Each location has its own file; one that holds nothing gets none."""
    pool = {
        "project": "shop", "region": "us-east1", "worker_pool": "api",
        "revisions": [{"name": "api-00001", "at": "2026-01-01T08:00:00Z", "image": "i"}],
    }  # fmt: skip
    every = {"place": Location("shop", ""), "kinds": ("service", "worker-pool", "job")}
    world = shop(deployed("api"), worker_pools=[pool], locations={"shop": ["europe-west1", "us-east1", "asia-east1"]})  # fmt: skip
    with playing_document(world) as emulator:
        night(emulator, tmp_path, **every)
        inventory, calls = night(emulator, tmp_path, **every)

    assert sorted(p.name for p in (tmp_path / ".archive/shop").iterdir()) == [
        "europe-west1.jsonl.gz",
        "us-east1.jsonl.gz",
    ]
    assert [str(a) for a in sorted(inventory.remembered, key=str)] == [
        "shop/europe-west1/api",
        "shop/us-east1/api.worker-pool",
    ]
    assert reads(calls) == 0


@pytest.mark.parametrize("region", ["-", "Europe", "..", "a/b"])
def test_names_that_are_no_path(tmp_path, region):
    """Of a place whose name is no part of a path nothing is kept, and nothing is recalled."""
    archive = Archive(Folder(str(tmp_path)), sealer(key=LASTING), NOW)
    archive.keep([remembered(region=region)])

    assert archive.services("shop", region) == []
    assert list(tmp_path.iterdir()) == []


# The folder


def test_archive_is_not_for_git(kept):
    """The archive tells git to leave it out, and is no baseline of the store."""
    assert (kept / ".archive/.gitignore").read_text() == "*\n"
    assert list(Baselines(Folder(str(kept))).addresses()) == []


@pytest.mark.parametrize("link", [".archive", ".archive/shop", FILE, ".archive/.gitignore"])
def test_links_are_not_followed(tmp_path, link, caplog):
    """A link in the archive leads nowhere: nothing is written through it, or read."""
    elsewhere, store = tmp_path / "elsewhere", tmp_path / "store"
    target = elsewhere / link
    folder = link in (".archive", ".archive/shop")
    (target if folder else target.parent).mkdir(parents=True)
    (store / link).parent.mkdir(parents=True)
    (store / link).symlink_to(target)
    with caplog.at_level("INFO"):
        Archive(Folder(str(store)), sealer(key=LASTING), NOW).keep([remembered()])

    assert files_below(elsewhere) == {}
    assert "link, which is not followed" in caplog.text


def test_linked_archive_is_not_read(tmp_path):
    """An archive that lies elsewhere and is linked to is not believed, genuine or not."""
    store = tmp_path / "store"
    Archive(Folder(str(store)), sealer(key=LASTING), NOW).keep([remembered()])
    (store / ".archive").rename(tmp_path / "moved")
    (store / ".archive").symlink_to(tmp_path / "moved")

    assert recalled(store) is None


# What it holds


def remembered(side=None, **identity):
    seal = sealer(key=LASTING, reveal=["LEVEL"])
    one = snapshot(side or {"A": CANARY, "LEVEL": "a\u2028b\u0085c"}, seal=seal, **identity)
    who = one.identity
    service = Service(
        project=who.project, region=who.region, service=who.service, kind=who.kind,
        latest_created=who.revision, revisions=(one,),
        traffic=(TrafficTarget(revision=who.revision, percent=100),),
    )  # fmt: skip
    return Remembered(mark="m", service=service)


ODD = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3),
    st.just("x"),
    max_size=2,
)


@given(sides(), ODD)
def test_recall_gives_back_what_was_kept(tmp_path_factory, side, odd):
    """What is kept of a service is recalled as it was, whatever its names hold."""
    folder = tmp_path_factory.mktemp("store")
    one = remembered({**side, "env": {**side["env"], **odd}})
    Archive(Folder(str(folder)), sealer(key=LASTING), NOW).keep([one])

    assert recalled(folder) == one
    assert Archive(Folder(str(folder)), sealer(key=LASTING), NOW).services(
        "shop", "europe-west1"
    ) == [HOME]


def test_no_value_is_kept(kept):
    """No value is in the archive, in any encoding."""
    written = b"".join(files_below(kept).values())

    assert len(written) > 1_000
    assert leaks(written, [CANARY]) == []


# The command

SCOPE = ["--project=shop", "--region=europe-west1", "--store=store"]


def rules(report):
    return [finding["rule"] for finding in report["findings"]]


def test_nights_of_the_command(tmp_path):
    """The second night of the real command finds what the first did; `--full` reads everything again."""
    (tmp_path / "store").mkdir()
    with playing_document(shop(*MANY[:4])) as emulator:
        nights = []
        for more in ((), (), ("--full",)):
            before = len(emulator.calls)
            ran = run("audit", *SCOPE, "--format=json", *more, cwd=tmp_path, env=reached(emulator))
            read = any("Revision" in c.method for c in emulator.calls[before:])
            nights.append((json.loads(ran.out), read))
    (first, read), (second, again), (full, everything) = nights
    kept = [skip for skip in second["skipped"] if skip["what"] != "credential-shared"]

    assert (read, again, everything) == (True, False, True)
    assert second["services"] == first["services"]
    assert second["coverage"] == first["coverage"]
    assert kept == first["skipped"]
    assert rules(first) == ["credential-shared", *rules(second)]
    assert full == first
    assert {skip["reason"] for skip in second["skipped"] if skip not in kept} == {
        "its plain values were read on another day: --full reads them again"
    }


def test_run_without_a_lasting_key_keeps_nothing(tmp_path):
    """What is sealed under the key of one run is of no use on another day, and is not written."""
    (tmp_path / "store").mkdir()
    with playing_document(shop(deployed("api"))) as emulator:
        env = reached(emulator)
        del env["DRIFT_AUDIT_SEAL_KEY"]
        ran = run("audit", *SCOPE, cwd=tmp_path, env=env)

    assert ran.code == 0, ran.block
    assert files_below(tmp_path / "store") == {}


def test_archive_that_cannot_be_written(tmp_path):
    """A store in which nothing can be kept is logged, and changes neither report nor code."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store/.archive").write_text("a file where a folder belongs")
    with playing_document(shop(deployed("api"))) as emulator:
        env = reached(emulator)
        quiet = run("audit", *SCOPE, cwd=tmp_path, env=env)
        loud = run("audit", *SCOPE, "--verbosity=info", cwd=tmp_path, env=env)

    assert (quiet.code, loud.code) == (0, 0)
    assert "jsonl.gz: cannot be read: all is read\n" in quiet.err
    assert "info: " in loud.err


def test_edited_archive_is_told(tmp_path):
    """An archive that is not believed is named on standard error, and everything is read."""
    (tmp_path / "store").mkdir()
    with playing_document(shop(deployed("api"))) as emulator:
        run("audit", *SCOPE, cwd=tmp_path, env=reached(emulator))
        path = tmp_path / "store" / FILE
        path.write_bytes(path.read_bytes() + b"x\n")
        ran = run("audit", *SCOPE, cwd=tmp_path, env=reached(emulator))

    assert ran.code == 0
    assert ran.err == (
        f"warning: store/{FILE}: written by another version, or another key: all is read\n"
    )
