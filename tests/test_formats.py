"""The formats of chat, CI and code scanning, and Markdown in the room of a place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from drift_audit.cli.anchors import checkout
from drift_audit.errors import CommandError
from drift_audit.finding import Cause, Remedy, Severity, Skip
from drift_audit.inventory import Scope
from drift_audit.renderer import FORMATS, ROOM, renderer
from drift_audit.renderer.anchor import Anchor
from drift_audit.renderer.cut import findings
from drift_audit.renderer.github import MOST
from drift_audit.renderer.markdown import LEAST, render
from drift_audit.report import Report, Tool, Trend
from drift_audit.snapshot import Unseen
from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.manifests import CANARY, PASSWORD
from tests.manifests import service as manifest
from tests.readers import LISTS, annotated, told_by_json, told_by_markdown
from tests.reports import WAIVED, change, finding, rendered, report, service
from tests.test_renderer import HOSTILE, REPORTS, full_report, known

TESTS = Path(__file__).parent
SARIF = json.loads((TESTS / "sarif" / "sarif-2.1.0-rtm.5.json").read_text())
GFM = MarkdownIt("gfm-like", {"html": True})
OLDER = sorted((TESTS / "golden").glob("report-v1*.json"))

# Markdown within the room of a place


def crowd(services=3, each=400, unseen=0, notes=(), cause=None):
    """A report of more than has room anywhere."""
    severities = list(Severity)
    made = [
        service(
            name=f"api-{s}",
            findings=[
                finding(severity=severities[(i + s) % 5], key=f"KEY_{s}_{i:04}", cause=cause)
                for i in range(each)
            ],
            changes=[change(f"KEY_{s}_{i:04}") for i in range(each)],
        )
        for s in range(services)
    ]
    blind = [Unseen(where=f"secret-{i:04}", reason="permission denied") for i in range(unseen)]
    skipped = [Skip(what="version-disabled", reason=f"needs {i}", blocking=False) for i in range(9)]
    trend = Trend(resolved=(known(),))
    return report(*made, unseen=blind, skipped=skipped).but(notes=tuple(notes), trend=trend)


def shown(text):
    """The keys of the findings of a page, in its order."""
    return re.findall(r"^- \*\*(\w+)\*\* <code>key-lost</code>: <code>(\w+)</code> is gone$", text, re.MULTILINE)  # fmt: skip


def left_out(text, what):
    """How many things of a kind the page says that it leaves out."""
    row = re.findall(r"^\| not shown \| (.*) \|$", text, re.MULTILINE)
    return sum(int(n) for told in row for n in re.findall(rf"(\d+) {what}", told))


@pytest.mark.parametrize("place", ROOM)
@pytest.mark.parametrize("unseen", [0, 150])
def test_markdown_keeps_to_the_room_of_a_place(place, unseen):
    """The most severe findings stand there whole, the others are counted; nothing else is lost."""
    long = Cause(command="gcloud run deploy", because="much is to be said of it " * 10)
    made = crowd(each=1_500, unseen=unseen, cause=long)
    text = render(made, budget=ROOM[place])
    told, order = shown(text), [f.address.key for f in findings(made)]

    assert ROOM[place] * 0.97 < len(text.encode()) <= ROOM[place]
    assert told_by_markdown(text) == told_by_json(renderer("json")(made))
    assert LISTS["markdown"](text) == [u.where for u in made.unseen]
    assert sorted(key for _, key in told) == sorted(map(str, order[: len(told)]))
    assert left_out(text, "more findings?") == len(order) - len(told) > 0
    assert (left_out(text, "differences"), left_out(text, "judgements not made")) == (4_500, 9)
    assert left_out(text, "resolved finding") == 1


def test_differences_go_before_any_finding():
    """A page that is a little too long keeps all findings and all services."""
    made = crowd(each=60, notes=["a note"])
    whole = render(made)
    text = render(made, budget=len(whole) - 1)

    assert whole == render(made, budget=len(whole))
    assert len(text) < len(whole)
    assert shown(text) == shown(whole)
    assert "| note | a note |" in text
    assert left_out(text, "differences") == 180
    assert left_out(text, "more") == 0


def test_services_without_findings_go_before_findings():
    """Who has nothing to fix makes room for who has."""
    clean = [service(name=f"quiet-{i:04}") for i in range(900)]
    made = report(service(findings=[finding(key="KEY_A"), finding(key="KEY_B")]), *clean)
    text = render(made, budget=LEAST)

    assert len(shown(text)) == 2
    assert left_out(text, "more services") == 900


def test_unseen_is_shortened_last():
    """Only a list that has no room by itself is shortened, and says by how many."""
    made = crowd(unseen=5_000, notes=["a note"])
    text = render(made, budget=LEAST)
    [more] = re.findall(r"^- (\d+) more, in the JSON report$", text, re.MULTILINE)

    assert LEAST * 0.98 < len(text) <= LEAST
    assert told_by_markdown(text) == told_by_json(renderer("json")(made))
    assert len(LISTS["markdown"](text)) + int(more) == 5_000
    assert left_out(text, "more findings") == 1_200
    assert left_out(text, "more services") == 3
    assert "a note" in text


def test_head_always_has_room():
    """The longest names and any number of notes leave verdict, headline, counts and exit code."""
    long = "\U0010ffff" * 600
    made = crowd(unseen=3, notes=[long] * 30).but(
        headline=long, scope=Scope(source=long), tool=Tool(version="0")
    )
    text = render(made, budget=LEAST)

    assert len(text) <= LEAST
    assert told_by_markdown(text) == told_by_json(renderer("json")(made))
    assert left_out(text, "more notes") == 30


def test_less_room_than_any_report_needs():
    """A budget that could not be kept is refused before anything is cut."""
    with pytest.raises(ValueError, match="no room in 24999 bytes"):
        render(crowd(), budget=LEAST - 1)


@settings(max_examples=60)
@given(
    st.integers(0, 3),
    st.integers(0, 250),
    st.integers(0, 400),
    st.integers(LEAST, 60_000),
    st.sampled_from(HOSTILE),
)
def test_cut_pages_are_whole_pages(services, each, unseen, budget, name):
    """Whatever is cut, the page keeps to its budget, agrees with the report and is inert."""
    made = crowd(services, each, unseen, notes=[name])
    text = render(made, budget=budget)
    tokens = GFM.parse(text)
    inline = {child.type for token in tokens for child in token.children or ()}
    rows = [t.type for t in tokens].count("tr_open")

    assert len(text) <= budget
    assert told_by_markdown(text) == told_by_json(renderer("json")(made.but(notes=())))
    assert inline <= {"text", "html_inline", "strong_open", "strong_close", "softbreak"}
    assert rows == len(re.findall(r"^\| ", text, re.MULTILINE)) - len(
        re.findall(r"^\| ---", text, re.MULTILINE)
    )
    assert left_out(text, "more findings?") == services * each - len(shown(text))


def test_for_a_place(here):
    """`--for` keeps every page in Markdown within the room of the place, and nothing else."""
    (here / "r.json").write_text(renderer("json")(crowd(each=900)))
    ran = run(
        "render", "r.json", "--for=jira", "--format=markdown", "-o", "r.md", "-o", "r.txt", cwd=here
    )
    whole = run("render", "r.json", "--format=markdown", cwd=here)

    assert len(ran.out.encode()) <= ROOM["jira"] < len(whole.out.encode())
    assert (here / "r.md").read_text() == ran.out
    assert "more findings" not in whole.out
    assert run("render", "r.json", "--for=mars", cwd=here).code == 2


# Annotations of GitHub


@pytest.mark.parametrize("name", HOSTILE)
def test_annotations_are_ours(name):
    """The lines that command something are those of a harmless report, and nothing is in their heads."""
    text = renderer("github")(full_report(name), anchors=lambda _at: Anchor(f"a{name}.toml", 3))
    plain = renderer("github")(full_report(), anchors=lambda _at: Anchor("a.toml", 3))
    heads = [(level, sorted(p), p["line"]) for level, p, _ in annotated(text)]

    assert re.fullmatch(r"[\n -~]*", text)
    assert heads == [(level, sorted(p), p["line"]) for level, p, _ in annotated(plain)]
    assert len(text.splitlines()) == len(plain.splitlines())
    assert not re.search(r"(?m)^\s*##", text)


def test_control_forges_a_command():
    """A renderer that does not escape lets a name make a command of its own, and the test sees it."""
    name = "\n::error title=x::forged"
    naive = f"::error title=key-lost::{name} is gone\n"

    assert [properties["title"] for _, properties, _ in annotated(naive)] == ["key-lost", "x"]
    forged = renderer("github")(full_report(name))
    assert "forged" not in [p["title"] for _, p, _ in annotated(forged)]
    assert not re.search(r"(?m)^::error title=x", forged)


def test_annotations_are_limited():
    """Of each kind as many as GitHub shows; the last one counts the others."""
    made = crowd(services=1, each=100, unseen=4)
    told = annotated(rendered("github", made))
    kinds = [level for level, _, _ in told]
    last = {level: message for level, _, message in told}

    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(("error", "warning", "notice"), MOST)  # fmt: skip
    assert last["error"] == "36 more errors in the report"
    assert last["warning"] == "11 more warnings in the report"
    assert last["notice"] == "31 more notices in the report"
    assert [p["title"] for _, p, _ in told][:5] == ["drift-audit: incomplete", *["not seen"] * 4]


@pytest.mark.parametrize(
    ("severity", "more", "level"),
    [
        (Severity.CRITICAL, {}, "error"),
        (Severity.HIGH, {}, "error"),
        (Severity.MEDIUM, {}, "warning"),
        (Severity.LOW, {}, "notice"),
        (Severity.HIGH, {"waived": WAIVED}, "notice"),
    ],
)
def test_levels(severity, more, level):
    """What fails stands out, and what was waived does not."""
    made = report(service(findings=[finding(severity=severity, **more)]), fail_on=None)
    [(told, _, message)] = [
        a for a in annotated(rendered("github", made)) if "key-lost" in a[1]["title"]
    ]
    [result] = json.loads(rendered("sarif", made))["runs"][0]["results"]

    assert told == level
    assert message.startswith("shop/europe-west1/api: A is gone")
    assert bool(result["suppressions"]) is bool(more)


def test_verdict_is_the_first_annotation():
    """What blocks is told with the command that puts it back; what does not is a notice."""
    fixed = Remedy(restore="gcloud run services update api")
    made = report(
        service(findings=[finding()]).but(remedy=fixed),
        service(name="web", findings=[finding()]).but(remedy=fixed),
    )
    reported = report(service(findings=[finding()]), fail_on=None)
    first = [annotated(rendered("github", r))[0] for r in (made, reported, report(service()))]

    assert [level for level, _, _ in first] == ["error", "warning", "notice"]
    assert first[0][1] == {"file": "drift-audit.toml", "line": "1", "title": "drift-audit: drift"}
    assert (
        "\nrestore: gcloud run services update api\n1 more restore command in the report"
        in first[0][2]
    )


# JUnit


@settings(max_examples=100)
@given(REPORTS)
def test_junit_is_red_when_the_run_is(made):
    """A run that was blind is an error, one that fails a failure, and only 0 is green."""
    document = JUnitXml.fromstring(rendered("junit", made).encode())
    cases = [case for suite in document for case in suite]

    assert bool(document.errors + document.failures) is (made.exit_code != 0)
    assert (document.errors > 0) is (made.verdict == "incomplete")
    assert len({(c.classname, c.name) for c in cases}) == len(cases)


@pytest.mark.parametrize("made", [report(), report(service()).but(exit_code=4)])
def test_nothing_to_test_is_not_green(made):
    """Nothing audited, and no baseline where one was demanded, are red without any finding."""
    document = JUnitXml.fromstring(renderer("junit")(made).encode())

    assert document.errors + document.failures == 1


def test_junit_cases():
    """What fails, what passes and what is skipped, each with its reason."""
    twice = finding("key-added", Severity.LOW, key="B")
    made = report(
        service(findings=[finding(), twice, twice, finding("key-emptied", waived=WAIVED)]),
        service(name="web", reference=None),
        skipped=[Skip(what="x", reason="needs y", blocking=False), Skip(what="z", reason="r", blocking=True)],
    )  # fmt: skip
    suites = ET.fromstring(renderer("junit")(made))
    told = {
        suite.get("name"): {
            case.get("name"): next(iter(case)).tag for case in suite.iter("testcase")
        }
        for suite in suites
    }
    place = "shop/europe-west1/api"

    assert told == {
        "drift-audit": {"verdict": "error", "not judged: x": "skipped", "not judged: z": "error"},
        place: {
            "compared": "system-out",
            f"key-lost: {place}/env/-/A": "failure",
            f"key-added: {place}/env/-/B": "system-out",
            f"key-added: {place}/env/-/B (2)": "system-out",
            f"key-emptied: {place}/env/-/A": "skipped",
        },
        "shop/europe-west1/web": {"compared": "skipped"},
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_junit_is_the_same_document(name):
    """No element and no attribute comes from a name, and no character that XML forbids."""

    def shape(text):
        return [(e.tag, sorted(e.keys())) for e in ET.fromstring(text).iter()]

    assert shape(renderer("junit")(full_report(name))) == shape(renderer("junit")(full_report()))


# SARIF


def check_sarif(text):
    """Valid by the schema, and as GitHub wants it: every result has a file and a known rule."""
    document = json.loads(text)
    jsonschema.Draft4Validator(SARIF, format_checker=jsonschema.FormatChecker()).validate(document)
    [one] = document["runs"]
    rules = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    for result in one["results"]:
        [place] = result["locations"]
        assert place["physicalLocation"]["artifactLocation"]["uri"]
        assert rules[result["ruleIndex"]] == result["ruleId"]
    return one


@settings(max_examples=100)
@given(REPORTS)
def test_sarif_is_valid(made):
    """Every report makes a valid document, which says of a blind run that it did not succeed."""
    one = check_sarif(rendered("sarif", made))
    found = sorted(f.id for f in made.all_findings)

    assert one["invocations"][0]["executionSuccessful"] is (made.verdict != "incomplete")
    assert sorted(r["partialFingerprints"]["driftAuditFinding/v1"] for r in one["results"]) == found
    assert sum(bool(r["suppressions"]) for r in one["results"]) == made.counts.waived


@pytest.mark.parametrize("name", HOSTILE)
def test_sarif_holds_no_link(name):
    """No text of a document is a link, or anything else that a viewer makes something of."""
    text = rendered("sarif", full_report(name))
    one = check_sarif(text)
    messages = [r["message"]["text"] for r in one["results"]]

    assert not any(set(m) & set("[]<>`*") for m in messages)
    assert not set(text) & set("<>&`|")


def test_schema_of_sarif_is_strict():
    """A document that lacks what the schema demands is noticed."""
    document = json.loads(rendered("sarif", full_report()))
    del document["runs"][0]["results"][0]["message"]

    with pytest.raises(jsonschema.ValidationError):
        check_sarif(json.dumps(document))


def test_rule_that_a_stored_report_does_not_explain():
    """A result has its rule where the report holds no text for it."""
    [rule] = check_sarif(rendered("sarif", report(service(findings=[finding()])).but(rules={})))["tool"]["driver"]["rules"]  # fmt: skip

    assert rule == {"id": "key-lost"}


@pytest.mark.parametrize(
    "made", [report(), report(service()), report(service(findings=[finding()]))]
)
def test_sarif_without_a_file_is_refused(made):
    """Where nothing can be pointed at there is no document, whether or not there are findings yet."""
    with pytest.raises(CommandError, match="sarif needs a file to point at"):
        renderer("sarif")(made)


# The files of the repository


@pytest.fixture
def promoted(here):
    """A repository in which the service has a baseline."""
    promote = ["baseline", "promote", "before.json", "--reason=r", "--by=me", "--project=shop"]
    assert run(*promote, cwd=here, env=SEALED).code == 0
    (here / ".git").mkdir()
    return here


def compared(folder, *arguments, cwd=None):
    files = [str(folder / name) for name in ("before.json", "after.json")]
    return run("compare", *files, "--project=shop", *arguments, cwd=cwd or folder, env=SEALED)


def test_findings_stand_at_the_line_of_the_baseline(promoted):
    """An annotation and a result point at the line of the baseline that holds the key."""
    ran = compared(promoted, "--format=github", "-o", "out.sarif")
    [(_, properties, _)] = [a for a in annotated(ran.out) if a[1]["title"].endswith(" key-lost")]
    one = check_sarif((promoted / "out.sarif").read_text())
    [lost] = [r for r in one["results"] if r["ruleId"] == "key-lost"]
    place = lost["locations"][0]["physicalLocation"]
    line = (promoted / properties["file"]).read_text().splitlines()[int(properties["line"]) - 1]

    assert (ran.code, ran.err) == (10, "")
    assert (
        properties["file"]
        == place["artifactLocation"]["uri"]
        == "baselines/shop/europe-west1/api.json"
    )
    assert place["region"]["startLine"] == int(properties["line"])
    assert line.strip() == '"key": "JWT",'


def test_policy_stands_for_what_has_no_baseline(here):
    """The line of the policy that names the key, else the first."""
    policy = "# JWT\n[[service]]\n[service.required]\nJWT = { from = 'secret' }\n"
    (here / "drift-audit.toml").write_text(policy)
    told = annotated(compared(here, "--format=github").out)
    lines = {p["title"].rpartition(" ")[2]: (p["file"], p["line"]) for _, p, _ in told}

    assert lines["key-missing"] == lines["key-lost"] == ("drift-audit.toml", "4")
    assert lines["drift"] == ("drift-audit.toml", "1")


def test_paths_go_from_the_root_of_the_repository(promoted):
    """Whoever starts it in a folder of the repository gets paths that GitHub knows; others get none."""
    inner = promoted / "deploy"
    inner.mkdir()
    below = compared(promoted, "--format=github", "--store=../baselines", cwd=inner)
    (promoted / ".git").rename(inner / ".git")
    outside = compared(promoted, "--format=github", f"--store={promoted}/baselines", cwd=inner)
    files = [[p.get("file") for _, p, _ in annotated(ran.out)] for ran in (below, outside)]

    assert "baselines/shop/europe-west1/api.json" in files[0]
    assert set(files[1]) == {None}


def test_bucket_holds_no_file_of_the_repository(promoted, monkeypatch):
    """A baseline in a bucket is nothing that CI could show."""
    monkeypatch.chdir(promoted)
    at = service().address

    assert checkout({"store": "baselines"})(at) == Anchor("baselines/shop/europe-west1/api.json")
    assert checkout({"store": "gs://bucket/baselines"})(at) is None


def test_sarif_that_is_refused_takes_nothing_with_it(here):
    """What else was asked for is written and told; the command line was wrong, and says what to type."""
    ran = compared(here, "-o", "out.sarif", "-o", "out.json")
    alone = compared(here, "--format=sarif")

    assert (ran.code, alone.code, alone.out) == (2, 2, "")
    assert "result: drift (exit 10)" in ran.out
    assert (here / "out.json").exists()
    assert not (here / "out.sarif").exists()
    assert ran.err == alone.err
    assert ran.err == (
        "drift-audit: sarif needs a file to point at, and there is no policy, and no baseline of"
        " shop/europe-west1/api\n  drift-audit init writes drift-audit.toml; or take"
        " --format=github, which needs no file\n"
    )


def test_stored_report_names_no_file_outside(here):
    """What a stored report calls a project is no path: no file is looked into for it."""
    (here / "secret.json").write_text('{"key": "A"}')
    one = service(findings=[finding()]).but(project="..", region="..", service="secret")
    (here / "r.json").write_text(renderer("json")(report(one)))

    assert run("render", "r.json", "--format=sarif", cwd=here).code == 2


def test_policy_that_cannot_be_read_stands_for_nothing(here):
    """A file that is too large to be looked into is no anchor, and no defect."""
    (here / "r.json").write_text(renderer("json")(report(service(findings=[finding()]))))
    (here / "drift-audit.toml").mkdir()
    folder = run("render", "r.json", "--format=github", cwd=here)
    (here / "drift-audit.toml").rmdir()
    with (here / "drift-audit.toml").open("wb") as large:
        large.truncate(2**30)
    huge = run("render", "r.json", "--format=github", cwd=here)

    for ran in (folder, huge):
        assert ran.code == 10, ran.block
        assert {p.get("file") for _, p, _ in annotated(ran.out)} == {None}


@pytest.mark.parametrize("format", [f for f in FORMATS if f not in ("html", "json")])
def test_examples_are_what_is_printed(format, here):
    """The page on formats shows what the command prints."""
    (here / "report.json").write_text((TESTS / "golden" / "report-v1-least.json").read_text())
    (here / "drift-audit.toml").touch()
    command = f"render report.json --format={format}"
    ran = run(*command.split(), cwd=here)
    page = (TESTS.parent / "docs" / "formats.md").read_text()

    assert re.search(
        rf"^`drift-audit {command}`\n\n```\w+\n{re.escape(ran.out)}```$", page, re.MULTILINE
    )


# What a gate prints


def test_gate_is_complete_in_the_log(here):
    """The sentence, ten findings, the command that restores, and where the rest is: no page to open."""
    keys = [{"name": f"KEY_{i:02}", "valueFrom": {"secretKeyRef": {"name": f"s{i}", "key": "1"}}} for i in range(14)]  # fmt: skip
    (here / "before.json").write_text(json.dumps(manifest(env=[*keys, PASSWORD])))
    ran = compared(here, "-o", "report.html", "-o", "report.json", "-o", "github=note.txt")
    alone = compared(here)
    lines = ran.out.splitlines()
    told = [line for line in lines if line.split()[:1] and line.split()[0] in ("critical", "high", "medium", "low", "info") and line[0] != " "]  # fmt: skip

    assert (ran.code, ran.err) == (10, "")
    assert lines[0].startswith("DRIFT ")
    assert len(told) == 10
    assert re.search(r"^\d+ more findings in report\.html, report\.json$", ran.out, re.MULTILINE)
    assert "restore:\n  gcloud run services update api" in ran.out
    assert lines[-2:] == ["written     report.html, report.json", "result: drift (exit 10)"]
    assert [line for line in lines if len(line) > 80 and not line.startswith("  gcloud ")] == []
    assert "more finding" not in alone.out
    assert alone.out.count("key-lost") == 14


def test_brief_is_one_line(here):
    """A line for chat: the verdict with its sentence, the counts, the exit code."""
    ran = compared(here, "--format=brief")

    assert ran.code == 10
    assert re.fullmatch(
        r"DRIFT: .* drops 1 key that .* had: JWT"
        r" \(findings: 1 high, .*; seen: 0 of 1 held against a baseline; not seen: nothing in scope; exit 10\)\n",
        ran.out,
    )


# Values and versions


def test_no_value_in_any_format(promoted):
    """No format holds a value, in any disguise."""
    outputs = [f"--output={format}=out.{format}" for format in FORMATS]
    ran = compared(promoted, *outputs)
    written = {n: data for n, data in files_below(promoted).items() if n.startswith("out.")}

    assert len(written) == len(FORMATS)
    assert leaks(b"".join(written.values()) + ran.block.encode(), [CANARY]) == []


def test_control_leaks(promoted):
    """The scan finds the value in the file that it came from."""
    assert "plain" in leaks((promoted / "before.json").read_bytes(), [CANARY])


def test_there_is_an_older_report():
    """The versions below are not none."""
    assert {path.name for path in OLDER} >= {"report-v1.json", "report-v1-least.json"}


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_every_report_ever_released_renders(path, here):
    """Each version reads back, is what the published schema says, and renders as any format."""
    schema = json.loads(run("schema", "show", "report", cwd=here).out)
    document = json.loads(path.read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    made = Report.model_validate_json(path.read_text())
    (here / "drift-audit.toml").write_text("")

    for format in FORMATS:
        ran = run("render", str(path), f"--format={format}", cwd=here)
        assert (ran.code, ran.err) == (made.exit_code, ""), format
        assert ran.out
    assert json.loads(renderer("json")(made)).items() >= {"schema_version": 1}.items()


@settings(max_examples=50)
@given(REPORTS)
def test_reports_are_what_the_schema_says(made):
    """The published schema describes every report, and nothing more."""
    document = json.loads(renderer("json")(made))
    validator = jsonschema.Draft202012Validator(Report.model_json_schema())

    validator.validate(document)
    assert not validator.is_valid({**document, "unheard_of": 1})
    assert not validator.is_valid({**document, "schema_version": 2})
