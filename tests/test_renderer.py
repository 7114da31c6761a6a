"""Renderings: one report, told alike everywhere, and nothing foreign that acts."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from xml.etree import ElementTree as ET

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from drift_audit import files
from drift_audit.finding import Cause, First, Known, Remedy, Severity, Skip, Waived
from drift_audit.renderer import FORMATS, SUFFIXES, renderer
from drift_audit.renderer.encode import (
    LIMIT,
    code,
    command,
    legible,
    parts,
    printable,
    sentence,
    visible,
)
from drift_audit.renderer.json import canonical
from drift_audit.renderer.text import MOST, render
from drift_audit.report import Counts, Report, Trend
from drift_audit.rules import RULES
from drift_audit.service_report import KeyHistory, KeyLine, Run, Stretch
from drift_audit.snapshot import Unseen
from tests import watch
from tests.builders import NOW
from tests.readers import LISTS, READERS, Page, annotated
from tests.reports import change as reported_change
from tests.reports import finding, rendered, report, service

GFM = MarkdownIt("gfm-like", {"html": True})

HOSTILE = [
    "</script><script>alert(1)</script>",
    "\" onmouseover=alert(1) x='",
    "<img src=x onerror=alert(1)>",
    "a | b \\| c\n| injected | row |",
    "`` ` ``` ~~~\n# Verdict: clean\n",
    "[click](javascript:alert(1)) <https://evil.example>",
    "![p](https://evil.example/p.png) https://evil.example www.evil.example #1 GH-1 @octocat",
    "<!-- x --><details><summary>ok</summary>",
    "\x1b[2J\x1b[32mVERDICT: CLEAN\x1b[0m\x1b]0;t\x07\r\x08\x7f",
    "\x1b]8;;https://evil.example\x1b\\x\x1b]8;;\x1b\\",
    "\u009b31mred \u0085next",
    "\n::error title=x::forged\n::stop-commands::t\n##vso[task.complete]",
    "{{ 7*7 }}{% raw %}${7*7}%(x)s",
    "user\u202e\u2066nimda\u2069",
    "a\u200b\ufeff\u00adb\U000e0041",
    "x\ud800y",
    "  two  spaces ",
]


def known(name="OLD", severity=Severity.HIGH, days=3, **more):
    """A finding of a night before."""
    one = finding(key=name, severity=severity)
    since = NOW - dt.timedelta(days=days)
    return Known(
        id=one.id, rule=one.rule, severity=severity, address=one.address, says=one.says, since=since
    ).but(**more)


def full_report(name="JWT_SECRET_KEY") -> Report:
    """A report with one of everything, in which a name occurs wherever one can."""
    rich = finding(
        key=name,
        before="secret",
        after="absent",
        first_seen=First(
            revision="api-00001-bad",
            previous="api-00000",
            creator=name,
            client=name,
            create_time=NOW,
        ),
        cause=Cause(command="gcloud run deploy with --set-secrets", because="1 secret is gone"),
        remedy=Remedy(restore="gcloud run services update api"),
        since=NOW - dt.timedelta(days=2, hours=3),
    )
    waived = finding(
        "key-added",
        Severity.INFO,
        key="B",
        waived=Waived(owner=name, reason=name, until=NOW.date()),
    )
    one = service(
        findings=[rich.but(says=f"{name} is gone; it was bound to {name}"), waived],
        changes=[
            reported_change(name).but(before_source=name, container=name),
            reported_change().but(key=None, setting=name, before=True, after=name),
        ],
    )
    facts = one.candidate_facts.but(
        creator=name, client=name, tags=(name,), percent=100, create_time=NOW
    )
    runs = Run(state="secret", stretches=1), Run(state="absent", stretches=1)
    one = one.but(
        candidate_facts=facts,
        reference_facts=facts,
        reference_why=name,
        passed_over=(name,),
        remedy=Remedy(restore="gcloud restore", rollback="gcloud back", note="VALUE stands for it"),
        history=KeyHistory(
            complete=True,
            stretches=(
                Stretch(revision=name, last=name, count=2),
                Stretch(revision="b", percent=9),
            ),
            lines=(KeyLine(key=name, container=name, runs=runs), KeyLine(mount=name, runs=runs)),
        ),
    )
    made = report(
        one,
        service(name="web", reference=None),
        findings=[finding("service-missing"), finding("not-seen")],
        unseen=[Unseen(where=f"secret {name}", reason=name)],
        skipped=[Skip(what="version-disabled", reason="needs x", blocking=False)],
    )
    trend = Trend(last_complete=NOW, new=1, continuing=1, resolved=(known(name), known()))
    return made.but(notes=(name,), headline=f"{name} is gone", trend=trend)


ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article",
    "span", "h1", "h2", "h3", "p", "dl", "dt", "dd", "ul", "li", "code", "pre", "div", "details",
    "summary", "table", "thead", "tbody", "tr", "th", "td", "small", "b", "a", "button", "script",
    "form", "label", "input", "select", "option", "fieldset", "legend", "output", "noscript",
}  # fmt: skip
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "id",
    "aria-labelledby",
    "scope",
    "role",
    "tabindex",
    "href",
    "type",
    "hidden",
    "for",
    "value",
    "checked",
    "autocomplete",
    "spellcheck",
    "aria-label",
    "aria-hidden",
    "data-severity",
    "data-rule",
    "data-new",
    "data-waived",
    "data-service",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_html_is_inert(name):
    """No element and no attribute of the page comes from a name."""
    page = Page(renderer("html")(full_report(name)))

    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert {a for _, attributes in page.elements for a in attributes} <= ATTRIBUTES
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert all(re.fullmatch(r"#(report|more|f-[0-9a-f]{16}-[0-9]+)", link) for link in links)
    plain = Page(renderer("html")(full_report()))
    assert [t for t, _ in page.elements if t != "code"] == [
        t for t, _ in plain.elements if t != "code"
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_is_inert(name):
    """No link, image, mention, heading or row of the page comes from a name."""

    def shape(text):
        return [t.type for t in GFM.parse(text) if t.type != "inline"]

    text = renderer("markdown")(full_report(name))
    inline = [child for token in GFM.parse(text) for child in token.children or ()]

    assert shape(text) == shape(renderer("markdown")(full_report()))
    assert {child.type for child in inline} <= {
        "text", "html_inline", "strong_open", "strong_close", "softbreak",
    }  # fmt: skip
    assert {child.content for child in inline if child.type == "html_inline"} <= {
        "<code>",
        "</code>",
        "<!-- -->",
    }


@pytest.mark.parametrize(
    "name", [*HOSTILE, "raj@evil.example", "a www.1.evil.py b@c.de", "x:y@z.io/#1"]
)
def test_github_makes_nothing_of_markdown(name):
    """GitHub's own parser finds no link, no image and no element that the template did not write."""
    text = renderer("markdown")(full_report(name))
    page = Page(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))

    assert {tag for tag, _ in page.elements} <= {
        "h1", "h2", "p", "ul", "li", "code", "pre", "strong", "table", "thead", "tbody", "tr", "th",
        "td", "details", "summary",
    }  # fmt: skip


