"""The page of all nights: made by the real command of nights that real audits left in a store."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from drift_audit import files
from drift_audit.finding import Known, Severity, Skip
from drift_audit.inventory import Scope
from drift_audit.night import Night, ServiceNight
from drift_audit.renderer.course import MOST_CELLS, MOST_LISTED, MOST_NIGHTS
from drift_audit.report import Counts, Trend
from drift_audit.snapshot import Address, Unseen
from drift_audit.store.folder import Folder
from drift_audit.store.nights import Nights as Stored
from tests.bucket import bucket
from tests.builders import NOW
from tests.canary import leaks
from tests.command import Ran, run
from tests.test_nights import CANARY, NAMES, Nights, fleet
from tests.test_renderer import ATTRIBUTES, ELEMENTS, HOSTILE

GOLDEN = Path(__file__).parent / "golden"
PAGE = "_nights/index.html"
SITE = ["render", "--format=site"]
WORDS = ("critical", "high", "medium", "low", "info")


class Read(HTMLParser):
    """What a browser makes of the page: elements, links, tables by what labels them, and text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.texts, self.cell = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append((dict(attrs).get("aria-labelledby", ""), []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
            self.cell = tag

    def handle_endtag(self, tag):
        if tag == self.cell:
            self.cell = None

    def handle_data(self, data):
        self.texts.append(data)
        if self.cell:
            self.tables[-1][1][-1][-1] += data

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def rows(self, suffix):
        """The rows of the tables whose label ends so, without their heads."""
        return [row for label, rows in self.tables if label.endswith(suffix) for row in rows[1:]]

    @property
    def links(self):
        return [a["href"] for tag, a in self.elements if tag == "a"]

    def told(self, name):
        """What stands beside a name in the first list of facts."""
        words = [t.strip() for t in self.texts if t.strip()]
        return words[words.index(name) + 1]


class Audited(Nights):
    """A store with its page, and how the command ended that made it."""

    ran: Ran
    page: str


def rendered(nights, *arguments, env=None):
    """The command over a store, with no emulator and no cloud but the bucket's."""
    given = (nights.cloud.env if nights.cloud else {}) | (env or {})
    return run(*SITE, f"--store={nights.store}", *arguments, cwd=nights.folder, env=given)


def dead(links, kept, base="_nights/"):
    """Links that lead to nothing that is kept."""
    wanted = {link: os.path.normpath(base + unquote(link)) for link in links if link[0] != "#"}
    return [link for link, path in wanted.items() if path not in kept]


@pytest.fixture(scope="module", params=["folder", "bucket"])
def store(request, tmp_path_factory):
    """Four nights of a fleet, the third of which was denied its list, and one of a narrower scope."""
    with ExitStack() as stack:
        cloud = stack.enter_context(bucket()) if request.param == "bucket" else None
        nights = Audited(tmp_path_factory.mktemp("site"), cloud)
        nights(fleet(), 0, "--night")
        nights(fleet("s03"), 1, "--night")
        nights(fleet("s03"), 2, "--night", "--service=s01")
        nights(fleet("s03", faults=["Services/ListServices:1+:PERMISSION_DENIED"]), 3, "--night")
        nights(fleet("s05"), 4, "--night")
        nights.ran = rendered(nights)
        nights.page = nights.files.get(PAGE, b"").decode()
        yield nights


def night_of(nights, day):
    return json.loads(nights.files[f"_nights/2026-01-{15 + day}/120000/night.json"])


# Of real audits


def test_newest_night_comes_first(store):
    """Its verdict and its sentence open the page; then the age of the last complete audit."""
    page, newest = Read(store.page), night_of(store, 4)

    assert (store.ran.code, store.ran.out) == (0, ""), store.ran.block
    assert store.ran.err.startswith("wrote ")
    assert store.ran.err.endswith(f"/{PAGE}\n")
    assert f"{newest['verdict']}: {newest['headline']}" in page.text.partition("newest night")[0]
    assert page.told("last complete audit") == "2026-01-19 12:00 UTC, this night"
    assert page.told("not seen") == "nothing in scope"
    assert page.told("exit code") == str(newest["exit_code"])


def test_what_is_new_continues_and_was_resolved(store):
    """The same findings as in the report of the newest night, each with its age."""
    page, newest = Read(store.page), night_of(store, 4)
    fresh = [one for one in newest["known"] if one["since"] == newest["generated_at"]]
    old = [one for one in newest["known"] if one not in fresh]

    assert 0 < len(fresh) == newest["trend"]["new"]
    assert 0 < len(old) == newest["trend"]["continuing"]
    assert f"New in the newest night: {len(fresh)}" in page.text
    assert f"Continuing: {len(old)}" in page.text
    assert f"Resolved: {len(newest['trend']['resolved'])}" in page.text
    lost = [one["address"]["service"] for one in fresh if one["rule"] == "key-lost"]
    gone = [o["address"]["service"] for o in newest["trend"]["resolved"] if o["rule"] == "key-lost"]
    assert (lost, gone) == (["s05"], ["s03"])
    between = page.text.partition("Resolved: ")[2].partition("Continuing: ")[0]
    assert re.search(
        r"shop/europe-west1/s03/env/\S+/JWT, seen since 2026-01-16 \(3 days\)", between
    )


def test_numbers_of_every_night(store):
    """The table of nights has the counts of each, the newest first, scope by scope."""
    rows = Read(store.page).rows("-nights")
    days = [4, 3, 1, 0, 2]  # the last is the one of the other scope
    kept = [night_of(store, day) for day in days]

    assert [row[0] for row in rows] == [f"2026-01-{15 + d} 12:00 UTC" for d in days]
    assert [row[1] for row in rows] == [n["verdict"] for n in kept]
    assert [row[2:8] for row in rows] == [
        [str(n["counts"][word]) for word in (*WORDS, "waived")] for n in kept
    ]
    assert [row[8:12] for row in rows] == [
        [
            str(n["trend"]["new"]),
            str(n["trend"]["continuing"]),
            "?" if n["verdict"] == "incomplete" else str(len(n["trend"]["resolved"])),
            str(n["counts"]["unseen"]),
        ]
        for n in kept
    ]


def test_services_and_nights(store):
    """A row for each service, the worst now first; the night that could not look has none."""
    first, *rest = Read(store.page).rows("s-1-services")
    states = {row[0]: row[1:] for row in (first, *rest)}

    assert first[0] == "s05"
    assert sorted(states) == NAMES
    assert {cells[1] for cells in states.values()} == {"-"}
    assert states["s03"][2].endswith(("C", "H"))
    assert not states["s03"][0].endswith(("C", "H"))


def test_scopes_are_apart(store):
    """An audit of one service is another section, with its own verdict and no part in the first."""
    page = Read(store.page)
    narrow = page.text.partition("1 other scope")[2]

    assert [tag for tag, _ in page.elements].count("section") == 2
    assert narrow.startswith(
        " shop; europe-west1, as configured; services, worker pools, jobs;"
        " s01: clean, 2026-01-17 12:00 UTC"
    )
    assert "2 days before the newest one here" in page.text
    assert {row[0] for row in page.rows("s-2-services")} == {"s01"}


def test_links_lead_to_pages(store):
    """Every link is relative and leads to what the store keeps, or to a place of the page."""
    page = Read(store.page)
    ids = [a["id"] for _, a in page.elements if "id" in a]

    assert len([link for link in page.links if link.endswith("report.json")]) == 5
    assert dead(page.links, store.files) == []
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(ids)


def test_control_dead_links(store):
    """A page of a night that is gone is told."""
    kept = {path for path in store.files if not path.endswith("19/120000/report.md")}

    assert dead(Read(store.page).links, kept) == ["2026-01-19/120000/report.md"]


def test_no_value_is_in_it(store):
    """Neither a value nor a trace of one is in the page, or in what the command says."""
    data = store.page.encode() + store.ran.block.encode()

    assert leaks(data, [CANARY]) == []
    assert leaks(data + CANARY.encode(), [CANARY]) != []


def test_same_nights_same_bytes(store):
    """The page does not ask the clock, and is not written again where it is the same."""
    before = store.cloud.objects[f"prod/{PAGE}"] if store.cloud else store.files[PAGE]
    again = rendered(store, env={"SOURCE_DATE_EPOCH": "1900000000", "TZ": "Asia/Tokyo"})
    after = store.cloud.objects[f"prod/{PAGE}"] if store.cloud else store.files[PAGE]

    assert again.code == 0
    assert after == before


def test_page_elsewhere(store):
    """With -o the page goes to a file, and leads from there to the nights of a folder."""
    (store.folder / "a b").mkdir(exist_ok=True)
    ran = rendered(store, "-o", "a b/page.html", "-o", "html=-")
    page = (store.folder / "a b/page.html").read_text()

    assert (ran.code, ran.out, ran.err) == (0, store.page, "")
    if store.cloud:
        assert page == store.page
    else:
        kept = {f"store/{path}" for path in store.files}
        assert dead(Read(page).links, kept, base="a b/") == []


def test_screen_readers(store):
    """Pictures and tables have names that are there, and every id stands once."""
    page = Read(store.page)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    labels = {i for _, a in page.elements for i in a.get("aria-labelledby", "").split()}

    assert len(ids) == len(set(ids))
    assert labels <= set(ids)
    for tag, attributes in page.elements:
        if tag in ("svg", "table", "section", "nav"):
            assert "aria-labelledby" in attributes
        if tag == "svg":
            assert attributes["role"] == "img"
        if tag == "th":
            assert "scope" in attributes


def test_style_is_pinned(store):
    """The policy allows the two styles of the page and nothing else."""
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', store.page)
    styles = re.findall(r"<style>(.*?)</style>", store.page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in styles]

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert not {"style", "src", "onclick"} & {
        a for _, all in Read(store.page).elements for a in all
    }


def test_report_of_a_night_tells_the_nights(store):
    """The pages of a night say what is new, and when an audit was complete before it."""
    trend = night_of(store, 4)["trend"]
    words = (
        f"{trend['new']} new, {trend['continuing']} continuing, {len(trend['resolved'])} resolved;"
        " last complete audit before this one 2026-01-16 12:00 UTC"
    )
    folder = "_nights/2026-01-19/120000/"

    assert f"| nights | {words} |" in store.files[f"{folder}report.md"].decode()
    assert f"<dt>nights</dt><dd>{words}</dd>" in store.files[f"{folder}report.html"].decode()
    assert "no complete audit before" in store.files["_nights/2026-01-15/120000/report.md"].decode()


# Nights that were made up


def night(day=0, **more):
    return Night(
        generated_at=NOW + dt.timedelta(days=day),
        **{
            "run": "120000",
            "verdict": "drift",
            "exit_code": 10,
            "headline": "JWT is gone",
            "scope": Scope(source="live", projects=("shop",), regions=("r",)),
            "complete_at": NOW + dt.timedelta(days=day),
            **more,
        },
    )


def service(name, **counts):
    at = Address(project="shop", region="r", service=name)
    return ServiceNight(at=at, candidate=f"{name}-1", **counts)


def known(name="s1", key="JWT", days=0, **more):
    at = Address(project="shop", region="r", service=name).at("app", key=key)
    return Known(
        id=f"{name}{key}",
        rule="key-lost",
        severity=Severity.HIGH,
        address=at,
        says=f"{key} is gone",
        since=NOW - dt.timedelta(days=days),
    ).but(**more)


def keep(folder, *nights):
    """A store of such nights; every page of theirs is there."""
    kept = Stored(Folder(str(folder)))
    for one in nights:
        kept.keep(one, dict.fromkeys(("report.html", "report.md", "report.json"), "-"))


def page_of(folder):
    ran = run(*SITE, f"--store={folder}", cwd=folder)
    assert ran.code == 0, ran.block
    return (folder / PAGE).read_text()


def test_golden(tmp_path, file_regression):
    """The page as people see it: an incomplete night after two that were complete."""
    trend = Trend(last_complete=NOW - dt.timedelta(days=1), new=1, continuing=1)
    keep(
        tmp_path,
        night(-2, services=(service("s1"), service("s2", low=1)), counts=Counts(low=1)),
        night(-1, services=(service("s1", high=2), service("s2")), counts=Counts(high=2)),
        night(
            verdict="incomplete",
            exit_code=3,
            complete_at=NOW - dt.timedelta(days=1),
            services=(service("s1", high=1),),
            counts=Counts(high=1, waived=1, unseen=1),
            trend=trend,
            unseen=(Unseen(where="secret jwt", reason="permission denied"),),
            skipped=(
                Skip(
                    what="version-disabled",
                    service=service("s1").at,
                    reason="the secret was not read",
                    blocking=True,
                ),
            ),
            known=(
                known(),
                known(key="DB", days=1, waived=True),
                known("s2", days=2, carried=True),
            ),
        ),
    )
    file_regression.check(page_of(tmp_path), fullpath=GOLDEN / "site.html", encoding="utf-8")


def test_incomplete_night(tmp_path):
    """What it did not see comes early; nothing is resolved, and what it may not have seen is named."""
    keep(
        tmp_path,
        night(
            verdict="incomplete",
            exit_code=3,
            complete_at=NOW - dt.timedelta(days=9),
            known=(known("s2", days=2, carried=True), known().but(address=Address(), says="blind")),
            unseen=(Unseen(where="secret jwt", reason="permission denied"),),
        ),
    )
    page = Read(page_of(tmp_path))

    assert (
        page.told("last complete audit") == "2026-01-06 12:00 UTC, 9 days before the newest night"
    )
    assert page.told("not seen") == "1 thing, listed below"
    assert "secret jwt: permission denied" in page.text.partition("New in the newest night: 1")[0]
    assert "key-lost: blind new Resolved" in page.text
    assert "Nothing is called resolved, as not everything was seen." in page.text
    assert "May still be there: 1" in page.text


def test_never_complete(tmp_path):
    """A store that never had a complete night says so."""
    keep(tmp_path, night(verdict="incomplete", exit_code=3, complete_at=None))
    page = Read(page_of(tmp_path))

    assert page.told("last complete audit") == "none of these nights was complete"
    assert page.told("not seen") == "not everything in scope: the report tells"


def test_nothing_is_silently_cut(tmp_path):
    """Of more nights, services and findings than a page shows, the rest is counted or behind a summary."""
    services = tuple(service(f"s{n:03}", high=n % 3) for n in range(130))
    many = tuple(known(f"s{n:03}", days=1) for n in range(MOST_LISTED + 7))
    fresh = tuple(known(f"s{n:03}", key="NEW") for n in range(MOST_LISTED + 1))
    keep(
        tmp_path,
        *(night(-day, services=services, counts=Counts(high=130)) for day in range(2, 100)),
        night(-1, services=(*services, service("z-gone"))),
        night(services=services, known=many + fresh, counts=Counts(high=130)),
    )
    text = page_of(tmp_path)
    page = Read(text)
    rows = page.rows("-services")
    rest = re.findall(r"<li><code>(s\d+)</code>: (?:\d high|none open)</li>", text)

    assert len(rows) * MOST_NIGHTS == MOST_CELLS
    assert {len(row) for row in rows} == {1 + MOST_NIGHTS}
    assert sorted([row[0] for row in rows] + rest) == [s.at.service for s in services]
    assert "31 more services, as they stood in the newest night" in page.text
    assert "z-gone: not seen in the newest night" in page.text
    assert "70 older nights in the table of nights only" in page.text
    assert len(page.rows("-nights")) + len(page.rows("-older")) == 100
    assert "The newest 90 of 100 nights" in page.text
    assert "7 more findings in the report of that night" in page.text
    assert "1 more finding in the report of that night" in page.text
    assert f"Continuing: {MOST_LISTED + 7}" in page.text


def test_many_scopes_share_the_cells(tmp_path):
    """Each of several scopes has its share of the cells; what one leaves, the next one has."""
    services = tuple(service(f"s{n:04}") for n in range(2_000))
    scopes = [Scope(source="live", projects=(f"p{n}",)) for n in range(3)]
    nights = [
        night(-n, scope=scope, services=services[:10] if n == 0 else services)
        for n, scope in enumerate(scopes)
    ]
    keep(tmp_path, *nights)
    page = Read(page_of(tmp_path))

    assert [len(page.rows(f"s-{n}-services")) for n in (1, 2, 3)] == [10, 1_495, 1_495]
    assert "505 more services" in page.text
    assert "2 other scopes" in page.text


def hostile(name):
    """A night in which a name stands wherever one can."""
    at = Address(project=name, region=name, service=name)
    bad = known().but(says=f"{name} is gone", rule=name, address=at.at(name, key=name))
    return night(
        run=name,
        headline=f"{name} is gone",
        scope=Scope(source=name, projects=(name,), regions=(name,), services=(name,)),
        services=(ServiceNight(at=at, candidate=name, high=1), service("s1")),
        known=(bad, bad.but(since=NOW - dt.timedelta(days=1)), bad.but(carried=True)),
        trend=Trend(resolved=(bad,)),
        unseen=(Unseen(where=name, reason=name),),
        skipped=(Skip(what=name, service=at, reason=name, blocking=True),),
    )


SHAPES = {"a", "nav", "figure", "figcaption", "svg", "g", "rect"}
DRAWN = {"href", "viewbox", "preserveaspectratio", "x", "y", "width", "height"}


@pytest.mark.parametrize("name", [n for n in HOSTILE if "\ud800" not in n])
def test_names_are_inert(tmp_path, name):
    """No element and no attribute of the page comes from a name, in a night or of its folder."""
    folder = tmp_path / "_nights/2026-01-15" / name.replace("/", "-").strip()
    folder.mkdir(parents=True)
    for file in ("report.html", "report.md", "report.json"):
        (folder / file).write_text("-")
    (folder / "night.json").write_text(hostile(name).model_dump_json())
    text = page_of(tmp_path)
    page, kept = Read(text), {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    plain = Read(page_of_plain(tmp_path))

    assert re.fullmatch(r"[ -~\n]*", text)
    assert {tag for tag, _ in page.elements} <= ELEMENTS | SHAPES
    assert {a for _, attributes in page.elements for a in attributes} <= ATTRIBUTES | DRAWN
    assert [t for t, _ in page.elements if t != "code"] == [
        t for t, _ in plain.elements if t != "code"
    ]
    assert dead(page.links, kept) == []
    assert not any(re.match(r"[a-z]+:|/", link) for link in page.links)


def page_of_plain(tmp_path):
    """The same page of a night in which nothing is hostile."""
    other = tmp_path / "plain"
    folder = other / "_nights/2026-01-15/run"
    folder.mkdir(parents=True)
    (folder / "night.json").write_text(hostile("name").model_dump_json())
    return page_of(other)


def test_no_template_is_glued():
    """The address of a night is the one thing that a template makes an attribute of; it is encoded."""
    text = (files.shipped("templates") / "site.html.j2").read_text()

    assert set(re.findall(r'href="([^"]*)"', text)) == {
        "{{ report(one.lines[0], 'report.html') }}",
        "{{ report(line, 'report.html') }}",
        "{{ report(line, 'report.md') }}",
        "{{ report(line, 'report.json') }}",
        "#s-{{ loop.index + 1 }}",
    }
    assert "{{ (base ~ line.folder ~ name) | address }}" in text


# What is refused


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["render"], "no report to render"),
        (["render", "r.json", "--format=site"], "a site is made of a store, not of a report"),
        (["render", "r.json", "--store=store"], "--store is for a site"),
        ([*SITE, "--min-severity=high"], "a site shows every severity"),
        ([*SITE, "-o", "index.md"], "a site is HTML"),
        ([*SITE, "-o", "index"], "cannot tell the format"),
        (["audit", "--format=site"], "'site' is not one of"),
    ],
)
def test_wrong_words(tmp_path, arguments, told):
    """A report and a store, neither of them, and what a site has not, end with 2."""
    ran = run(*arguments, cwd=tmp_path)

    assert ran.code == 2, ran.block
    assert told in ran.err


