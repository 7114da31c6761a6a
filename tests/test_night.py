"""Nights that follow each other, and how a store keeps them; `test_nights.py` runs the command."""

from __future__ import annotations

import datetime as dt

import pytest

from drift_audit.errors import StoreError
from drift_audit.finding import Severity, Skip
from drift_audit.inventory import Scope
from drift_audit.night import Glance, Night, ServiceNight, after, news, summary
from drift_audit.report import Trend
from drift_audit.snapshot import Unseen
from drift_audit.store.folder import MOST, Folder
from drift_audit.store.home import Conflict
from drift_audit.store.nights import BESIDE, LIMIT, Nights
from tests.builders import HOME, NOW
from tests.reports import WAIVED, finding, report, service

DAY = dt.timedelta(days=1)
BLIND = [Unseen(where="secret x", reason="permission denied")]
BLOCKED = Skip(what="x", reason="y", blocking=True)
OPEN = Skip(what="x", reason="z", blocking=False)


def night(made, before=None, run="one", day=0):
    """The report of a night with the ages of its findings, and what is kept of it."""
    told = after(before, made.but(generated_at=NOW + day * DAY))
    return told, summary(run, told, before)


def ids(known):
    return [(one.address.key, (one.since - NOW).days, one.carried, one.waived) for one in known]


def test_findings_night_after_night():
    """A finding is new, then it continues with its age, then it is resolved; one that comes back is new."""
    one = report(service(findings=[finding(), finding(key="B")]), findings=[finding(key="RUN")])
    two = report(service(findings=[finding(), finding(key="C")]))
    first, kept = night(one)
    second, kept_second = night(two, kept, day=1)
    third, _ = night(report(service(findings=[finding(key="B")])), kept_second, day=2)

    assert (first.trend.new, first.trend.continuing, first.trend.resolved) == (3, 0, ())
    assert first.trend.last_complete is None
    assert [f.since for f in first.all_findings] == [NOW] * 3
    assert (second.trend.new, second.trend.continuing) == (1, 1)
    assert ids(second.trend.resolved) == [("B", 0, False, False), ("RUN", 0, False, False)]
    assert second.trend.last_complete == NOW
    assert {f.address.key: f.since for f in second.all_findings} == {"A": NOW, "C": NOW + DAY}
    assert ids(third.trend.resolved) == [("A", 0, False, False), ("C", 1, False, False)]
    assert [f.since for f in third.all_findings] == [NOW + 2 * DAY]


def test_resolved_by_weight():
    """What was resolved stands as findings do: the most severe first."""
    _, kept = night(report(service(findings=[finding(severity=Severity.LOW), finding(key="B")])))
    told, _ = night(report(service()), kept)

    assert [one.address.key for one in told.trend.resolved] == ["B", "A"]


def test_incomplete_night():
    """An incomplete night resolves nothing, carries what it may not have seen, and is not the last whole."""
    _, kept = night(report(service(findings=[finding(), finding(key="B", waived=WAIVED)])))
    blind = report(service(findings=[finding(key="C")]), unseen=BLIND, skipped=[BLOCKED, OPEN])
    told, carried = night(blind, kept, day=1)
    again, whole = night(report(service(findings=[finding()])), carried, day=2)

    assert (told.trend.new, told.trend.resolved) == (1, ())
    assert ids(carried.known) == [
        ("A", 0, True, False), ("B", 0, True, True), ("C", 1, False, False),
    ]  # fmt: skip
    assert (carried.unseen, carried.skipped) == (tuple(BLIND), (BLOCKED,))
    assert (carried.complete, carried.complete_at) == (False, NOW)
    assert (again.trend.new, again.trend.continuing, again.trend.last_complete) == (0, 1, NOW)
    assert ids(again.trend.resolved) == [("B", 0, False, True), ("C", 1, False, False)]
    assert ids(whole.known) == [("A", 0, False, False)]
    assert (whole.complete, whole.complete_at) == (True, NOW + 2 * DAY)


def test_first_night_that_is_incomplete():
    """Where no night was whole there is no time of the last one."""
    _, kept = night(report(service(), unseen=BLIND))

    assert (kept.complete_at, kept.known) == (None, ())


def test_what_is_kept():
    """A night keeps what the next one and the list of all need, and no more."""
    made = report(
        service(findings=[finding(), finding(severity=Severity.LOW, key="B", waived=WAIVED)]),
        service(findings=[finding(), finding("key-added", Severity.LOW, key="C")], candidate="old"),
        service(name="aaa"),
        service().but(project="shop-web"),
    )
    told, kept = night(made, run="r1")

    assert kept.run == "r1"
    for name in ("generated_at", "verdict", "exit_code", "headline", "scope", "counts", "trend"):
        assert getattr(kept, name) == getattr(told, name), name
    assert kept.services == (
        ServiceNight(at=HOME.but(project="shop-web"), candidate="api-00002-new"),
        ServiceNight(at=HOME.but(service="aaa"), candidate="api-00002-new"),
        ServiceNight(at=HOME, candidate="api-00002-new", high=1, low=1),
    )
    assert {
        (one.address.key, one.rule, one.severity, one.says, one.since) for one in kept.known
    } == {
        ("A", "key-lost", Severity.HIGH, "A is gone", NOW),
        ("B", "key-lost", Severity.LOW, "B is gone", NOW),
        ("C", "key-added", Severity.LOW, "C is gone", NOW),
    }
    assert {one.id for one in kept.known} == {f.id for f in told.all_findings}
    assert summary("r1", made, None).trend == Trend()