def test_control_is_a_link():
    """The parser makes links of what is not encoded, in a code span too."""
    naive = "<code>raj&#64;evil.example</code> <code>a www.evil.example</code> @octocat"
    page = cmarkgfm.github_flavored_markdown_to_html(naive, Options.CMARK_OPT_UNSAFE)

    assert [tag for tag, _ in Page(page).elements].count("a") == 2


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", [f for f in FORMATS if f != "github"])
def test_output_is_printable_ascii(name, format):
    """Whatever is foreign in a page is printable ASCII, and starts no command of a CI system."""
    text = rendered(
        format, full_report(name) if format != "json" or name != "x\ud800y" else full_report()
    )

    assert re.fullmatch(r"[\n -~]*", text)
    assert not re.search(
        r"(?m)^\s*(::|##)", text if format != "markdown" else text.replace("## ", "")
    )


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_encoders_hold_for_any_text(text):
    """The encoders leave nothing that acts, for any text at all."""
    assert re.fullmatch(r"[ -~]*", visible(text))
    assert not set(visible(text)) & set("<>&`|[]*$^")
    for inert in (visible(text), legible(text), command(text)):
        assert re.fullmatch(r"[ -~]*", inert)
        assert "::" not in inert
        assert "##" not in inert
    assert not set(command(text)) & set('<>&`|[]*$^"#\\') - {"\\"}
    assert re.fullmatch(r"[ -~]*", printable(text))
    assert re.fullmatch(r"<code>([A-Za-z0-9 _,=/-]|&#64;<!-- -->|&#(?!64)\d+;)*</code>", code(text))
    assert "".join(part for _, part in parts(text)) == printable(text)


