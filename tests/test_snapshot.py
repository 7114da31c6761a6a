"""Snapshots: one value for one configuration, whole in and out of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drift_audit.binding import Empty, LiteralValue, SecretReference, is_blank
from drift_audit.collector import normalise
from drift_audit.snapshot import Address, Container, Identity, Setting, Snapshot
from tests.builders import HOME, LASTING, sealer, snapshot
from tests.strategies import documents, sides

GOLDEN = Path(__file__).parent / "golden" / "snapshot-v1.json"
"""Never edited: every version to come must read what this one wrote."""


@given(sides())
def test_round_trip(side):
    """A snapshot reads back from its JSON as the same snapshot, byte for byte."""
    one = snapshot(side)
    again = Snapshot.model_validate_json(one.model_dump_json())

    assert again == one
    assert again.model_dump_json() == one.model_dump_json()


@given(documents(), st.randoms(use_true_random=False))
def test_order_carries_no_meaning(document, random):
    """The same configuration, written in any order, is the same snapshot."""
    who = Identity(project="shop", region="europe-west1", service="api")
    there = normalise.snapshot(document, who, sealer())
    here = normalise.snapshot(shuffled(document, random), who, sealer())

    assert there == here


def shuffled(node, random):
    """The document with its objects in another order, and with lists that have no order shuffled."""
    if isinstance(node, dict):
        items = [(k, shuffled(v, random)) for k, v in node.items()]
        random.shuffle(items)
        found = dict(items)
        if "env" in found and len({e["name"] for e in found["env"]}) == len(found["env"]):
            random.shuffle(found["env"])
        return found
    return [shuffled(item, random) for item in node] if isinstance(node, list) else node


def test_golden_reads():
    """The snapshot that the first version wrote reads back, and writes the same JSON again."""
    text = GOLDEN.read_text()
    one = Snapshot.model_validate_json(text)

    assert json.loads(one.model_dump_json()) == json.loads(text)


def test_golden_is_what_we_write():
    """The golden snapshot holds one of everything, so that no field can change its shape unseen."""
    assert json.loads(everything().model_dump_json()) == json.loads(GOLDEN.read_text())


def everything() -> Snapshot:
    """A snapshot with one of everything that a snapshot can hold."""
    return snapshot(
        {
            "identity": {
                "project_number": "123456789012",
                "uid": "b7e9",
                "generation": 7,
                "create_time": "2026-01-14T09:30:15.250000+00:00",
                "creator": "deployer@example.com",
                "client": "gcloud",
                "client_version": "528.0.0",
                "labels": {"commit-sha": "0123abcd"},
            },
            "containers": {
                "app": {
                    "ingress": True,
                    "env": {
                        "CLEAR": "info",
                        "EMPTY": "",
                        "ODD": " changeme",
                        "PINNED": {
                            "secret": "jwt",
                            "version": "7",
                            "resolved": 7,
                            "state": "enabled",
                        },
                        "FAR": {"secret": "db", "version": "prod", "project": "999"},
                        "TWICE": ["one", {"secret": "jwt", "version": "7"}],
                        "UNKNOWN": {"unreadable": "comes from configMapKeyRef"},
                    },
                    "files": {"/etc/key": {"secret": "tls", "version": "latest", "mode": 256}},
                    "settings": {"image": "r/i@sha256:00", "port": 8080, "args": {"sealed": "--x"}},
                },
                "proxy": {"ingress": False, "env": {"A": "1"}},
            },
            "settings": {"cpu_idle": True, "scaling.max_instances": 100},
            "service": {"ingress": "all"},
            "status": {
                "ready": True,
                "active": False,
                "active_reason": "Retired",
                "tags": ("blue",),
            },
            "unseen": [{"where": "key UNKNOWN", "reason": "comes from configMapKeyRef"}],
        },
        seal=sealer(key=LASTING, reveal=["CLEAR"]),
    )


def test_state_words():
    """The five states have five words, and a blank literal is not an empty key."""
    side = {"A": "x", "B": "", "C": {"secret": "s"}, "D": {"unreadable": "?"}, "E": "  "}
    states = {b.key: b.state for b in snapshot(side).bindings}

    assert states == {
        "A": "literal",
        "B": "empty",
        "C": "secret",
        "D": "unreadable",
        "E": "literal",
    }
    assert [is_blank(b.source) for b in snapshot(side).bindings] == [
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (HOME, "shop/europe-west1/api"),
        (HOME.at("app", key="A"), "shop/europe-west1/api/env/app/A"),
        (HOME.at(mount="/etc/x"), "shop/europe-west1/api/mount/-//etc/x"),
        (HOME.at(setting="cpu"), "shop/europe-west1/api/setting/-/cpu"),
        (Address(), "-/-/-"),
    ],
)
def test_address_reads(address, text):
    """An address is one line that a waiver's glob can match."""
    assert str(address) == text
    assert address.home == Address(**HOME.model_dump()) or text == "-/-/-"


