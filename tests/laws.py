"""
What must hold of any input whatever, for `tests/fuzz.py` and the tests: laws over bytes.

A law takes bytes, tells whether they were taken or refused, and raises `Broken` where it does not
hold. Whatever else it raises is a fault as well. No law quotes what it was given.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import yaml

from drift_audit import strict
from drift_audit.app_schema import AppSchema, DeclaredKey
from drift_audit.collector import exports
from drift_audit.collector.exports import Documents
from drift_audit.errors import InputError, PolicyError
from drift_audit.finding import Cause, Finding, First, Remedy, Severity, Waived
from drift_audit.inventory import Inventory
from drift_audit.policy import Policy, read_policy
from drift_audit.renderer.cut import Cut
from drift_audit.renderer.encode import code, command, legible, sentence
from drift_audit.renderer.templates import for_markdown
from drift_audit.report import Report
from drift_audit.rules import RULES
from drift_audit.seal import Sealer, SealKey
from drift_audit.service_report import ReportedChange, RevisionFacts, ServiceReport
from drift_audit.snapshot import Address, Snapshot, Unseen
from tests import gfm
from tests.builders import NOW
from tests.reports import report

CANARY = "cnry-fuzz-7f3a9c51e2"
MARK = "cnry-"
"""What all canaries begin with, those of the stored corpus as well."""

CPU_SECONDS = 2
KEY = SealKey(b"fuzz" * 8, lasting=True)

Law = Callable[[bytes], bool]
"""Whether some bytes were taken; they were refused else."""


class Broken(Exception):
    """A law did not hold."""


def demand(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


def in_time(law: Law) -> Law:
    """The same law, which holds only within the time that an input may take."""

    def timed(data: bytes) -> bool:
        began = time.process_time()
        taken = law(data)
        demand(time.process_time() - began <= CPU_SECONDS, f"took more than {CPU_SECONDS} s")
        return taken

    return timed


# Importers

Parse = Callable[[bytes, str], Documents]


def importing(parse: Parse = exports.parse) -> Law:
    """
    Bytes are imported or refused with our own error. What was imported is the same once more, and
    as our own snapshot, and holds no value; what was refused quotes none.
    """

    def law(data: bytes) -> bool:
        try:
            told, found = _imported(parse, data)
        except InputError as error:
            told = f"{error}\n{error.hint}"
            demand(legible(error).isprintable(), "a refusal that a terminal would obey")
            demand(str(error).startswith("file"), "a refusal without its file")
            demand(not _leaks(told, data), "a refusal quotes a value")
            return False
        demand(not _leaks(told, data), "what was imported holds a value")
        demand(told == _imported(parse, data)[0], "the second import differs from the first")
        for one in (s for each in found.services for s in each.revisions):
            _read_back(one)
        return True

    return in_time(law)


def _imported(parse: Parse, data: bytes) -> tuple[str, Inventory]:
    """All that an import came to, as text too."""
    documents = parse(data, "file")
    found = exports.Files([documents], Sealer(KEY)).collect()
    return f"{documents!r}\n{found!r}\n{found.model_dump_json()}", found


def _read_back(snapshot: Snapshot) -> None:
    stored = snapshot.model_dump_json()
    [(_, read)] = exports.parse(stored.encode(), "stored").snapshots
    demand(read == snapshot, "a snapshot is not read back as it was written")
    demand(read.model_dump_json() == stored, "a snapshot is not written again as it was")


def _leaks(told: str, data: bytes) -> bool:
    """Whether a canary is told that stands where values stand, and nowhere else."""
    if MARK not in told or not _only_values(data):
        return False
    # what a plain value leads to is told on purpose: hosts, buckets, topics
    shown = re.sub(r"targets=\(Target\(.*?\)\),|\"targets\":\[\{.*?\}\]", "", told)
    return MARK in shown


def _only_values(data: bytes) -> bool:
    """Whether every canary of a document is the value of a variable, or part of one."""
    try:
        documents = strict.load(strict.decode(data))
    except strict.Refused:
        return True  # nothing of a text that cannot be read may be quoted
    return all(_is_value(path) for d in documents for path in _marked(d, ()))


def _is_value(path: tuple[str | int, ...]) -> bool:
    match path:
        case (*_, "env", int(), "value"):
            return True
    return False


def _marked(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where canaries stand, keys included."""
    if isinstance(node, dict):
        for key, inner in node.items():
            if MARK in key:
                yield (*path, key, "key")
            yield from _marked(inner, (*path, key))
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from _marked(inner, (*path, i))
    elif node is not None and MARK in node:
        yield path


def naive_parse(data: bytes, name: str) -> Documents:
    """The control: an importer without care."""
    found = json.loads(data) if data.lstrip()[:1] in (b"{", b"[") else yaml.safe_load(data)
    for container in found["spec"]["template"]["spec"]["containers"]:
        for entry in container["env"]:
            if not isinstance(entry["value"], str):
                raise InputError(f"{name}: not text: {entry}")
    return exports.parse(data, name)


# Policies

Read = Callable[..., Policy]

_SCHEMA = AppSchema(settings="app:Settings", keys=(DeclaredKey(field="a", names=("A",)),))
_HOMES = (
    Address(project="shop", region="europe-west1", service="api"),
    Address(project="shop-prod", region="europe-west1", service="worker-pools/w"),
    Address(),
)


