"""
Real manifests of public repositories, with their histories.

A part of them is in `tests/real/` (see SOURCES.tsv there); the whole set is read where it lies beside
this checkout, and its absence is said.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from drift_audit.binding import LiteralValue
from drift_audit.collector import exports
from drift_audit.errors import InputError
from drift_audit.patterns import load
from drift_audit.seal import Sealer
from tests.builders import sealer
from tests.command import run

HERE = Path(__file__).parent / "real"
WHOLE = Path(__file__).parents[2] / "shared" / "real-exports" / "manifests"
ABSENT = "the whole set of real manifests is not beside this checkout: only tests/real was checked"

REASONS = {
    "not-yaml": "a placeholder such as %NAME% that YAML does not allow there",
    "unfilled-placeholder": "a template that was not rendered",
    "wrong-kind: a ConfigMap": "another kind of resource in the same file",
    "wrong-kind: a Job": "a job has no revisions",
}
"""Why a real file may be refused; a person read each of them and agreed."""


def manifests(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix in (".yaml", ".yml", ".json", ".txt"))


def histories(root: Path) -> list[tuple[Path, Path]]:
    """Every consecutive pair of versions of one file."""
    folders = sorted({p.parent for p in manifests(root) if re.match(r"\d{3}-", p.name)})
    return [pair for folder in folders for pair in pairwise(manifests(folder))]


def loads(path: Path) -> bool:
    try:
        exports.Files([exports.read(str(path))], sealer()).collect()
    except InputError:
        return False
    return True


ROOT = WHOLE if WHOLE.exists() else HERE
FILES = manifests(ROOT)
PAIRS = [pair for pair in histories(ROOT) if all(map(loads, pair))]


def label(path: Path) -> str:
    return f"{path.parents[1].name}-{path.parent.name}-{path.stem}"


# The oracle: what differs, told from the parsed YAML alone.

Entries = dict[tuple[str, str], list[tuple]]


def services(path: Path) -> dict[str, dict]:
    documents = [d for d in yaml.safe_load_all(path.read_bytes().decode("utf-8-sig")) if d]
    return {d["metadata"]["name"]: d["spec"]["template"] for d in documents}


def boxes(template: dict) -> list[dict]:
    found = template["spec"]["containers"]
    return [found] if isinstance(found, dict) else found


def ingress(template: dict) -> str:
    found = boxes(template)
    return next((c.get("name", "") for c in found if c.get("ports") or len(found) == 1), "")


def entries(template: dict) -> Entries:
    """Container and key to every entry of that name: its kind, and what makes two of them equal."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    aliases = dict(
        pair.split(":", 1)
        for pair in annotations.get("run.googleapis.com/secrets", "").split(",")
        if ":" in pair
    )
    found: Entries = {}
    for box in boxes(template):
        for entry in box.get("env") or []:
            ref = (entry.get("valueFrom") or {}).get("secretKeyRef")
            kind: tuple = ("empty",) if not entry.get("value") else ("literal", entry["value"])
            if ref:
                kind = ("secret", aliases.get(ref["name"], ref["name"]), ref["key"])
            found.setdefault((box.get("name", ""), entry["name"]), []).append(kind)
    return found


def differences(before: dict, after: dict) -> Counter:
    """Added, removed, changed and kind-changed keys, by name."""
    there, here = entries(before), entries(after)
    names = {b.get("name", "") for b in boxes(before)}, {b.get("name", "") for b in boxes(after)}
    if ingress(before) not in names[1] and ingress(after) not in names[0]:
        there = {
            (ingress(after) if c == ingress(before) else c, k): v for (c, k), v in there.items()
        }
    found = Counter({("added", k): n for (_, k), n in Counter(here.keys() - there.keys()).items()})
    found += Counter(("removed", k) for _, k in there.keys() - here.keys())
    for at in there.keys() & here.keys():
        if there[at][-1][0] != here[at][-1][0]:
            found["kind", at[1]] += 1
        elif there[at] != here[at]:
            found["changed", at[1]] += 1
    return found


