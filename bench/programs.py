"""
Whole programs that are timed: drift-audit, gcloud where it is installed, and bare Python.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import replace
from typing import Any

from bench import place
from bench.backend import ROOT
from bench.sides import KEPT, Checked, Facts, Side, Task, Whole, asked

PROGRAM = [sys.executable, "-m", "drift_audit"]
WHERE = [f"--project={place.PROJECT}", f"--region={place.REGION}"]
DRIFT = 10
REPORT = ROOT / "tests" / "golden" / "demo-report.json"

LOOPED, ALL = 3, 200
"""The loop of describes is timed for a few services, and stretched to all of them."""

FEW, MANY = 10, 20_000
"""Findings of the reports that are opened in a browser."""

HAS_GCLOUD = shutil.which("gcloud") is not None
HAS_CHROMIUM = shutil.which("chromium") is not None or shutil.which("chromium-browser") is not None


def ours(*arguments: str, code: int = 0, check: Checked | None = None) -> Whole:
    """drift-audit with some arguments."""
    return Whole(
        argv=lambda _: [*PROGRAM, *arguments],
        codes=frozenset({code}),
        check=check or (lambda _text, _facts: ""),
        shown=" ".join(["drift-audit", *arguments]),
    )


def _describe(revision: str, to: str) -> str:
    where = f"--region={place.REGION} --format=json"
    return f"gcloud run revisions describe {shlex.quote(revision)} {where} > {to}"


def _pair(facts: Facts) -> list[str]:
    _, before, newest = facts["latest"][0]
    steps = [_describe(before, "a.json"), _describe(newest, "b.json"), "diff a.json b.json"]
    return ["sh", "-c", " && ".join(steps)]


def _loop(facts: Facts) -> list[str]:
    steps = []
    for _, before, newest in facts["latest"][:LOOPED]:
        steps += [_describe(before, "a.json"), _describe(newest, "b.json")]
        steps.append("(diff a.json b.json || test $? = 1)")
    return ["sh", "-c", " && ".join(steps)]


def _compared(facts: Facts) -> list[str]:
    service, before, newest = facts["latest"][0]
    return [*PROGRAM, "compare", before, newest, f"--service={service}", *WHERE, "--fail-on=never"]


def _counted(names: list[str], env: int, facts: Facts) -> str:
    if place.fingerprint(names) != facts["names"] or len(names) != facts["revisions"]:
        return f"saw {len(names)} revisions, there are {facts['revisions']}, or others"
    return "" if env == facts["env"] else f"saw {env} variables, there are {facts['env']}"


def gcloud_listed(text: str, facts: Facts) -> str:
    """Whether gcloud printed every revision with all its variables."""
    found: list[Any] = json.loads(text)
    names = []
    for one in found:
        service = one["metadata"]["labels"]["serving.knative.dev/service"]
        path = f"{place.LOCATION}/services/{service}/revisions/{one['metadata']['name']}"
        names.append(path)
    env = sum(len(c["env"]) for one in found for c in one["spec"]["containers"])
    return _counted(names, env, facts)


def ours_listed(text: str, facts: Facts) -> str:
    """Whether we printed every revision with all its variables."""
    found: list[Any] = json.loads(text)
    who = [one["identity"] for one in found]
    names = [f"{place.LOCATION}/services/{w['service']}/revisions/{w['revision']}" for w in who]
    return _counted(names, sum(len(one["bindings"]) for one in found), facts)


def _names_change(text: str, _facts: Facts) -> str:
    return "" if "GIT_SHA" in text and "APP_VERSION" in text else "no change was named"


def _shows_change(text: str, _facts: Facts) -> str:
    """`diff` shows the two values of APP_VERSION, and not what they belong to."""
    sides = {line[0] for line in text.splitlines() if '"value": "2026.' in line}
    return "" if {"<", ">"} <= sides else "no change was shown"


def _audited(text: str, facts: Facts) -> str:
    report = json.loads(text)
    lost = [f for s in report["services"] for f in s["findings"] if f["rule"] == "key-lost"]
    told = sorted(
        f"{f['address']['service']} {f['address']['key']} {f['first_seen']['revision']}"
        for f in lost
    )
    return "" if told == facts["lost"] else f"saw {told}"


def _found(text: str, facts: Facts) -> str:
    """Whether we told each revision that lost the key, and no other."""
    found = json.loads(text)
    told = sorted(
        f"{line['at']['service']} {line['at']['key']} {step['deploy']['revision']}"
        for line in found["lines"]
        for step in line["steps"]
        if step["what"] == "vanished"
    )
    right = told == [one for one in facts["lost"] if f" {asked(facts)} " in one]
    return "" if right and found["revisions"] == facts["revisions"] else f"saw {told}"


_REGION = f"--region={place.REGION}"

HERE = "--store=."

FREELY = "--pace=secret-manager=30000"
"""The server has no quota, and gcloud keeps no pace."""

SIDES: dict[str, Side] = {
    "floor-list": Task("floor-list", shown="raw gRPC, one list"),
    "floor-sync16": Task("floor-sync16", shown="raw gRPC, 16 in flight"),
    "google-list": Task("google-list", shown="google-cloud-run, item pager"),
    "ours-audit": Task("ours-audit", ("services", "lost"), "drift-audit audit"),
    "ours-night": Task("ours-night", ("services", "lost"), "drift-audit audit", remembers=True),
    "ours-snapshot": Task("ours-snapshot", shown="drift-audit snapshot --all-revisions"),
    "ours-judge": Task("ours-judge", shown="compare and judge, every rule"),
    "deepdiff-pairs": Task("deepdiff-pairs", shown="DeepDiff, one pair in ten timed"),
    "ours-kept": Task("ours-kept", KEPT, "drift-audit history --kept '*' KEY", kept=True),
    "scan-kept": Task("scan-kept", KEPT, "every line unpacked and read as JSON", kept=True),
    "ours-kept-whole": Whole(
        lambda facts: [*PROGRAM, "history", "--kept", "*", asked(facts), "--format=json", HERE],
        check=_found,
        shown="drift-audit history --kept '*' KEY",
        kept=True,
    ),
    "few-findings": Task("few-findings", (), f"the report of {FEW:,} findings in Chromium"),
    "many-findings": Task("many-findings", (), f"the report of {MANY:,} findings in Chromium"),
    "python": Whole(lambda _: [sys.executable, "-c", "pass"], shown="python -c pass"),
    "help": ours("--help"),
    "version": ours("--version"),
    "explain": ours("explain", "key-lost"),
    "audit-help": ours("audit", "--help"),
    "render": replace(ours("render", str(REPORT), code=DRIFT), shown="drift-audit render"),
    "gcloud-list": Whole(
        lambda _: ["gcloud", "run", "revisions", "list", _REGION, "--format=json"],
        check=gcloud_listed,
        shown="gcloud run revisions list",
        gcloud=True,
    ),
    "ours-list": ours(
        *("snapshot", "--all-revisions", "--without-secrets", *WHERE), check=ours_listed
    ),
    "gcloud-pair": Whole(
        _pair,
        frozenset({1}),
        check=_shows_change,
        shown="gcloud run revisions describe A, B; diff",
        gcloud=True,
    ),
    "ours-compare": Whole(_compared, check=_names_change, shown="drift-audit compare A B"),
    "gcloud-loop": Whole(
        _loop,
        check=_shows_change,
        shown=f"describe, describe, diff; {LOOPED} of {ALL} services timed",
        gcloud=True,
        scale=ALL / LOOPED,
    ),
    "ours-whole-audit": ours(
        *("audit", *WHERE, FREELY, "--format=json"), code=DRIFT, check=_audited
    ),
}
"""Every side by name."""