def _schema(path: str) -> AppSchema:
    if path == "required-keys.json":
        return _SCHEMA
    raise InputError(f"{path}: missing: no such file")


def reading_policies(read: Read = read_policy) -> Law:
    """
    Text is a policy or refused with our own error. A policy is the same when it is read again, and
    answers for any service.
    """

    def law(data: bytes) -> bool:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return False  # as the command line does
        try:
            found = read(text, rules=RULES, schemas=_schema)
        except PolicyError as error:
            demand(str(error).startswith("drift-audit.toml: "), "a refusal without its file")
            str(error).encode()
            return False
        demand(found == read(text, rules=RULES, schemas=_schema), "read again it is another one")
        found.model_dump_json().encode()
        for home in _HOMES:
            for _, key, requirement in found.required(home):
                requirement.fits(key * 100)
                demand(found.requires(home.at(key=key)), "a required key is not required")
            demand(len(list(found.schemas(home))) <= len(found.service), "a schema of nothing")
            _ = found.environment(home), found.retired(home), found.forbidden(home), found.numbers
        return True

    return in_time(law)


def naive_policy(text: str, **more: Any) -> Policy:
    """The control: a reader that takes it for granted that lists hold tables."""
    for entry in tomllib.loads(text).get("service", []):
        entry.get("match", "*").lower()
    return read_policy(text, **more)


# Markdown

Encode = Callable[[object], str]

_TAG = re.compile(r"<[^>]*>")
_CODE = re.compile(r"<code>.*?</code>|<!-- -->", re.DOTALL)
_LIVE = re.compile(r"[@#]|://|www\.")
"""What a plain text could become alive by: mentions, references, links."""

_PAGE = """\
# Verdict: {s}

{s}

| | |
| --- | --- |
| scope | {s} |
| note | {s} |

- {c}: {s}
  - probably {c}: {s}

## {c}

Restore:

    {k}

<details><summary>{s}</summary>

| what | before | after |
| --- | --- | --- |
| {c} | {c} | {s} |

</details>

{s}

{c}
"""
"""Every kind of place that the template of the report has for a text from outside."""


def encoding(
    code: Encode = code, sentence: Encode = sentence, command: Encode = command, whole: int = 64
) -> Law:
    """
    Text in any place of a name makes nothing of the page: the elements stay those of the template,
    and nothing outside code could become a link or a mention. Of so many texts one is put into a
    whole report too.
    """
    count = 0

    def law(data: bytes) -> bool:
        nonlocal count
        text = data.decode("utf-8", "surrogateescape")
        text = text if text.strip() else f"x{text}"  # without any there are paragraphs less
        page = _PAGE.format(s=sentence(text), c=code(text), k=command(text))
        demand(page.isascii(), "a page that is not ASCII")
        demand(_shape(page) == _plain_shape(), "the text made something of the page")
        if count % whole == 0:
            _in_report(text)
        count += 1
        return True

    return in_time(law)


def _shape(page: str) -> Counter[str]:
    """The elements that GitHub makes of a page, code aside, and whether anything else is alive."""
    html = gfm.html(page).replace("<pre><code>", "<pre>").replace("</code></pre>", "</pre>")
    html = re.sub(r"<pre>.*?</pre>", "<pre>", html, flags=re.DOTALL)
    rest = _CODE.sub("", html)
    demand(not _LIVE.search(_TAG.sub("", rest)), "text outside code could come alive")
    return Counter(_TAG.findall(rest))


@cache
def _plain_shape() -> Counter[str]:
    page = _PAGE.format(s="plain", c="<code>plain</code>", k="plain")
    return _shape(page)


def _in_report(text: str) -> None:
    made = _report(text)
    shape = _shape(_template().render(report=made, cut=Cut(made), nights=text))
    demand(shape == _report_shape(), "the text made something of the report")


@cache
def _template() -> Any:
    return for_markdown().get_template("report.md.j2")


@cache
def _report_shape() -> Counter[str]:
    made = _report("plain")
    return _shape(_template().render(report=made, cut=Cut(made), nights="plain"))


def _report(text: str) -> Report:
    """A report with one text in every place."""
    at = Address(project=text, region=text, service=text, container=text, key=text)
    found = Finding(
        rule="key-lost",
        severity=Severity.HIGH,
        address=at,
        says=text,
        first_seen=First(revision=text, creator=text, client=text),
        cause=Cause(command=text, because=text),
        waived=Waived(owner=text, reason=text, until=NOW.date()),
    )
    facts = RevisionFacts(revision=text, creator=text, client=text, tags=(text,))
    change = ReportedChange(
        container=text, key=text, before="secret", after=text, before_source=text
    )
    one = ServiceReport(
        project=text,
        region=text,
        service=text,
        reference=text,
        candidate=text,
        reference_why=text,
        passed_over=(text,),
        reference_facts=facts,
        candidate_facts=facts,
        changes=(change,),
        findings=(found,),
        remedy=Remedy(restore=text, rollback=text, note=text),
    )
    made = report(one, unseen=(Unseen(where=text, reason=text),))
    return made.but(headline=text, notes=(text,))


def naive_code(text: object) -> str:
    """The control: what most people write."""
    return f"`{text}`"


def naive_sentence(text: object) -> str:
    return str(text).replace("|", "\\|")