def test_hidden_is_made_visible():
    """What cannot be seen is shown as an escape, not dropped; double spaces too."""
    assert visible("a\u200bb") == "a\\u{200b}b"
    assert visible("JWT_KEY  x") == "JWT_KEY\\u{20} x"
    assert visible("x" * (LIMIT + 5)) == "x" * LIMIT + "... (5 more characters)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("JWT_KEY is gone", "<code>JWT&#95;KEY</code> is gone".replace("&#95;", "_")),
        ("on 2026-01-15 12:00 UTC, serving 100%", "on 2026-01-15 12:00 UTC, serving 100%"),
        ("(by a@b)", "(by <code>a&#64;<!-- -->b</code>)"),
        ("it was a, b; c.", "it was a, b; c."),
        ("@octocat", "<code>&#64;<!-- -->octocat</code>"),
        ("www.evil.example", "<code>www&#46;evil&#46;example</code>"),
        ("1000)", "<code>1000&#41;</code>"),
        ("2. of them", "<code>2&#46;</code> of them"),
        ("2 of them (1.)", "2 of them (1.)"),
    ],
)
def test_sentences(text, told):
    """Plain words stay plain; whatever is or could be a name stands in a code span."""
    assert sentence(text) == told


# One report, told alike


def nights_by_html(text):
    told = re.findall(r"<dt>nights</dt><dd>(.*)</dd>", text)
    marks = re.findall(r'<li class="age">(new|seen since [^<]*)</li>', text)
    gone = text.partition('<h2 id="resolved">')[2].partition("</ul>")[0]
    return told, sorted(marks), gone.count("<li>")


def nights_by_markdown(text):
    told = re.findall(r"^\| nights \| (.*) \|$", text, re.MULTILINE)
    marks = re.findall(r"^  - (new|seen since .*)$", text, re.MULTILINE)
    gone = text.partition("## Resolved\n\n")[2].partition("\n\n")[0]
    return told, sorted(marks), len(re.findall(r"^- ", gone, re.MULTILINE))


def nights_by_text(text):
    told = re.findall(r"^nights\s+(.*(?:\n {12}.*)*)$", text, re.MULTILINE)
    found, _, gone = text.partition("\nresolved\n")
    marks = re.findall(r"^ {12}(new|seen since .*)$", found, re.MULTILINE)
    return (
        [" ".join(t.split()) for t in told],
        sorted(marks),
        " ".join(gone.split()).count("; seen since "),
    )


def nights_by_json(text):
    one = json.loads(text)
    if (trend := one.get("trend")) is None:
        return [], [], 0
    told = Trend.model_validate_json(json.dumps(trend))
    found = [f for s in one["services"] for f in s["findings"]]
    marks = [f["since"] for f in found if f.get("since")]
    now = dt.datetime.fromisoformat(one["generated_at"])
    days = [(now - (at := dt.datetime.fromisoformat(m)), at) for m in marks]
    said = [
        f"seen since {at:%Y-%m-%d} ({span.days} day{'s' * (span.days > 1)})" if span.days else "new"
        for span, at in days
    ]
    gone = f"{len(told.resolved)} resolved"
    if one["verdict"] == "incomplete":
        gone = "none called resolved, as not everything was seen"
    last = told.last_complete
    before = (
        f"last complete audit before this one {last:%Y-%m-%d %H:%M} UTC"
        if last
        else "no complete audit before this one"
    )
    row = f"{told.new} new, {told.continuing} continuing, {gone}; {before}"
    return [row], sorted(said), len(told.resolved)