def test_news():
    """The news are what this night saw first and is open; of a report alone, all that is open."""
    first = report(
        service(findings=[finding(severity=Severity.LOW), finding(key="B", waived=WAIVED)]),
        findings=[finding("not-seen", key="N"), finding(key="C")],
    )
    told, kept = night(first)
    second, _ = night(report(service(findings=[finding(), finding(key="D")])), kept, day=1)

    assert [f.address.key for f in news(first)] == ["C", "A"]
    assert [f.address.key for f in news(told)] == ["C", "A"]
    assert [f.address.key for f in news(second)] == ["D"]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"source": "other"}, False),
        ({"projects": ("web",)}, False),
        ({"regions": ("us",)}, False),
        ({"services": ("a*",)}, False),
        ({"kinds": ("job",)}, False),
        ({"regions_found": True}, False),
    ],
)
def test_scopes_of_the_same_nights(changed, same):
    """Nights follow each other where the same was asked for."""
    scope = Scope(
        source="gcp", projects=("shop",), regions=("r1",), services=("x*",), kinds=("service",)
    )
    made = summary("r", report(service()).but(scope=scope), None)

    assert made.follows(scope.but(**changed)) is same


def test_regions_that_the_api_named():
    """Where the API was asked for the regions, they may be others each night."""
    scope = Scope(projects=("shop",), regions=("r1",), regions_found=True)
    made = summary("r", report(service()).but(scope=scope), None)

    assert made.follows(scope.but(regions=("r2",)))
    assert made.covers(HOME)
    assert not made.covers(HOME.but(project="web"))


# What a store keeps of them


def kept_night(run="one", day=0, hours=0, **changed):
    _, one = night(report(service(findings=[finding()])), run=run, day=day)
    return one.but(generated_at=one.generated_at + dt.timedelta(hours=hours), **changed)


@pytest.fixture
def store(tmp_path):
    return Nights(Folder(str(tmp_path)))


PAGES = {"report.html": "<p>\ud800", "report.md": "# x"}
FOLDER = "_nights/2026-01-15"


def test_night_and_its_pages(store, tmp_path):
    """The pages of a night lie in a folder of its date and run, and what is kept of it beside them."""
    one = kept_night()
    told = store.keep(one, PAGES)
    folder = tmp_path / FOLDER / "one"

    assert told == str(folder)
    assert {p.name: p.read_bytes().decode("utf-8", "surrogatepass") for p in folder.iterdir()} == {
        **PAGES,
        "night.json": f"{one.model_dump_json(indent=1)}\n",
    }
    [kept] = store.kept()
    assert (kept.folder, kept.read(Night), kept.read(Glance).run) == ("2026-01-15/one/", one, "one")


@pytest.mark.usefixtures("far_east")
def test_date_of_a_night(store, tmp_path):
    """The date is that in UTC, wherever the program runs, and whatever the time is written in."""
    east = dt.timezone(dt.timedelta(hours=14))
    store.keep(kept_night().but(generated_at=NOW.astimezone(east)), {})

    assert (tmp_path / FOLDER / "one/night.json").exists()


def test_run_that_is_kept_twice(store, tmp_path):
    """A run that was whole, or says the same, is not kept again; another one lies beside it."""
    whole, blind = kept_night(), kept_night(verdict="incomplete", exit_code=3)
    assert store.keep(whole, {}) == store.keep(whole.but(headline="other"), {})

    incomplete = kept_night("two", verdict="incomplete", exit_code=3)
    places = [
        store.keep(one, PAGES)
        for one in (incomplete, incomplete, incomplete.but(headline="x"), whole.but(run="two"))
    ]
    assert blind != whole
    assert [place.removeprefix(f"{tmp_path}/{FOLDER}/") for place in places] == [
        "two", "two", "two.2", "two.3",
    ]  # fmt: skip


def test_folder_that_another_one_is_writing(store, tmp_path):
    """Pages of another try that was cut off are not written over; the same pages are gone on with."""
    cut, same = tmp_path / FOLDER / "one", tmp_path / FOLDER / "two"
    for folder in (cut, same):
        folder.mkdir(parents=True)
    (cut / "report.html").write_text("another")
    (same / "report.md").write_text("# x")

    assert store.keep(kept_night(), PAGES) == f"{cut}.2"
    assert store.keep(kept_night("two"), PAGES) == str(same)
    assert (cut / "report.html").read_text() == "another"
    assert not (cut / "night.json").exists()
    assert (same / "night.json").exists()