def test_address_names_its_place():
    """A place is called by its key, mount or setting, else by its service."""
    names = [a.name for a in (HOME, HOME.at(key="A"), HOME.at(mount="/m"), HOME.at(setting="s"))]

    assert names == ["api", "A", "/m", "s"]


def test_reference_reads():
    """A secret reads as gcloud spells it, and pinned means a plain number."""
    near = SecretReference(secret="jwt", version="7")
    far = SecretReference(project="999", secret="jwt", version="")

    assert (str(near), near.pinned) == ("jwt@7", True)
    assert (str(far), far.pinned) == ("projects/999/secrets/jwt@latest", False)


def test_snapshot_is_closed():
    """Nothing can be added to a snapshot or changed in it, and no error quotes a value."""
    one = snapshot({"A": "x"})

    with pytest.raises(ValidationError) as added:
        LiteralValue.model_validate({"clear": "cnry-value", "extra": "cnry-value"})
    with pytest.raises(ValidationError):
        one.schema_version = 2  # type: ignore[assignment, misc]
    assert "cnry" not in str(added.value)


def test_but_forgets_what_was_derived():
    """A changed copy does not carry over what was computed from the original."""
    one = snapshot({"A": "x"})
    assert one.keys

    two = one.but(bindings=())

    assert two.keys == {}


def test_what_was_derived_does_not_count():
    """Equal is what has equal fields, whatever was computed from one of the two; type counts."""
    one, other = snapshot({"A": "x"}), snapshot({"A": "x"})
    assert one.keys

    assert one == other
    assert one != snapshot({"A": "y"})
    assert Setting(name="cpu", value="1") != Container(name="cpu", ingress=True)


def test_ingress_is_the_marked_container():
    """The container that requests reach is the marked one, else the first."""
    marked = snapshot({"containers": {"a": {"ingress": False}, "b": {"ingress": True}}})
    none = marked.but(containers=(Container(name="a", ingress=False),))

    assert (marked.ingress, none.ingress) == ("b", "a")


def test_setting_by_name():
    """A setting is found by name and container, at both levels; what is not there is None."""
    one = snapshot({"settings": {"cpu": "1"}, "service": {"ingress": "all"}})

    assert [one.setting(n) for n in ("cpu", "service.ingress", "memory")] == ["1", "all", None]


def test_revision_of_a_template_has_a_word():
    """A template that no revision was made of is called so."""
    assert snapshot({}, revision="").revision == "(template)"
    assert Empty().state == "empty"
    assert Setting(name="a", value=True).value is True


@pytest.mark.parametrize(
    ("section", "of"),
    [
        ("containers", []),
        ("containers", [1, 0]),
        ("containers", [0, 0]),
        ("bindings", [1, 0]),
        ("mounts", [0, 0]),
        ("settings", [1, 0]),
        ("service", [0, 0]),
    ],
)
def test_edited_snapshots_do_not_read(section, of):
    """What is repeated, out of order, or without a container was not written by us; no value is quoted."""
    box = {
        "env": {"A": "cnry", "B": "x"},
        "files": {"/a": {"secret": "s"}, "/b": {"secret": "s"}},
        "settings": {"cpu": "1", "memory": "1Gi"},
    }
    side = {"containers": {"app": box, "b": {}}, "service": {"ingress": "all", "x": "cnry"}}
    document = json.loads(snapshot(side).model_dump_json())
    document[section] = [document[section][i] for i in of]

    with pytest.raises(ValidationError) as error:
        Snapshot.model_validate_json(json.dumps(document))
    assert "cnry" not in str(error.value)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_off_the_calendar(time):
    """A time that no page could tell in UTC is refused, not carried until a page is written."""
    document = json.loads(GOLDEN.read_text())
    document["identity"]["create_time"] = time

    with pytest.raises(ValidationError, match="a time that UTC has none for"):
        Snapshot.model_validate_json(json.dumps(document))
