"""
Hostile and awkward inputs: each behaves as its row in `tests/nasty/manifest.json` says.

The real command runs in a process of its own with two CPU seconds and 512 MiB. Whatever it writes is
scanned for the canaries of the input, in every encoding, and for the raw payload. A deliberately naive
tool runs over the same corpus and must fail it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import cmarkgfm
import jinja2
import pytest
import yaml
from cmarkgfm.cmark import Options
from markdown_it import MarkdownIt

from drift_audit.renderer import FORMATS
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, Ran, run
from tests.manifests import service
from tests.readers import Page, annotated

GFM = MarkdownIt("gfm-like", {"html": True})
CORPUS = Path(__file__).parent / "nasty"
ORIGINAL = Path(__file__).parents[2] / "shared" / "nasty-inputs"
CASES = json.loads((CORPUS / "manifest.json").read_text())["cases"]
SINGLE = [c for c in CASES if c["pair"] is None]
PAIRS = sorted({c["pair"] for c in CASES if c["pair"]})

POLICY = """
[[service]]
[service.required]
SERVICE_SECRET = { from = "secret" }
JWT_SECRET_KEY = { from = "secret" }
"""

RULES = {
    "BAD_ENV_NAME": {"key-name-odd"},
    "BAD_VERSION": {"version-odd"},
    "BIDI": {"value-odd"},
    "CASE_VARIANT": {"key-lookalike"},
    "CONFUSABLE_NAME": {"key-lookalike"},
    "CONTROL_CHAR": {"value-odd"},
    "CROSS_PROJECT_SECRET": {"secret-cross-project"},
    "DUP_ENV_NAME": {"key-duplicated"},
    "ENVFROM_UNSUPPORTED": {"not-seen"},
    "FLOATING_VERSION": {"version-floating", "version-unpinned"},
    "IMAGE_NOT_PINNED": {"image-unpinned"},
    "INVISIBLE_CHAR": {"key-lookalike", "value-odd"},
    "NEW_SECRET_CONSUMER": {"secret-consumer-added"},
    "PLACEHOLDER": {"value-placeholder"},
    "PLAINTEXT_SUSPECT": {"credential-in-plain"},
    "REQ_EMPTY": {"key-missing"},
    "REQ_MISSING": {"key-missing"},
    "REQ_PLAINTEXT": {"key-wrong-source"},
    "SECRET_ALIAS_RETARGET": {"secret-project-changed"},
    "SERVING_REVISION_NOT_IN_INPUT": {"not-seen"},
    "SHARED_SECRET": {"secret-shared"},
    "SHARED_VALUE": {"credential-shared"},
    "TRUNCATED_LIST": {"not-seen"},
    "UNKNOWN_FIELD": {"field-unknown"},
    "UNREACHABLE": {"not-seen"},
    "VALUE_WHITESPACE": {"value-odd"},
    "VERSION_ALIAS": {"version-floating"},
}
"""The corpus's names of findings, and the rules that report them."""

REFUSALS = {
    "BAD_RESOURCE_NAME": "bad-name|unfilled-placeholder",
    "BAD_SECRET_NAME": "bad-secret-name",
    "BAD_VERSION": "bad-version",
    "BOTH_VALUE_AND_REF": "value-and-reference",
    "DUPLICATE_KEY": "duplicate-key",
    "MULTI_DOCUMENT": "duplicate-service",
    "NON_STRING_VALUE": "not-a-string|yaml-tag",
    "YAML_ALIAS": "yaml-alias",
    "YAML_TAG": "yaml-tag",
}
"""The corpus's names of refusals, and the words that our one line must hold."""

ALLOWED = {
    "accept": {0, 10},
    "reject": {4},
    "incomplete": {3},
    "reject-or-audit-all": {4, 0, 10},
    "accept-or-reject-names": {4, 0, 10},
}


def audit(case: dict, folder: Path) -> Ran:
    """Audit one file and write every format."""
    (folder / "policy.toml").write_text(POLICY)
    outputs = [f"--output={format}=report.{format}" for format in FORMATS]
    file = str(CORPUS / case["file"])
    return run(
        "audit", f"--input={file}", "--config=policy.toml", *outputs, cwd=folder, limited=True
    )


def everything(folder: Path, *runs: Ran) -> bytes:
    """All that some runs wrote and printed."""
    written = {n: d for n, d in files_below(folder).items() if n != "policy.toml"}
    return b"\n".join([*written.values(), *(r.block.encode() for r in runs)])


