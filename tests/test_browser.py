"""Pages in the real browser: what they ask for, who can use them, and how they look at every width."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path

import html5lib
import pytest
from playwright.sync_api import expect

from drift_audit.finding import Remedy, Severity
from drift_audit.fleet_report import Capacity, Reader, SharedSecret
from drift_audit.renderer import renderer
from drift_audit.renderer.html import FIRST, MOST
from drift_audit.report import Report, Trend
from drift_audit.rules import RULES
from drift_audit.snapshot import Unseen
from tests.browser import ABSENT, CHROMIUM, browser, opened
from tests.builders import HOME, NOW
from tests.command import run
from tests.reports import WAIVED, finding, report, service
from tests.test_renderer import HOSTILE, full_report

CHECKER = Path(__file__).parent / "node/node_modules/vnu-jar/build/dist/vnu.jar"
NO_CHECKER = (
    "THE NU HTML CHECKER OR JAVA IS NOT INSTALLED (npm ci --prefix tests/node): no page was checked"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)


@pytest.fixture(scope="module")
def chromium():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The report of the demo, made by the command."""
    folder = tmp_path_factory.mktemp("demo")
    assert run("demo", cwd=folder).code == 0
    return folder / "report.html"


def every_rule() -> Report:
    """A report in which every rule fires, and every table has rows."""
    findings = [
        finding(id, rule.severity, key=f"KEY_{i}", before="secret", after="absent")
        for i, (id, rule) in enumerate(sorted(RULES.items()))
    ]
    findings[0] = findings[0].but(waived=WAIVED)
    findings[1] = findings[1].but(since=NOW)
    findings[2] = findings[2].but(since=NOW - dt.timedelta(days=3))
    made = report(service(findings=findings), service(name="web"))
    readers = tuple(
        Reader(at=HOME.but(service=s).at(key="JWT"), version=v)
        for s, v in (("api", "1"), ("web", "2"))
    )
    return made.but(
        shared=(SharedSecret(project="shop", secret="jwt", groups=("tokens",), readers=readers),),
        capacity=(
            Capacity(
                kind="database",
                name="shop:r:main",
                total=144,
                rollout=12,
                takes=100,
                parts=("api 12 x 2",),
            ),
            Capacity(kind="connector", name="c1", total=10, unknown=("pool of web",)),
        ),
        trend=Trend(last_complete=NOW - dt.timedelta(days=1), new=1, continuing=1),
    )


def many(count, key="K{}"):
    """A report of so many findings, over twenty services."""
    each = count // 20
    return report(
        *(
            service(
                name=f"s{n:02}",
                findings=[
                    finding(key=key.format(f"{n}_{i}"), severity=list(Severity)[i % 5])
                    for i in range(each)
                ],
            ).but(remedy=Remedy(restore=f"gcloud run services update s{n:02}"))
            for n in range(20)
        )
    )


PAGES = {
    "empty": lambda: report(service()),
    "incomplete": lambda: report(
        service(), unseen=[Unseen(where="secret jwt", reason="permission denied")]
    ),
    "every rule": every_rule,
    "one of everything": full_report,
    "large": lambda: many(MOST + 1_000),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory, demo):
    """Each page as a file."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"demo": demo}
    for name, made in PAGES.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(renderer("html")(made()))
    found["all nights"] = folder / "index.html"
    found["all nights"].write_text((Path(__file__).parent / "golden" / "site.html").read_text())
    return found


ALL = ["demo", *PAGES, "all nights"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ALL)
def test_everybody_can_use_it(chromium, pages, name, scheme):
    """axe-core finds nothing (WCAG 2.2 A and AA, best practice); no request leaves, nothing is said."""
    with opened(chromium, pages[name], color_scheme=scheme) as found:
        assert found.violations() == []
        assert found.requests == [pages[name].as_uri()]
        assert found.console == []


def test_control_a_page_that_asks_and_excludes(chromium, tmp_path):
    """The control: a request, a message, an image without words and faint text are all noticed."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><title>x</title><img src='http://127.0.0.1:9/x.png'>"
        "<p style='color:#ddd'>faint</p><script>console.log('hello')</script>"
    )
    with opened(chromium, path) as found:
        assert len(found.requests) == 2
        assert "hello" in found.console
        assert {"image-alt", "color-contrast"} <= {
            one.partition(":")[0] for one in found.violations()
        }


