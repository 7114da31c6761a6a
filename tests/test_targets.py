"""Where plain values lead, told without what else they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.binding import Target
from drift_audit.targets import targets
from tests.builders import HOME, sealer

INSTANCE = "shop:europe-west1:main"


def told(value):
    """Kind, name and port of each target."""
    return [
        f"{t.kind} {t.name}{':' + str(t.port) if t.port is not None else ''}"
        f"{' ' + t.environment if t.environment else ''}"
        for t in targets(value)
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("http://analytics:8002", ["label analytics:8002"]),
        ("https://Auth-123456789.europe-west1.run.app/x?y", ["cloud-run auth-123456789.europe-west1.run.app"]),
        ("api-staging-abc-ew.a.run.app", ["cloud-run api-staging-abc-ew.a.run.app staging"]),
        ("redis://10.166.204.83:6379/0", ["private 10.166.204.83:6379"]),
        ("192.168.0.9", ["private 192.168.0.9"]),
        ("172.31.0.1:80", ["private 172.31.0.1:80"]),
        ("172.32.0.1:80", []),
        ("8.8.8.8", []),
        ("999.1.1.1:80", []),
        ("localhost:5432", ["local localhost:5432"]),
        (" 127.0.0.2 ", ["local 127.0.0.2"]),
        ("0.0.0.0:8080", ["local 0.0.0.0:8080"]),
        ("localhost", ["local localhost"]),
        ("postgres://app:pw@db:5432/app", ["label db:5432"]),
        ("postgres://app:p@w@10.0.0.1/app", ["private 10.0.0.1"]),
        ("amqp://one:1,amqp://two:2;x", ["label one:1", "label two:2"]),
        ("http://one http://one", ["label one"]),
        ("https://www.example.com/a", []),
        ("https://prod.example.com/a", ["public  production"]),
        (INSTANCE, [f"cloud-sql {INSTANCE}"]),
        (f"/cloudsql/{INSTANCE}", [f"cloud-sql {INSTANCE}"]),
        (f"host=/cloudsql/{INSTANCE} user=x", [f"cloud-sql {INSTANCE}"]),
        (f"postgres:///db?host=/cloudsql/example.com:{INSTANCE}", [f"cloud-sql example.com:{INSTANCE}"]),
        ("hunter2:8080", []),
        ("user.name:12345", []),
        ("analytics", []),
        ("info", []),
        ("", []),
    ],
)  # fmt: skip
def test_targets(value, found):
    """What leads somewhere is told by kind and name; what might be a password is left alone."""
    assert told(value) == found


@pytest.mark.parametrize(
    "value",
    [
        "postgres://user:pa/ss@10.0.0.1/db",
        "postgres://user:12/ss@10.0.0.1/db",
        "https://hunter2/x@example",
        "https://10.0.0.1/?mail=me@example.com",
    ],
)
def test_password_that_may_stand_where_the_host_does(value):
    """Where a slash in a password could make it look like a host, nothing is told."""
    assert targets(value) == ()


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]))


@given(user=WORDS, password=WORDS, path=WORDS)
def test_nothing_but_the_host_is_told(user, password, path):
    """Whatever stands around it, all that is ever told of a URL is its host and port."""
    found = targets(f"redis://{user}:{password}@10.9.8.7:6379/{path}")

    assert {t.name for t in found if t.kind == "private"} <= {"10.9.8.7"} | _given(path, password)
    assert len(found) <= 8


def _given(*texts):
    """What a text tells by itself, if it is a URL of its own."""
    return {t.name for text in texts for t in targets(text)}


@pytest.mark.parametrize(
    ("key", "options", "number"),
    [("URL", {}, 1), ("API_SECRET", {}, 0), ("URL", {"keep": False}, 0)],
)
def test_what_is_sealed_without_targets(key, options, number):
    """A key that is named for a secret tells nothing, nor does a value that is left out."""
    value = sealer(**options).seal(HOME.at(key=key), "http://analytics:8002")

    assert len(value.targets) == number


def test_settings_and_values_without_targets():
    """Arguments are not looked at, and a value without targets is written as it ever was."""
    setting = sealer().seal(HOME.at(setting="args"), "http://analytics:8002")
    plain = sealer().seal(HOME.at(key="LOG"), "info")

    assert setting.targets == ()
    assert "targets" not in plain.model_dump(mode="json")
    assert Target(kind="public").name == ""
