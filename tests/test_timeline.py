"""The history of keys: what each deploy did, told in words, and by the command."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.inventory import Service
from drift_audit.timeline import timeline
from tests.builders import HOME, sealer, snapshot
from tests.canary import leaks
from tests.command import run
from tests.manifests import CANARY
from tests.strategies import environments
from tests.worlds import playing_document, reached

START = dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)


def service(*sides, reveal=(), complete=True):
    """A service with one revision for each side, a minute apart, newest first."""
    seal = sealer(reveal=reveal)
    made = [
        snapshot(
            side, seal=seal, revision=f"api-{n:05}", create_time=START + dt.timedelta(minutes=n)
        )
        for n, side in enumerate(sides, 1)
    ]
    return Service(
        project=HOME.project, region=HOME.region, service=HOME.service,
        revisions=tuple(reversed(made)), complete=complete,
    )  # fmt: skip


def told(*sides, wanted=(), **more):
    """What became of each place: `name: revision what, ...`."""
    found = timeline(service(*sides, **more), wanted, unseen=())
    return {
        line.at.name: [f"{step.revision[-1]} {step.what}: {step.says}" for step in line.steps]
        for line in found.lines
    }


JWT = {"secret": "jwt", "version": "1"}


@pytest.mark.parametrize(
    ("sides", "steps"),
    [
        ([{}, {"A": JWT}], ["2 appeared: appeared; it is bound to jwt@1"]),
        ([{"A": JWT}, {}], ["1 there: was bound to jwt@1", "2 vanished: is gone; it was bound to jwt@1"]),
        ([{"A": JWT}, {}, {"A": ""}], [
            "1 there: was bound to jwt@1", "2 vanished: is gone; it was bound to jwt@1",
            "3 appeared: appeared; it is empty",
        ]),
        ([{"A": JWT}, {"A": {"secret": "jwt", "version": "2"}}], [
            "1 there: was bound to jwt@1",
            "2 bound elsewhere: was bound to jwt@1, is bound to jwt@2 now",
        ]),
        ([{"A": JWT}, {"A": ""}], ["1 there: was bound to jwt@1", "2 emptied: is empty now; it was bound to jwt@1"]),
        ([{"A": "x"}, {"A": " "}], ["1 there: was a plain value", "2 emptied: is empty now; it was a plain value"]),
        ([{"A": ""}, {"A": JWT}], ["1 there: was empty", "2 filled: was empty; it is bound to jwt@1 now"]),
        ([{"A": JWT}, {"A": "x"}], ["1 there: was bound to jwt@1", "2 became: was bound to jwt@1, is a plain value now"]),
        ([{"A": "x"}, {"A": "x"}, {"A": "y"}], ["1 there: was a plain value", "3 changed: the plain value changed"]),
    ],
)  # fmt: skip
def test_steps(sides, steps):
    """Each deploy that did something to a key says what, and the oldest revision how it was."""
    assert told(*sides) == {"A": steps}


def test_what_was_not_asked_for():
    """Without a name, what no deploy changed is left out, and settings are."""
    sides = [
        {"env": {"A": "x", "B": JWT}, "settings": {"cpu": "1"}, "files": {"/key": JWT}},
        {"env": {"A": "x", "B": "y"}, "settings": {"cpu": "2"}},
    ]

    assert list(told(*sides)) == ["B", "/key"]
    assert told(*sides, wanted=["A"]) == {"A": ["1 there: was a plain value"]}
    assert told(*sides, wanted=["c*"]) == {
        "cpu": ["1 there: was 1", "2 changed: cpu changed from 1 to 2"]
    }
    assert told(sides[0], wanted=["A"]) == {"A": ["1 there: is a plain value"]}
    assert told(wanted=["A"]) == {}


def test_revealed_value():
    """A plain value is shown where its key is revealed, and sealed settings never are."""
    sides = [
        {"env": {"A": "8.0"}, "settings": {"args": {"sealed": "x"}}},
        {"env": {"A": "75.0"}, "settings": {"args": {"sealed": "y"}}},
    ]

    assert told(*sides, wanted=["*"], reveal=["A"]) == {
        "A": ["1 there: was 8.0", "2 changed: changed from 8.0 to 75.0"],
        "args": ["1 there: was sealed", "2 changed: args changed"],
    }


def test_container_that_was_renamed():
    """A key stays the same one while its only container is called otherwise."""
    renamed = {"containers": {"api-1": {"ingress": True, "env": {"A": JWT}}}}
    found = timeline(service({"A": "x"}, renamed), (), unseen=())

    assert [(line.at.container, len(line.steps)) for line in found.lines] == [("api-1", 2)]


def test_service_level_settings_are_no_history():
    """What changes without a deploy is in no revision."""
    sides = [{"service": {"ingress": "all"}}, {"service": {"ingress": "internal"}}]

    assert told(*sides, wanted=["*"]) == {}


def test_cause_of_a_loss():
    """A deploy that lost keys says what it probably was."""
    kept = {"LOG": "x", "DB": {"secret": "db", "version": "1"}}
    found = timeline(service({**kept, "A": JWT}, kept), (), unseen=())
    [line] = found.lines

    assert line.steps[1].cause.command == "gcloud run deploy with --set-secrets"
    assert line.steps[0].cause is None


@given(st.lists(environments(), min_size=1, max_size=5))
def test_the_last_step_is_how_it_is_now(sides):
    """Whoever follows the steps of a key ends where the newest revision is."""
    chain = service(*sides)
    found = timeline(chain, ["*"], unseen=())
    newest = {binding.key for binding in chain.revisions[0].bindings}
    ever = {binding.key for revision in chain.revisions for binding in revision.bindings}
    there = {line.at.key for line in found.lines if line.steps[-1].what != "vanished"}

    assert there == newest
    assert {line.at.key for line in found.lines} == ever
    for line in found.lines:
        names = [step.revision for step in line.steps]
        assert names == sorted(set(names))


# The command

WORLD = {
    "services": [
        {
            "project": "shop", "region": "r1", "service": name,
            "revisions": [
                {"name": f"{name}-1", "at": "2026-01-01T08:00:00Z", "image": "i", "by": "amy@example.com",
                 "env": {"PASSWORD": CANARY, "JWT": {"secret": "jwt", "version": "1"}, "LOG": "x"}},
                {"name": f"{name}-2", "at": "2026-01-02T08:00:00Z", "by": "raj@example.com",
                 "env": {"PASSWORD": f"{CANARY}2", "JWT": None}},
            ],
        }
        for name in ("api", "web")
    ],
    "jobs": [{"project": "shop", "region": "r1", "job": "nightly", "at": "2026-01-01T00:00:00Z", "image": "i"}],
    "secrets": [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}],
}  # fmt: skip
SCOPE = ("--project=shop", "--region=r1")


@pytest.fixture(scope="module")
def cloud():
    with playing_document(WORLD) as emulator:
        yield emulator


def history(cloud, folder, *arguments):
    return run("history", *arguments, cwd=folder, env=reached(cloud))


def test_history_live(cloud, tmp_path):
    """What each deploy did, when, by whom, and nothing of what the values were."""
    before = len(cloud.calls)
    ran = history(cloud, tmp_path, "api", *SCOPE)

    assert ran.block == (
        "exit 0\n--- stdout\n"
        "shop/r1/api\n"
        "seen        2 revisions, 2026-01-01 08:00 UTC to 2026-01-02 08:00 UTC\n"
        "serving     api-2 (100%)\n"
        "known good  none: no baseline, and no other revision serves\n"
        "\n"
        "JWT\n"
        "2026-01-01 08:00  was bound to jwt@1\n"
        "                  in api-1, by amy@example.com\n"
        "2026-01-02 08:00  is gone; it was bound to jwt@1\n"
        "                  in api-2, by raj@example.com\n"
        "                  probably gcloud run deploy with --clear-secrets or\n"
        "                  --set-secrets: 1 secret is gone, and every plain value kept\n"
        "\n"
        "PASSWORD\n"
        "2026-01-01 08:00  was a plain value\n"
        "                  in api-1, by amy@example.com\n"
        "2026-01-02 08:00  the plain value changed\n"
        "                  in api-2, by raj@example.com\n"
        "--- stderr\n"
    )
    assert leaks(ran.block.encode(), [CANARY]) == []
    assert not [call for call in cloud.calls[before:] if "Secret" in call.method]


def test_history_as_json(cloud, tmp_path):
    """The same as a document, whose shape is published."""
    ran = history(cloud, tmp_path, "api", "JWT", *SCOPE, "--format=json")
    document = json.loads(ran.out)
    schema = json.loads(run("schema", "show", "history", cwd=tmp_path).out)

    assert ran.code == 0
    assert document["document"] == "drift-audit/history"
    assert document.keys() == schema["properties"].keys()
    assert [step["what"] for step in document["lines"][0]["steps"]] == ["there", "vanished"]
    assert leaks(ran.out.encode(), [CANARY]) == []


def test_history_from_files(cloud, tmp_path):
    """Exported revisions tell the same; several containers are named."""
    run("snapshot", "--all-revisions", *SCOPE, "--service=api", "-o", "all.json",
        cwd=tmp_path, env=reached(cloud))  # fmt: skip
    ran = run("history", "api", "--input=all.json", cwd=tmp_path, env=reached(cloud))

    assert ran.code == 0, ran.block
    assert "is gone; it was bound to jwt@1" in ran.told
    assert "there may be others" in ran.told


def test_nothing_changed(cloud, tmp_path):
    """A key that no deploy touched is told when it is asked for."""
    ran = history(cloud, tmp_path, "api", "LOG", *SCOPE)

    assert "was a plain value in api-1" in ran.told
    assert "api-2, by" not in ran.told


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["api", "NOPE", *SCOPE], 2, "no revision of shop/r1/api has NOPE"),
        (["*", *SCOPE], 2, "names several: shop/r1/api, shop/r1/web"),
        (["nightly", *SCOPE], 2, "nightly is a job, and a job has no revisions"),
        (["gone", *SCOPE], 3, "service gone: was asked for and not found"),
        (["gone*", *SCOPE], 4, "there is no service gone* in scope"),
        (["api"], 2, "no project to look at"),
        ([], 2, "missing argument 'SERVICE'"),
    ],
)
def test_no_history(cloud, tmp_path, arguments, code, says):
    """What cannot be told ends with a reason and the next thing to type."""
    ran = history(cloud, tmp_path, *arguments)

    assert ran.code == code, ran.block
    assert says in ran.err
    assert ran.out == ""


def test_history_with_a_gap(tmp_path):
    """A history that could not be read whole says so, and ends with 3."""
    world = {**WORLD, "faults": ["Revisions/ListRevisions:1+:PERMISSION_DENIED"]}
    with playing_document(world) as emulator:
        ran = history(emulator, tmp_path, "api", *SCOPE)

    assert ran.code == 3, ran.block
    assert "not seen" in ran.out
    assert "there may be others" in ran.told
