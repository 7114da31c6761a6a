"""Kept revisions as users ask for them: `history` of what exists no more, and of the store alone."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.builders import NOW
from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.worlds import playing_document, reached

CANARY = "cnry-former-5b7702d9ce"
SCOPE = ("--project=shop", "--region=r1")
STORE = "--store=store"
OTHER_KEY = {"DRIFT_AUDIT_SEAL_KEY": "b3RoZXIta2V5LW9mLXRoZS10ZXN0cy0zMi1ieXRlcy1sb25n"}


def world(*revisions, services=("api", "web")):
    """Services that had, or have, some of four revisions: the third one lost the key."""
    envs: dict[int, dict[str, Any]] = {
        1: {"JWT": {"secret": "jwt", "version": "1"}, "PASSWORD": CANARY},
        2: {"JWT": {"secret": "jwt", "version": "2"}, "PASSWORD": f"{CANARY}2"},
        3: {"PASSWORD": f"{CANARY}2"},
        4: {"PASSWORD": f"{CANARY}2", "NEW": {"secret": "jwt", "version": "2"}},
    }
    listed = []
    for name in services:
        made: list[dict[str, Any]] = []
        before: dict[str, Any] = {}
        for n in revisions:
            env = {**dict.fromkeys(before), **envs[n]}
            who = {
                "name": f"{name}-{n}",
                "at": f"2026-01-0{n}T08:00:00Z",
                "by": f"p{n}@example.com",
            }
            made.append(
                {**who, "image": "i", "env": {k: v for k, v in env.items() if k in before or v}}
            )
            before = envs[n]
        listed.append({"project": "shop", "region": "r1", "service": name, "revisions": made})
    secrets = [{"project": "shop", "name": "jwt", "versions": {"1": "enabled", "2": "enabled"}}]
    return {"services": listed, "secrets": secrets, "locations": {"shop": ["r1"]}}


def audit(folder, played, day, *arguments, scope=SCOPE):
    epoch = str(int(NOW.timestamp()) + day * 86_400)
    with playing_document(played) as emulator:
        given = {**reached(emulator), "SOURCE_DATE_EPOCH": epoch}
        return run("audit", *scope, STORE, "--fail-on=never", *arguments, cwd=folder, env=given)


def history(folder, played, *arguments):
    with playing_document(played) as emulator:
        return run("history", *arguments, *SCOPE, STORE, cwd=folder, env=reached(emulator))


def kept(folder, *arguments, env=SEALED):
    return run("history", "--kept", *arguments, STORE, cwd=folder, env=env)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A store after four nights, on each of which one more revision was there."""
    folder = tmp_path_factory.mktemp("nights")
    (folder / "store").mkdir()
    for day in range(4):
        ran = audit(folder, world(*range(1, 2 + day)), day)
        assert ran.code == 0, ran.block
    return folder


def test_which_revision_lost_a_key(nights):
    """The store alone tells it, of all services, without network or credentials."""
    ran = kept(nights, "*", "JWT")

    assert ran.block == (
        "exit 0\n--- stdout\n"
        "kept        8 revisions of 2 services\n"
        "changed     2 places of a key or file\n"
        "mind        between two kept revisions there may have been others, which no\n"
        "            audit read\n"
        + "".join(
            "\n"
            f"JWT  shop/r1/{name}\n"
            "2026-01-01 08:00  was bound to jwt@1\n"
            f"                  in {name}-1, by p1@example.com\n"
            "2026-01-02 08:00  was bound to jwt@1, is bound to jwt@2 now\n"
            f"                  in {name}-2 (after {name}-1), by p2@example.com\n"
            "2026-01-03 08:00  is gone; it was bound to jwt@2\n"
            f"                  in {name}-3 (after {name}-2), by p3@example.com\n"
            "                  probably gcloud run deploy with --clear-secrets or\n"
            "                  --set-secrets: 1 secret is gone, and every plain value kept\n"
            for name in ("api", "web")
        )
        + "--- stderr\n"
    )


def test_kept_as_json(nights):
    """The same as a document, whose shape is published; globs name keys and services."""
    ran = kept(nights, "a*", "J*", "N?W", "--format=json", "--project=shop")
    document = json.loads(ran.out)
    schema = json.loads(run("schema", "show", "kept-keys", cwd=nights).out)
    jsonschema.validate(document, schema)
    [jwt, new] = document["lines"]

    assert ran.code == 0
    assert [jwt["at"]["key"], new["at"]["key"]] == ["JWT", "NEW"]
    assert [
        (s["deploy"]["revision"], s["previous"], s["what"], s["state"]) for s in jwt["steps"]
    ] == [
        ("api-1", "", "there", "secret"),
        ("api-2", "api-1", "bound elsewhere", "secret"),
        ("api-3", "api-2", "vanished", "absent"),
    ]
    assert (document["services"], document["revisions"], document["without"]) == (1, 4, 0)


