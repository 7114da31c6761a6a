"""What a baseline under another key can tell, and what it cannot: never a change, never clean."""

from __future__ import annotations

import json

import pytest

from tests.canary import leaks
from tests.command import SEAL_KEY, run
from tests.manifests import CANARY
from tests.test_doctor import OTHER_KEY
from tests.worlds import playing, reached

SCOPE = ["--project=shop", "--region=europe-west1"]
LATEST = """
      - name: api-00002-b
        at: 2026-01-02T08:00:00Z
"""
GOOD = f"""
secrets: [{{project: shop, name: jwt, versions: {{1: enabled, 2: enabled}}}}]
services:
  - project: shop
    region: europe-west1
    service: api
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api@sha256:{"1" * 64}
        args: ["--token={CANARY}"]
        env:
          DB_PASSWORD: {CANARY}
          LEVEL: info
          GONE: {CANARY}
          JWT: {{secret: jwt, version: "1"}}
"""
ALIKE = GOOD + LATEST
CHANGED = f"""{GOOD}{LATEST}        args: ["--token={CANARY}2"]
        env: {{LEVEL: debug, GONE: null, JWT: {{secret: jwt, version: "2"}}, NEW: {CANARY}}}
"""
OTHERS = [{"DRIFT_AUDIT_SEAL_KEY": OTHER_KEY}, {"DRIFT_AUDIT_SEAL_KEY": ""}]
ELSEWHERE = "sealed under another key or name"


@pytest.fixture
def here(tmp_path):
    """A folder with a baseline, sealed with the key of the tests."""
    with playing(GOOD) as emulator:
        flags = ["--service=api", *SCOPE, "--reason=r", "--by=me"]
        ran = run("baseline", "promote", *flags, cwd=tmp_path, env=reached(emulator))
    assert ran.code == 0, ran.block
    return tmp_path


def judged(folder, world, env, *command):
    """How a run ended, with its report."""
    with playing(world) as emulator:
        ran = run(*command, "--format=json", cwd=folder, env=reached(emulator) | env)
    assert leaks(ran.block.encode(), [CANARY, SEAL_KEY, OTHER_KEY]) == []
    return ran.code, json.loads(ran.out)


def changed(report):
    """What differs, by key or setting, with the states of before and after."""
    [service] = report["services"]
    return {c["key"] or c["setting"]: (c["before"], c["after"]) for c in service["changes"]}


AUDIT = ["audit", *SCOPE, "--full"]  # revisions of one name differ between these worlds
COMPARE = ["compare", "KNOWN_GOOD", "LATEST", "--service=api", *SCOPE]


@pytest.mark.parametrize("command", [AUDIT, COMPARE])
def test_under_its_own_key(here, command):
    """The control: with the key of the baseline, a changed value is a change, and an equal one none."""
    code, report = judged(here, CHANGED, {}, *command)
    _, alike = judged(here, ALIKE, {}, *command)

    assert (code, report["verdict"]) == (10, "drift")
    assert changed(report) == {
        "GONE": ("literal", "absent"), "JWT": ("secret", "secret"), "LEVEL": ("literal", "literal"),
        "NEW": ("absent", "literal"), "args": ("sealed", "sealed"),
    }  # fmt: skip
    assert (alike["verdict"], changed(alike)) == ("clean", {})


@pytest.mark.parametrize("command", [AUDIT, COMPARE])
@pytest.mark.parametrize("env", OTHERS)
def test_under_another_key(here, command, env):
    """Values are not compared, and that is said; what needs no key is told all the same."""
    code, report = judged(here, CHANGED, env, *command)
    _, alike = judged(here, ALIKE, env, *command)
    blocking = [(s["what"], s["reason"]) for s in report["skipped"] if s["blocking"]]
    rules = {(f["rule"], f["address"]["key"]) for f in report["services"][0]["findings"]}

    assert (code, report["verdict"]) == (3, "incomplete")
    assert changed(report) == {
        "GONE": ("literal", "absent"), "JWT": ("secret", "secret"), "NEW": ("absent", "literal"),
    }  # fmt: skip
    assert blocking == [("3 plain values", ELSEWHERE)]
    assert ("key-lost", "GONE") in rules
    assert (alike["verdict"], alike["exit_code"], changed(alike)) == ("incomplete", 3, {})


def test_under_another_key_by_choice(here):
    """Who leaves plain values out asks for no key, and is told so instead of being stopped."""
    code, report = judged(here, ALIKE, OTHERS[0], *AUDIT, "--without-literals")

    assert (code, report["verdict"]) == (0, "clean")
    assert ("3 plain values", "literals were left out") not in [
        (s["what"], s["reason"]) for s in report["skipped"] if s["blocking"]
    ]
    assert any("left out by choice" in note for note in report["notes"])


def test_snapshots_of_two_keys(tmp_path):
    """Snapshots that were sealed with different keys are compared without their values."""
    with playing(GOOD) as emulator:
        env = reached(emulator)
        for name, key in (("one", SEAL_KEY), ("two", OTHER_KEY), ("three", SEAL_KEY)):
            flags = [*SCOPE, "--service=api", "-o", f"{name}.json"]
            ran = run("snapshot", *flags, cwd=tmp_path, env=env | {"DRIFT_AUDIT_SEAL_KEY": key})
            assert ran.code == 0, ran.block
    apart = run("compare", "one.json", "two.json", cwd=tmp_path)
    together = run("compare", "one.json", "three.json", cwd=tmp_path)

    assert (apart.code, together.code) == (3, 0)
    assert f"4 plain values: {ELSEWHERE}" in apart.told
    assert ELSEWHERE not in together.told


def test_change_of_key_and_back(here):
    """A night under another key spoils nothing: under the first one the next night is whole again."""
    nights = [
        judged(here, ALIKE, env, "audit", *SCOPE)[0] for env in ({}, OTHERS[0], OTHERS[0], {})
    ]

    assert nights == [0, 3, 3, 0]


def test_the_way_out(here):
    """What the doctor says to do about it works: promoted again, the baseline compares."""
    with playing(ALIKE) as emulator:
        env = reached(emulator) | OTHERS[0]
        flags = ["--service=api", *SCOPE, "--reason=new key", "--by=me"]
        again = run("baseline", "promote", *flags, cwd=here, env=env)
    code, report = judged(here, ALIKE, OTHERS[0], *AUDIT)

    assert (again.code, code, report["verdict"]) == (0, 0, "clean")