def test_large_pages_of_a_night_that_was_cut_off(store, tmp_path):
    """A page may be larger than a baseline, also where it is held against what lies there."""
    pages = {"report.html": "x" * (8 * 2**20 + 1)}
    told = store.keep(kept_night(), pages)
    (tmp_path / FOLDER / "one/night.json").unlink()

    assert store.keep(kept_night(), pages) == told


class Vanishing(Folder):
    """A folder in which every file is somebody else's when it is written, and is gone again."""

    def __init__(self, root):
        super().__init__(str(root))
        self.tried = []

    def write(self, path, data, *, over):
        self.tried.append(path)
        raise Conflict("somebody else")


def test_folder_that_is_never_ours(tmp_path):
    """Where every name is taken, up to the 999th, the run ends with an error that names the date."""
    home = Vanishing(tmp_path)
    with pytest.raises(StoreError) as error:
        Nights(home).keep(kept_night(), {})

    assert (len(home.tried), home.tried[-1]) == (999, f"{FOLDER}/one.999/night.json")
    assert str(error.value) == f"{tmp_path}/{FOLDER}: too many nights of one run"


def test_nights_from_the_newest(store):
    """Nights are told from the newest on, of one date by their times, tries after what they try again."""
    for day in (0, 40, 3):
        store.keep(kept_night("b", day=day, hours=1), {})
        store.keep(kept_night("a", day=day), {})
    store.keep(kept_night("b", hours=1, verdict="incomplete", exit_code=3), {})
    blind = kept_night("z", hours=2, verdict="incomplete", exit_code=3)
    store.keep(blind, {})
    store.keep(blind.but(verdict="drift", exit_code=10), {})

    assert [kept.folder for kept in store.kept()] == [
        "2026-02-24/b/", "2026-02-24/a/",
        "2026-01-18/b/", "2026-01-18/a/",
        "2026-01-15/z.2/", "2026-01-15/z/", "2026-01-15/b/", "2026-01-15/a/",
    ]  # fmt: skip


class Counting(Folder):
    """A folder that remembers how much it was asked for at a time."""

    def __init__(self, root):
        super().__init__(str(root))
        self.read_at_once, self.listed_at_once = [], []

    def read(self, path, *, limit=0):
        assert limit in (LIMIT, MOST)
        return super().read(path, limit=limit)

    def read_all(self, paths, *, limit=0):
        self.read_at_once.append(len(paths))
        return super().read_all(paths, limit=limit)

    def names_all(self, folders):
        self.listed_at_once.append(len(folders))
        return super().names_all(folders)


def test_nights_are_read_as_they_are_asked_for(tmp_path):
    """The last night is read alone, and those before it so many at a time."""
    home = Counting(tmp_path)
    store = Nights(home)
    for day in range(BESIDE + 4):
        store.keep(kept_night(day=day), {})

    newest = next(store.kept())
    assert (newest.folder[:10], home.read_at_once, home.listed_at_once) == ("2026-02-03", [1], [1])
    assert len([*store.kept()]) == BESIDE + 4
    assert home.read_at_once[1:] == [1, BESIDE, 3]
    assert home.listed_at_once[1:] == [1, BESIDE, 3]
    assert store.put("index.html", "x") == str(tmp_path / "_nights/index.html")


def test_what_is_no_night(store, tmp_path):
    """Other folders and files beside the nights are passed over; what calls itself one is refused."""
    store.keep(kept_night(), {})
    for path in (
        "x/one/night.json",
        "2026-1-1/a/night.json",
        "2026-01-16/night.json",
        "2026-01-17/b/x",
    ):
        file = tmp_path / "_nights" / path
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    assert [kept.folder for kept in store.kept()] == ["2026-01-15/one/"]

    broken = tmp_path / "_nights/2026-01-18/c/night.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{}")
    with pytest.raises(StoreError, match=r"night\.json: not a night of this version\Z") as error:
        next(store.kept()).read(Night)
    assert str(error.value).startswith(str(broken))


@pytest.mark.parametrize(
    ("run", "hours", "day"),
    [("three", 0, 1), ("two", 13, 1), ("two", 11, 0), ("two", 12, 1), ("two", -11, 0)],
)
def test_night_before(store, run, hours, day):
    """The night before is the last of that scope that is no earlier try of the same run."""
    for number, name in enumerate(("one", "two")):
        store.keep(kept_night(name, day=number), {})
    now = NOW + DAY + dt.timedelta(hours=hours)
    found = store.last(Scope(source="test"), run, now)

    assert (found.generated_at - NOW).days == day
    assert isinstance(found, Night)
    assert store.last(Scope(source="other"), run, now) is None


def test_page_about_all_nights(store, tmp_path):
    """The page stands beside the nights, in place of the one before, and is not written without need."""
    told = [store.put("index.html", text) for text in ("é", "two")]
    stamp = (tmp_path / "_nights/index.html").stat().st_mtime_ns
    store.put("index.html", "two")

    assert told == [str(tmp_path / "_nights/index.html")] * 2
    assert (tmp_path / "_nights/index.html").read_text() == "two"
    assert (tmp_path / "_nights/index.html").stat().st_mtime_ns == stamp