@pytest.mark.parametrize("name", ALL)
def test_markup_is_valid(pages, name):
    """A strict parser of HTML finds no error; ids are given once, and every link leads to one."""
    text = pages[name].read_text()
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    links = {element.get("href") for element in tree.iter("a")}

    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


@pytest.mark.skipif(not (CHECKER.exists() and shutil.which("java")), reason=NO_CHECKER)
def test_checker_of_html_is_content(pages, tmp_path):
    """The Nu HTML checker finds no error in markup or style of any page; the control is a page that has one."""
    bad = tmp_path / "bad.html"
    bad.write_text("<!DOCTYPE html><html lang=en><title>x</title><p><div colour=red></p>")
    command = ["java", "-jar", str(CHECKER), "--errors-only", "--format", "json"]
    done = subprocess.run(
        [*command, *(str(pages[name]) for name in ALL), str(bad)], capture_output=True, check=False
    )
    errors = json.loads(done.stderr)["messages"]

    assert {one["url"] for one in errors} == {f"file:{bad}"}, errors
    assert "Attribute “colour” not allowed" in errors[0]["message"]


@pytest.mark.parametrize("width", [320, 768, 1440])
@pytest.mark.parametrize("name", ["demo", "every rule", "one of everything", "all nights"])
def test_nothing_sticks_out(chromium, pages, name, width):
    """At no width does the page scroll sideways; what is wider scrolls in a place of its own."""
    with opened(chromium, pages[name], viewport={"width": width, "height": 800}) as found:
        wide = found.page.evaluate("document.documentElement.scrollWidth")

    assert wide <= width


def test_keyboard_alone(chromium, pages):
    """From the top, with the keyboard alone: skip link, filter, a finding, its link, the command, the table."""
    with opened(chromium, pages["demo"]) as found:
        page = found.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
                )
            )
        page.focus("#words")
        page.keyboard.type("service_secret")
        expect(page.locator("#count")).not_to_contain_text("All")
        few = page.locator(".finding:visible").count()
        page.focus("[type=reset]")
        page.keyboard.press("Enter")
        expect(page.locator("#count")).to_contain_text("All")
        whole = page.locator(".finding:visible").count()
        page.focus(".copy >> nth=0")
        page.keyboard.press("Enter")
        expect(page.locator(".copy").first).to_contain_text("Copied")

    assert {"words", "rule", "open", "copy", "scroll", "permalink"} <= set(reached)
    assert 0 < few < whole


def test_copy_takes_the_command_whole(chromium, pages):
    """The button copies the restore command as it stands, ready to be pasted."""
    grants = {"permissions": ["clipboard-read", "clipboard-write"]}
    with opened(chromium, pages["demo"], **grants) as found:
        command = found.page.locator("pre").first.inner_text()
        found.page.locator(".copy").first.click()
        expect(found.page.locator(".copy").first).to_contain_text("Copied")
        copied = found.page.evaluate("navigator.clipboard.readText()")

    assert copied == command
    assert copied.startswith("gcloud run services update")


def test_filters(chromium, pages):
    """Severity, rule, words, new and waived each narrow what is shown; services without any go."""
    with opened(chromium, pages["every rule"]) as found:
        page, total = found.page, len(RULES)
        whole = found.count()
        page.uncheck("[value=info]")
        expect(page.locator("#count")).not_to_contain_text("All")
        less = page.locator(".finding:visible").count()
        page.check("[value=info]")
        page.select_option("#rule", "key-lost")
        expect(page.locator("#count")).to_contain_text("1 of")
        one = page.locator(".finding:visible").count()
        page.select_option("#rule", "")
        page.check("#new")
        expect(page.locator("#count")).to_contain_text("1 of")
        fresh = page.locator(".finding:visible").count()
        empty = page.locator("section[data-service='shop/europe-west1/web']").is_visible()

    assert whole == f"All {total} findings are shown."
    assert less == sum(rule.severity is not Severity.INFO for rule in RULES.values())
    assert (one, fresh, empty) == (1, 1, False)