MARK = r"^(new|seen since .*)$"


def nights_by_brief(text):
    told = re.findall(r"; nights: ([^;]*; [^;]*);", text)
    return told, None, None  # how many there are is all that has room


def nights_by_github(text):
    messages = "\n".join(message for _, _, message in annotated(text))
    return (
        nights_by_brief(text.splitlines()[-1])[0],
        sorted(re.findall(MARK, messages, re.MULTILINE)),
        None,
    )


def nights_by_junit(text):
    document = ET.fromstring(text)
    told = [p.get("value") for p in document.iter("property") if p.get("name") == "nights"]
    whole = "\n".join(document.itertext())
    gone = [c for c in document.iter("testcase") if c.get("name").startswith("resolved: ")]
    return told, sorted(re.findall(MARK, whole, re.MULTILINE)), len(gone)


def nights_by_sarif(text):
    [one] = json.loads(text)["runs"]
    facts = one["properties"]
    told = "\n".join(r["message"]["text"] for r in one["results"])
    marks = sorted(re.findall(MARK, told, re.MULTILINE))
    return [facts["nights"]] if "nights" in facts else [], marks, len(facts.get("resolved", ()))


NIGHTS = {
    "html": nights_by_html,
    "markdown": nights_by_markdown,
    "text": nights_by_text,
    "json": nights_by_json,
    "brief": nights_by_brief,
    "github": nights_by_github,
    "junit": nights_by_junit,
    "sarif": nights_by_sarif,
}

WAIVED = Waived(owner="me", reason="noise", until=NOW.date())
REPORTS = st.builds(
    lambda findings, changes, unseen, fail_on: report(
        service(
            findings=[
                finding(rule, severity, key=f"K{i}", **({"waived": WAIVED} if waived else {}))
                for i, (rule, severity, waived) in enumerate(findings)
            ],
            changes=[reported_change(f"K{i}") for i in range(changes)],
        ),
        unseen=[Unseen(where=f"w{i}", reason="r") for i in range(unseen)],
        fail_on=fail_on,
    ),
    st.lists(
        st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(Severity), st.booleans()),
        max_size=6,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([None, *Severity]),
)


SEVERAL = 150 if settings.get_current_profile_name() == "gate" else 500


@settings(max_examples=SEVERAL, deadline=None)
@given(REPORTS)
def test_all_formats_say_the_same(made):
    """Verdict, counts and what was not seen are the same in every rendering, and in the exit code."""
    pages = {format: rendered(format, made) for format in FORMATS}
    told = {format: READERS[format](page) for format, page in pages.items()}
    watch.seen[watch.WORLDS] += 1

    assert set(told.values()) == {told["json"]}, told
    assert told["json"][:2] == (made.verdict, made.exit_code)
    listed = {format: read(pages[format]) for format, read in LISTS.items()}
    assert all(one == [u.where for u in made.unseen] for one in listed.values()), listed