def test_key_that_nobody_changed(nights):
    """Over all services it is counted, of one that is named it is told, and so is who has none."""
    one, all_of_them = kept(nights, "api", "image*", "PASSWORD"), kept(nights, "*", "NOPE")

    assert "the plain value changed" in one.out
    assert (all_of_them.code, all_of_them.told) == (
        0,
        "kept 8 revisions of 2 services changed nothing besides 2 services without any",
    )


def test_revisions_that_exist_no_more(nights):
    """`history` goes on to tell of them, says that they are gone, and judges none of them."""
    ran = history(nights, world(3, 4), "api", "JWT")

    assert ran.code == 0, ran.block
    assert (
        "4 revisions, 2026-01-01 08:00 UTC to 2026-01-04 08:00 UTC; 2 of them deleted" in ran.told
    )
    assert "is bound to jwt@2 now in api-2 (deleted), by p2@example.com" in ran.told
    assert "is gone; it was bound to jwt@2 in api-3, by p3@example.com" in ran.told
    assert "serving api-4 (100%)" in ran.told
    document = json.loads(history(nights, world(3, 4), "api", "--format=json").out)
    assert document["deleted"] == ["api-1", "api-2"]
    assert document["known_good"] not in document["deleted"]
    assert [r["percent"] for r in document["revisions"]] == [0, 0, 0, 100]


def test_service_that_exists_no_more(nights):
    """Of a service that was deleted the store tells all it has; of one that never was, nothing."""
    gone = history(nights, world(4, services=["web"]), "api", "JWT")
    never = history(nights, world(4, services=["web"]), "nobody")
    denied = {**world(4), "denied": ["projects/shop/locations/r1/services/api"]}
    hidden = history(nights, {**denied, "services": []}, "api")

    assert gone.code == 0, gone.block
    assert "4 of them deleted" in gone.told
    assert "known good none: the service exists no more" in gone.told
    assert "is gone; it was bound to jwt@2 in api-3 (deleted)" in gone.told
    assert (never.code, hidden.code) == (3, 3)
    assert "nobody: was asked for and not found" in never.err


def test_parts_keep_their_own(tmp_path):
    """What the parts of a run keep is together what one process keeps."""
    (tmp_path / "store").mkdir()
    services = [f"s{n}" for n in range(5)]
    for number in (1, 2, 3):
        ran = audit(
            tmp_path, world(1, services=services), 0, f"--shard={number}/3", "--run=r1",
        )  # fmt: skip
        assert ran.code == 0, ran.block

    assert "5 revisions of 5 services" in kept(tmp_path, "*").out


def test_no_value_in_what_is_kept(nights):
    """Neither the files nor the answers hold a value, in whatever disguise."""
    told = kept(nights, "*").out + kept(nights, "*", "--format=json").out
    told += history(nights, world(4), "api").out
    found = {path: leaks(data, [CANARY]) for path, data in files_below(nights).items()}

    assert {path: leak for path, leak in found.items() if leak} == {}
    assert leaks(told.encode(), [CANARY]) == []


def test_nothing_is_kept_without_plain_values(tmp_path):
    """A run that leaves plain values out keeps nothing: what it saw would stand for what there was."""
    (tmp_path / "store").mkdir()
    audit(tmp_path, world(1), 0, "--without-literals")
    ran = kept(tmp_path, "*")

    assert ran.code == 4
    assert "no revision is kept of *" in ran.err


def test_another_key_tells_nothing(nights):
    """Under another key nothing is believed, and what is not believed is named."""
    ran = kept(nights, "*", "JWT", env=OTHER_KEY)

    assert ran.code == 3, ran.block
    assert "api.revisions.jsonl.gz: written with another key, or touched since" in ran.told
    assert "JWT" not in ran.out
    assert kept(nights, "*", "JWT").code == 0


@pytest.mark.parametrize(
    ("arguments", "env", "code", "says"),
    [
        (["*"], {}, 4, "no lasting key"),
        (["*", "--store=nowhere"], SEALED, 4, "nowhere: there is no such folder"),
        (["nobody"], SEALED, 4, "no revision is kept of nobody"),
        (["*", "--project=other"], SEALED, 4, "no revision is kept of *"),
        (["*", "--input=a.json"], SEALED, 2, "--kept asks the store, and --input names files"),
    ],
)
def test_nothing_to_tell(nights, arguments, env, code, says):
    """What cannot be told ends with a reason and the next thing to type."""
    ran = run("history", "--kept", STORE, *arguments, cwd=nights, env=env)

    assert ran.code == code, ran.block
    assert says in ran.err
    assert ran.out == ""