def check_clean(case: dict, data: bytes) -> None:
    """No canary in any disguise, and no payload as it was written."""
    assert leaks(data, case["canaries"]) == []
    for payload in case["inert_raw"]:
        assert payload.encode("utf-8", "surrogatepass") not in data


def findings(folder: Path) -> list[dict]:
    report = json.loads((folder / "report.json").read_text())
    return [*report["findings"], *(f for s in report["services"] for f in s["findings"])]


@pytest.mark.parametrize("case", SINGLE, ids=lambda c: c["id"])
def test_case(case, tmp_path):
    """An input is taken, refused or called incomplete as its row says, and nothing of it leaks."""
    ran = audit(case, tmp_path)

    assert ran.code in ALLOWED[case["expect"]], ran.block
    check_clean(case, everything(tmp_path, ran))
    if ran.code == 4:
        check_refusal(case, ran, tmp_path)
    else:
        check_findings(case, findings(tmp_path))
        check_inert(tmp_path)


def check_inert(folder: Path) -> None:
    """
    No format makes anything of a name: Markdown has no link, image, heading or row more than its
    template writes, no line of a log begins with a command but ours, XML and JSON are well-formed.
    """
    page = (folder / "report.markdown").read_text()
    tokens = GFM.parse(page)
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {
        "text", "html_inline", "strong_open", "strong_close", "softbreak",
    }  # fmt: skip
    assert {c.content for c in inline if c.type == "html_inline"} <= {
        "<code>", "</code>", "<!-- -->",
    }  # fmt: skip
    html = cmarkgfm.github_flavored_markdown_to_html(page, Options.CMARK_OPT_UNSAFE)
    assert not {"a", "img"} & {tag for tag, _ in Page(html).elements}
    blocks = {t.content.strip() for t in tokens if t.type == "html_block"}
    written = r"<details><summary>\d+ differences?</summary>|</details>"
    assert all(re.fullmatch(written, block) for block in blocks), blocks
    rows = re.findall(r"^\|(?! ---)", page, re.MULTILINE)
    assert len([t for t in tokens if t.type == "tr_open"]) == len(rows)
    annotated((folder / "report.github").read_text())
    for name in ("text", "brief"):
        assert not re.search(r"(?m)^\s*(::|##)", (folder / f"report.{name}").read_text())
    ET.parse(folder / "report.junit")
    json.loads((folder / "report.sarif").read_text())


def check_refusal(case: dict, ran: Ran, folder: Path) -> None:
    """One line with file, place and rule; a hint at most; and nothing was written."""
    first, *more = ran.err.splitlines()
    assert re.match(r"drift-audit: \S+?(:\d+)?: [a-z-]+: ", first), ran.err
    assert len(more) <= 1, ran.err
    assert ran.out == ""
    assert [n for n in files_below(folder) if n != "policy.toml"] == []
    for wanted in case["findings"]:
        assert re.search(REFUSALS[wanted.partition(":")[0]], first), (wanted, first)


def check_findings(case: dict, found: list[dict]) -> None:
    """Every finding the row names is there, and about what it names."""
    for wanted in case["findings"]:
        if wanted == "BAD_RESOURCE_NAME":
            continue  # a name that is shown after all is inert, which was checked
        name, _, about = wanted.partition(":")
        subject, _, container = about.partition("@")
        hits = [f for f in found if f["rule"] in RULES[name]]
        assert hits, (wanted, [f["rule"] for f in found])
        told = " ".join(f["says"] + json.dumps(f["address"]) for f in hits)
        assert subject.replace("/", "@") in told or subject in told, (wanted, told)
        assert container in told, (wanted, told)


@pytest.mark.parametrize("pair", PAIRS)
def test_pair(pair, tmp_path):
    """Two inputs differ, or do not, as the row of the pair says."""
    before, after = (c for c in CASES if c["pair"] == pair)
    (tmp_path / "policy.toml").write_text(POLICY)
    sides = [str(CORPUS / c["file"]) for c in (before, after)]
    outputs = [f"--output={format}=report.{format}" for format in FORMATS]
    ran = run("compare", *sides, "--config=policy.toml", *outputs, cwd=tmp_path, limited=True)
    report = json.loads((tmp_path / "report.json").read_text())

    drift = after["expect"] == "drift"
    assert (report["verdict"] == "drift") is drift, ran.block
    assert bool(report["services"][0]["changes"]) is drift
    assert ran.code == report["exit_code"]
    check_findings(after, findings(tmp_path))
    check_inert(tmp_path)
    for case in (before, after):
        check_clean(case, everything(tmp_path, ran))