def test_store_of_the_environment_is_no_store_of_the_command(tmp_path):
    """A store that the environment names does not keep a report from being rendered."""
    ran = run("render", "r.json", cwd=tmp_path, env={"DRIFT_AUDIT_STORE": "store"})

    assert ran.code == 4
    assert "r.json" in ran.err


def test_nothing_to_make_it_of(tmp_path):
    """No folder, no nights, and a night that is none are refused by name."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    keep(tmp_path / "bad", night(-1), night())
    (tmp_path / "bad/_nights/2026-01-14/120000/night.json").write_text("{}")
    gone, none, bad = (run(*SITE, f"--store={s}", cwd=tmp_path) for s in ("gone", "empty", "bad"))

    assert (gone.code, none.code, bad.code) == (4, 4, 4)
    assert "gone: there is no such folder" in gone.err
    assert "empty has no nights" in none.err
    assert "drift-audit audit --night" in none.err
    assert "2026-01-14/120000/night.json: not a night of this version" in bad.err
    assert not (tmp_path / "bad" / PAGE).exists()


def test_page_that_cannot_be_written(tmp_path):
    """A page that has no place is exit 5, wherever it was to go."""
    keep(tmp_path, night())
    (tmp_path / PAGE).mkdir()
    inside = run(*SITE, "--store=.", cwd=tmp_path)
    outside = run(*SITE, "--store=.", "-o", "gone/page.html", cwd=tmp_path)

    assert (inside.code, outside.code) == (5, 5)
    assert PAGE in inside.err
    assert "gone/page.html" in outside.err


def test_bucket_that_takes_nothing(tmp_path):
    """Who may read the nights of a bucket and not write beside them ends with 5."""
    with bucket() as cloud:
        nights = Nights(tmp_path, cloud)
        Stored(cloud.home("prod")).keep(night(), {"report.html": "-"})
        cloud.denied = PAGE
        ran = rendered(nights)

    assert ran.code == 5
    assert f"{PAGE}: permission denied" in ran.err


# How nights are read


def test_nights_of_one_date(tmp_path):
    """Several nights of a date go by their time, not by their names; a second try after the first."""
    times = {"b": 1, "a": 2, "c": 0}
    keep(tmp_path, *(night().but(run=r, generated_at=NOW + h * HOUR) for r, h in times.items()))
    first = night(verdict="incomplete", exit_code=3).but(run="a", generated_at=NOW + 2 * HOUR)
    other = tmp_path / "other"
    keep(other, *(first.but(headline=f"try {n}") for n in range(11)))

    assert [k.folder for k in Stored(Folder(str(tmp_path))).kept()] == [
        f"2026-01-15/{run}/" for run in "abc"
    ]
    assert [k.folder for k in Stored(Folder(str(other))).kept()] == [
        *(f"2026-01-15/a.{n}/" for n in range(11, 1, -1)),
        "2026-01-15/a/",
    ]


HOUR = dt.timedelta(hours=1)


def test_last_night_is_read_alone():
    """Whoever asks for the night before waits for that one; whoever asks for all has all."""
    with bucket() as cloud:
        nights = Stored(cloud.home())
        made = [night(-day) for day in range(40)]
        for one in made:
            nights.keep(one, {})
        cloud.asked.clear()
        last = nights.last(made[0].scope, "other", NOW)
        asked = [line for line in cloud.asked if "/download/" in line]
        found = [kept.read(Night) for kept in nights.kept()]

    assert (last, len(asked)) == (made[0], 1)
    assert found == made
