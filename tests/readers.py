"""Read verdict, counts and what was not seen back from what was rendered, in any format."""

from __future__ import annotations

import html.parser
import json
import re
from xml.etree import ElementTree as ET

from junitparser import JUnitXml

WEIGHTS = ("critical", "high", "medium", "low", "info")


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: elements, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.stack = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def weights(counts):
    """Counts as pages tell them."""
    told = [f"{counts[w]} {w}" for w in WEIGHTS if counts[w]]
    told += [f"{counts['waived']} waived"] * bool(counts["waived"])
    return ", ".join(told) or "none"


def told_by_html(text):
    page = Page(text)
    words = [t.strip() for t in page.text if t.strip()]
    at = words.index("findings")
    code = words[words.index("exit code") + 1]
    return words[0].partition(":")[0], int(code), words[at + 1], text.count("<li><code>")


def told_by_markdown(text):
    [verdict] = re.findall(r"^# Verdict: (\w+)$", text, re.MULTILINE)
    [findings] = re.findall(r"^\| findings \| (.*) \|$", text, re.MULTILINE)
    [unseen] = re.findall(
        r"^\| not seen \| (?:(\d+) things?|nothing in scope) \|$", text, re.MULTILINE
    )
    [code] = re.findall(r"^\| exit code \| (\d+) \|$", text, re.MULTILINE)
    listed = text.partition("## Not seen\n\n")[2].partition("\n\n")[0]
    more = re.findall(r"^- (\d+) more, in the JSON report$", listed, re.MULTILINE)
    shown = len(re.findall(r"^- <code>", listed, re.MULTILINE))
    assert shown + sum(map(int, more)) == int(unseen or 0)
    return verdict, int(code), findings, int(unseen or 0)


def told_by_text(text):
    [(verdict, code)] = re.findall(r"^result: (\w+) \(exit (\d+)\)$", text, re.MULTILINE)
    [findings] = re.findall(r"^findings\s+(.*)$", text, re.MULTILINE)
    rows = text.partition("\nnot seen")[2].partition("\nfindings")[0].split("\n")
    return verdict, int(code), findings, len([r for r in rows if ": " in r])


def told_by_json(text):
    one = json.loads(text)
    return one["verdict"], one["exit_code"], weights(one["counts"]), len(one["unseen"])


BRIEF = re.compile(
    r"(?P<verdict>[A-Z]+): .*"
    r" \(findings: (?P<findings>[^;]*); (?:.*; )?not seen: (?:(?P<unseen>\d+) things?|nothing in scope);"
    r" exit (?P<code>\d+)\)"
)


def told_by_brief(text):
    one = BRIEF.fullmatch(text.removesuffix("\n"))
    assert one, text
    unseen = int(one["unseen"] or 0)
    return one["verdict"].lower(), int(one["code"]), one["findings"], unseen


COMMAND = re.compile(
    r"::(?P<level>error|warning|notice) (?P<properties>[ -9;-~]+?)::(?P<message>[ -~]*)"
)


def annotated(text):
    """What GitHub makes of the lines of a log: of each command its level, properties and message."""
    found = []
    for line in text.splitlines():
        if line.lstrip().startswith(("::", "##")):
            one = COMMAND.fullmatch(line)
            assert one, line
            properties = dict(p.split("=", 1) for p in one["properties"].split(","))
            found.append(
                (
                    one["level"],
                    {name: _unescaped(value) for name, value in properties.items()},
                    _unescaped(one["message"]),
                )
            )
    return found


def _unescaped(text):
    for escape, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, char)
    return text


def told_by_github(text):
    [verdict] = [
        title.removeprefix("drift-audit: ")
        for _, properties, _ in annotated(text)
        if (title := properties["title"]).startswith("drift-audit: ")
    ]
    brief = told_by_brief(text.splitlines()[-1])
    assert brief[0] == verdict
    return *brief[:3], len(unseen_by_github(text))


def told_by_junit(text):
    document = JUnitXml.fromstring(text.encode())
    first = next(iter(document))
    facts = {p.name: p.value for p in first.properties()}
    cases = [c for suite in document for c in suite]
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for total, kind in kinds.items():
        results = [r for c in cases for r in c.result if type(r).__name__.lower() == kind]
        assert getattr(document, total) == len(results), total
    assert document.tests == len(cases)
    return facts["verdict"], int(facts["exit-code"]), facts["findings"], len(unseen_by_junit(text))


def told_by_sarif(text):
    [run] = json.loads(text)["runs"]
    [invocation] = run["invocations"]
    facts = run["properties"]
    assert invocation["executionSuccessful"] is (facts["verdict"] != "incomplete")
    return (
        facts["verdict"],
        invocation["exitCode"],
        weights(facts["counts"]),
        len(unseen_by_sarif(text)),
    )


READERS = {
    "html": told_by_html,
    "markdown": told_by_markdown,
    "text": told_by_text,
    "json": told_by_json,
    "brief": told_by_brief,
    "github": told_by_github,
    "junit": told_by_junit,
    "sarif": told_by_sarif,
}


def unseen_by_github(text):
    shown = [m for _, p, m in annotated(text) if p["title"] == "not seen"]
    return [m.partition(": ")[0] for m in shown]


def unseen_by_junit(text):
    cases = [c for c in ET.fromstring(text).iter("testcase") if c.find("error") is not None]
    names = [c.get("name") for c in cases]
    return [n.removeprefix("not seen: ") for n in names if n.startswith("not seen: ")]


def unseen_by_sarif(text):
    told = json.loads(text)["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    shown = [n["message"]["text"] for n in told if n["descriptor"]["id"] == "not seen"]
    return [m.partition(": ")[0] for m in shown]


LISTS = {
    "html": lambda text: re.findall(r"<li><code>([^<]*)</code>", text),
    "markdown": lambda text: re.findall(
        r"^- <code>([^<]*)</code>: ", text.partition("## Not seen\n\n")[2].partition("\n\n")[0], re.MULTILINE
    ),
    "text": lambda text: re.findall(
        r"(\S+): ", text.partition("\nnot seen")[2].partition("\nfindings")[0]
    ),
    "json": lambda text: [u["where"] for u in json.loads(text)["unseen"]],
    "github": unseen_by_github,
    "junit": unseen_by_junit,
    "sarif": unseen_by_sarif,
}  # fmt: skip
"""What was not seen, by name; a line for chat counts it only."""