@pytest.mark.parametrize(
    "case", [c for c in SINGLE if c["expect"] == "accept"], ids=lambda c: c["id"]
)
def test_snapshot_of_case(case, tmp_path):
    """A snapshot of a hostile input holds no value of it, and reads back as the same snapshot."""
    env = {"DRIFT_AUDIT_SEAL_KEY": SEAL_KEY}
    file = str(CORPUS / case["file"])
    first = run(
        "snapshot", f"--input={file}", "--output=a.json", cwd=tmp_path, env=env, limited=True
    )
    again = run(
        "snapshot", "--input=a.json", "--output=b.json", cwd=tmp_path, env=env, limited=True
    )

    assert (first.code, again.code) == (0, 0), first.block + again.block
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    check_clean(case, everything(tmp_path, first, again))


def test_code_in_a_tag_did_not_run():
    """The file that D17 tries to write is nowhere."""
    assert list(Path.cwd().rglob("pwned-D17")) == []


LARGE = {
    "items": ("[" + "1," * 4_000_000 + "1]", "too-many"),
    "containers": ([{"name": f"c{i}"} for i in range(20_000)], "too-many"),
    "unknown": ([{"image": "i", **{f"f{i}": i for i in range(20_000)}}], "too-many"),
    "braces": ([{"image": "i", "env": [{"name": "A", "value": "{{" * 2_000_000}]}], ""),
}
"""Documents of a few megabytes, and the rule that refuses them."""


@pytest.mark.parametrize("what", LARGE)
def test_large_documents(what, tmp_path):
    """What is large in any way is read or refused within the bounds of time and memory."""
    body, rule = LARGE[what]
    if isinstance(body, list):
        manifest = service()
        manifest["spec"]["template"]["spec"]["containers"] = body
        body = json.dumps(manifest)
    (tmp_path / "large.json").write_text(body)
    ran = run("snapshot", "--input=large.json", "--without-literals", cwd=tmp_path, limited=True)

    assert ran.code == (4 if rule else 0), ran.block[:1_000]
    assert rule in ran.err


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the shared corpus is not beside this checkout")
def test_corpus_is_the_shared_one():
    """The copy in this repository is the corpus that the promises speak of, byte for byte."""
    for case in CASES:
        assert (CORPUS / case["file"]).read_bytes() == (ORIGINAL / case["file"]).read_bytes()


def naive(data: bytes) -> str:
    """What a tool without care makes of a file: loads it with defaults, prints it with defaults."""
    document = json.loads(data) if data.lstrip()[:1] in (b"{", b"[") else yaml.safe_load(data)
    services = document if isinstance(document, list) else document.get("items", [document])
    rows = [
        (entry["name"], entry.get("value", ""))
        for service in services
        for container in service["spec"]["template"]["spec"]["containers"]
        for entry in container.get("env", [])
    ]
    template = "{% for name, value in rows %}| `{{ name }}` | {{ value }} |\n{% endfor %}"
    environment = jinja2.Environment(autoescape=jinja2.select_autoescape())
    environment.loader = jinja2.DictLoader({"report.html.j2": template})
    return environment.get_template("report.html.j2").render(rows=rows)


def naive_failures() -> Iterator[str]:
    for case in SINGLE:
        data = (CORPUS / case["file"]).read_bytes()
        if case["id"] == "D15":
            continue  # the merge bomb: six seconds in the naive loader
        try:
            out = naive(data).encode("utf-8", "surrogatepass")
        except Exception:  # noqa: BLE001  # however it fails: a crash is what it is here for
            continue
        if case["expect"] in ("reject", "incomplete"):
            yield f"{case['expect']} missed"
        if leaks(out, case["canaries"]):
            yield "leaked"
        if any(p.encode("utf-8", "surrogatepass") in out for p in case["inert_raw"]):
            yield "payload"


def test_control_fails():
    """A naive loader and renderer fail every check of the corpus, or the checks prove nothing."""
    failures = list(naive_failures())

    assert failures.count("reject missed") > 30
    assert failures.count("incomplete missed") >= 2
    assert failures.count("leaked") > 30
    assert failures.count("payload") > 15