LOSSES = {
    "verdict": {"verdict": "clean"},
    "exit code": {"exit_code": 0},
    "finding": {"counts": Counts(findings=1, critical=1, unseen=2)},
    "unseen": {"unseen": (), "counts": Counts(findings=2, critical=1, high=1)},
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("format", FORMATS)
def test_readers_notice_what_is_lost(format, loss):
    """Whatever one rendering loses, what is read back from it is not the same any more."""
    made = report(
        service(findings=[finding(), finding("key-missing", Severity.CRITICAL)]),
        unseen=[Unseen(where=f"w{i}", reason="r") for i in range(2)],
    )
    whole, lossy = rendered(format, made), rendered(format, made.but(**LOSSES[loss]))

    try:
        read = READERS[format](lossy)
    except AssertionError:
        return  # a page that does not agree with itself is no better
    assert read != READERS[format](whole)


AGED = st.builds(
    lambda made, ages, gone, last: made.but(
        services=tuple(
            s.but(
                findings=tuple(
                    f.but(since=NOW - dt.timedelta(days=d))
                    for f, d in zip(s.findings, ages, strict=False)
                )
            )
            for s in made.services
        ),
        trend=Trend(
            last_complete=last,
            new=sum(not d for d in ages),
            continuing=sum(d > 0 for d in ages),
            resolved=tuple(known(f"OLD{d}", days=d) for d in gone),
        ),
    ),
    REPORTS,
    st.lists(st.integers(0, 400), max_size=6),
    st.lists(st.integers(1, 400), max_size=4, unique=True),
    st.sampled_from([None, NOW - dt.timedelta(days=1)]),
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(REPORTS, AGED))
def test_all_formats_tell_the_same_of_the_nights(made):
    """What is new, since when the rest is there, and how much was resolved is the same everywhere."""
    told = {format: read(rendered(format, made)) for format, read in NIGHTS.items()}

    for one in told.values():
        assert [a for a, b in zip(one, told["json"], strict=True) if a not in (b, None)] == [], told
    assert bool(told["json"][0]) == (made.trend is not None)


def test_resolved_findings_are_limited_in_text():
    """A terminal tells so many of them, and counts the rest."""
    gone = tuple(known(f"OLD{n}") for n in range(MOST + 2))
    text = renderer("text")(report(service()).but(trend=Trend(resolved=gone)))

    assert " ".join(text.split()).count("; seen since ") == MOST
    assert "2 more resolved findings in the JSON report" in text


LONG = "gcloud run services update api --update-secrets=" + ",".join(
    f"SECRET_NUMBER_{n:02}=some-secret-name-{n:02}:3" for n in range(30)
)


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "brief"])
def test_commands_are_whole(format):
    """However long a command is, people can copy all of it."""
    made = full_report()
    [first, *others] = made.services
    long = made.but(services=(first.but(remedy=Remedy(restore=LONG)), *others))

    assert LONG in rendered(format, long)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_json_is_canonical(document):
    """Sorted, indented, ASCII, with nothing that acts: otherwise as the standard library writes it."""
    written = canonical(document)
    plain = json.dumps(json.loads(written), indent=1, sort_keys=True) + "\n"

    assert json.loads(written) == document
    assert re.fullmatch(r"[\n -~]*", written)
    assert not set(written) & set("<>&`|")
    for char in "<>&`|\x7f":
        plain = plain.replace(char, f"\\u{ord(char):04x}")
    assert written == plain


def test_json_reads_back():
    """The stored form is the report."""
    made = full_report()

    assert Report.model_validate_json(renderer("json")(made)) == made


def test_style_is_pinned_by_its_hash():
    """The policy of the page allows this style, this script and nothing else: no request, no form."""
    page = renderer("html")(full_report())
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"(?i)(src|href|url\(|@import|style)=?\s*[\"'(]?(https?:)?//", page)


def test_no_template_opts_out():
    """No template marks anything as safe, and none builds an attribute from data but an id of ours."""
    templates = list(files.shipped("templates").rglob("*.j2"))

    assert len(templates) >= 3
    for template in templates:
        text = template.read_text()
        assert "|safe" not in text.replace(" ", "")
        assert "Markup" not in text
        assert "xmlattr" not in text
        assert "autoescape" not in text


def test_text_fits_eighty_columns():
    """Nothing but a command that is to be copied is wider than a terminal."""
    wide = [line for line in renderer("text")(full_report()).split("\n") if len(line) > 80]

    assert wide == []


def test_text_is_limited():
    """A page of findings is told one by one; the rest is counted, never lost."""
    many = report(service(findings=[finding(key=f"K{i}") for i in range(MOST + 3)]))

    assert "3 more findings in the JSON report" in renderer("text")(many)


def test_colours_carry_nothing():
    """With colours the words are the same as without."""
    plain, coloured = (render(full_report(), color=c) for c in (False, True))

    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_every_format_is_read_back():
    """Each format has a reader, and all but the line for chat tell what was not seen by name."""
    assert set(READERS) == set(FORMATS) == {*LISTS, "brief"}


def test_formats_and_suffixes():
    """Every format has a renderer, every suffix a format, and every format of files a suffix."""
    assert set(SUFFIXES.values()) == set(FORMATS) - {"brief", "github"}
    assert all(callable(renderer(f)) for f in FORMATS)