def test_permalink(chromium, pages):
    """The address of a finding leads to it, marked, in a page that is opened with it."""
    with opened(chromium, pages["every rule"]) as found:
        link = found.page.locator(".permalink").nth(40).get_attribute("href")
        found.page.goto(pages["every rule"].as_uri() + link)
        target = found.page.locator(":target")

        assert target.count() == 1
        assert target.is_visible()


def test_more_than_a_page_should_hold(chromium, pages):
    """Of very many findings the first stand in the page, the others come with the button, and all are found."""
    total = MOST + 1_000
    with opened(chromium, pages["large"]) as found:
        page = found.page
        count = found.count()
        expect(page.locator("#rest .finding")).to_have_count(100)
        here = page.locator(".finding").count()
        page.click("#next")
        more = page.locator("#rest .finding").count()
        page.fill("#words", "K19_299")
        expect(page.locator("#count")).to_contain_text("1 of")
        last = page.locator("#rest .finding").inner_text()
        place = page.locator("#rest .service h3").inner_text()
        restore = page.locator("#rest .service pre").inner_text()
        page.click("#rest .copy")
        expect(page.locator("#rest .copy")).to_contain_text("Copied")

    assert count == f"All {total} findings are shown."
    assert (here, more) == (FIRST + 100, 200)
    assert (place, restore) == ("shop/europe-west1/s19", "gcloud run services update s19")
    assert "K19_299 is gone" in last


def test_packed_names_are_inert(chromium, tmp_path):
    """Names in what is packed end no script and become no markup: they are text."""
    made = many(MOST + 20)
    bad = [
        service(name=f"zz{name}", findings=[finding(key=f"odd{name}", severity=Severity.INFO)]).but(
            remedy=Remedy(restore=name, rollback=name, note=name), passed_over=(name,)
        )
        for name in HOSTILE
    ]
    path = tmp_path / "page.html"
    path.write_text(renderer("html")(made.but(services=(*made.services, *bad))))
    with opened(chromium, path) as found:
        found.page.fill("#words", "odd")
        expect(found.page.locator("#count")).to_contain_text(f"{len(HOSTILE)} of")
        elements = found.page.evaluate(
            "[...new Set([...document.querySelectorAll('#rest *')].map(e => e.tagName))]"
        )
        attributes = found.page.evaluate(
            "[...new Set([...document.querySelectorAll('#rest *')].flatMap(e => e.getAttributeNames()))]"
        )
        shown = found.page.locator("#rest .service").count()
        assert found.console == []
        assert found.requests == [path.as_uri()]

    assert shown == len(HOSTILE)
    assert set(elements) == set("SECTION H3 DL DT DD DIV P PRE BUTTON ARTICLE H4 SPAN CODE".split())
    assert set(attributes) == {"class", "id", "tabindex", "role", "aria-label", "type"}


def test_print_is_whole(chromium, pages, tmp_path):
    """What is printed has every finding, also those that a filter hides, and opens what is folded."""
    with opened(chromium, pages["every rule"]) as found:
        found.page.select_option("#rule", "key-lost")
        expect(found.page.locator("#count")).to_contain_text("1 of")
        found.page.emulate_media(media="print")
        shown = found.page.locator(".finding:visible").count()
        filters = found.page.locator("#filters").is_visible()
        found.page.pdf(path=str(tmp_path / "page.pdf"))

    assert (shown, filters) == (len(RULES), False)
    assert (tmp_path / "page.pdf").stat().st_size > 20_000


def test_without_a_script(chromium, pages):
    """A browser that runs no script shows everything but what is packed, and says so."""
    with opened(chromium, pages["large"], java_script_enabled=False) as found:
        assert found.page.locator(".finding").count() == FIRST
        assert found.page.locator("#filters").is_visible() is False
        assert (
            found.page.locator(".copy").first.count() == 0
            or not found.page.locator(".copy").first.is_visible()
        )
        told = str(found.page.locator("noscript").text_content())

    assert "They are in the JSON report" in told
    assert "shop/europe-west1/s19: 300" in " ".join(told.split())