def told(changes: list[dict]) -> Counter:
    """The same, from the changes of a report."""
    found: Counter = Counter()
    for change in changes:
        if change["key"] is None:
            continue
        before, after = change["before"], change["after"]
        kind = "kind" if before != after else "changed"
        kind = {"absent": "added"}.get(before, kind)
        found[{"absent": "removed"}.get(after, kind), change["key"]] += 1
    return found


@pytest.mark.parametrize("path", FILES, ids=label)
def test_file_loads_or_is_refused(path, tmp_path):
    """A real file is read, or refused for a reason that a person agrees with."""
    ran = run("audit", f"--input={path}", "--fail-on=never", cwd=tmp_path)

    if ran.code == 4:
        assert any(reason in ran.err for reason in REASONS), ran.err
    else:
        assert ran.code in (0, 3), ran.block
        assert ran.code == 0 or "not seen" in ran.out


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{label(p[0])}-to-{p[1].stem[:3]}")
def test_history_equals_oracle(pair, tmp_path):
    """The keys a report calls added, removed, changed and kind-changed are those the YAML tells."""
    before, after = pair
    there, here = services(before), services(after)
    for name in there.keys() & here.keys():
        ran = run(
            "compare", str(before), str(after), f"--service={name}", "--format=json", cwd=tmp_path
        )
        report = json.loads(ran.out)

        assert told(report["services"][0]["changes"]) == differences(there[name], here[name])


def test_oracle_sees_the_changes_that_are_there():
    """The histories hold changes of every kind, or agreeing on them proves nothing."""
    kinds: Counter = Counter()
    for before, after in PAIRS:
        there, here = services(before), services(after)
        for name in there.keys() & here.keys():
            kinds += Counter(kind for kind, _ in differences(there[name], here[name]).elements())

    assert kinds.keys() >= {"added", "removed", "changed"}
    assert len(PAIRS) >= 25


CREDENTIALS = {
    "DATABASE_URL",  # of a development database, with its password
    "MONGO_INITDB_ROOT_PASSWORD",  # of the same
    "startup_probe.header.Authorization",  # Bearer, and a word
}
"""What looks like a credential in real files; a person read each of them and agreed."""


def plain_values(path: Path, seal: Sealer) -> list[tuple[str, LiteralValue]]:
    """Every plain value of a file, with the name of its key or setting."""
    read = exports.Files([exports.read(str(path))], seal).collect()
    revisions = [r for one in read.services for r in one.revisions]
    keys = [(b.key, v) for r in revisions for b in r.bindings for v in (*b.shadowed, b.source)]
    found = [*keys, *((s.name, s.value) for r in revisions for s in r.all_settings)]
    return [(name, value) for name, value in found if isinstance(value, LiteralValue)]


@pytest.mark.parametrize("patterns", [None, load()], ids=["rules", "patterns-too"])
def test_credentials_are_those_that_a_person_found(patterns):
    """Of all plain values in real files, those look like credentials that are, and no others."""
    seal = sealer(patterns=patterns)
    values = [found for path in FILES if loads(path) for found in plain_values(path, seal)]
    names = {name for name, _ in values}

    assert {name for name, v in values if "credential" in v.traits} == CREDENTIALS & names
    assert len(names) > 50
    assert len(CREDENTIALS & names) > 0
    assert not any("patterns-failed" in value.traits for _, value in values)


@pytest.mark.skipif(not WHOLE.exists(), reason=ABSENT)
def test_whole_set_was_read():
    """All the real manifests that are there were judged by the tests above."""
    assert len(FILES) > 150
    assert len(PAIRS) > 100


def test_copies_name_their_source():
    """Every copied manifest stands in SOURCES.tsv with repository, commit and licence."""
    with (HERE / "SOURCES.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))

    assert {r["file"] for r in rows} == {str(p.relative_to(HERE)) for p in manifests(HERE)}
    assert {r["licence"] for r in rows} <= {"MIT", "Apache-2.0"}
    assert all(r["repository"] and r["commit"] for r in rows)
