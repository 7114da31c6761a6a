"""Remedies: commands that know the types, hold no value, and cannot be read as something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.differ import compare
from drift_audit.remedy import remedy
from tests.builders import snapshot

UPDATE = "gcloud run services update api --project=shop --region=europe-west1"
SECRET = {"secret": "jwt", "version": "7"}


def put_back(before, after, **identity):
    reference, candidate = snapshot(before, revision="api-00001-old"), snapshot(after, **identity)
    return remedy(compare(reference, candidate), reference, candidate)


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ({"A": SECRET}, {}, "--update-secrets=A=jwt:7"),
        ({"A": {"secret": "jwt", "resolved": 3}}, {}, "--update-secrets=A=jwt:3"),
        ({"A": {"secret": "jwt"}}, {}, "--update-secrets=A=jwt:latest"),
        ({"A": {**SECRET, "project": "99"}}, {}, "--update-secrets=A=projects/99/secrets/jwt:7"),
        ({"A": SECRET}, {"A": "plain"}, "--remove-env-vars=A --update-secrets=A=jwt:7"),
        ({"A": SECRET}, {"A": ""}, "--remove-env-vars=A --update-secrets=A=jwt:7"),
        ({"A": SECRET}, {"A": {"secret": "other"}}, "--update-secrets=A=jwt:7"),
        ({"A": "1", "B": "2"}, {}, "--update-env-vars=A=VALUE,B=VALUE"),
        ({"A": "1"}, {"A": "2"}, "--update-env-vars=A=VALUE"),
        ({"files": {"/k": SECRET}}, {}, "--update-secrets=/k=jwt:7"),
        (
            {"A": SECRET, "B": SECRET},
            {"A": ""},
            "--remove-env-vars=A --update-secrets=A=jwt:7,B=jwt:7",
        ),
        (
            {"settings": {"service_account": "a@b", "cloud_sql.p:r:db": "attached"}},
            {"settings": {"service_account": "default"}},
            "--add-cloudsql-instances=p:r:db --service-account=a@b",
        ),
    ],
)
def test_restore(before, after, flags):
    """Each state is put back with the flags that gcloud takes for it, all in one command."""
    assert put_back(before, after).restore == f"{UPDATE} {flags}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"NEW": "1"}),
        ({"A": "1"}, {"A": SECRET}),
        ({"settings": {"unheard_of": 1}}, {}),
        ({"A": ""}, {}),
        ({"A": {"unreadable": "?"}}, {}),
    ],
)
def test_no_command(before, after):
    """What no single command puts back gets none."""
    assert put_back(before, after).restore == ""


def test_containers():
    """With several containers the flags of each stand behind its name."""
    before = {"containers": {"app": {"env": {"A": SECRET}}, "proxy": {"env": {"B": SECRET}}}}
    after: dict = {"containers": {"app": {}, "proxy": {}}}

    assert put_back(before, after).restore == (
        f"{UPDATE} --container=app --update-secrets=A=jwt:7 --container=proxy --update-secrets=B=jwt:7"
    )


def test_rollback():
    """The alternative sends all requests to the reference, if it is another revision."""
    rollback = put_back({"A": SECRET}, {}).rollback

    assert rollback == (
        "gcloud run services update-traffic api --project=shop --region=europe-west1"
        " --to-revisions=api-00001-old=100"
    )
    assert put_back({"A": SECRET}, {}, revision="api-00001-old").rollback == ""


def test_note_says_where_a_value_is():
    """A command that stands for a plain value says where to read it."""
    assert (
        put_back({"A": "1"}, {}).note
        == "VALUE stands for the plain value in revision api-00001-old"
    )
    assert put_back({"A": SECRET}, {}).note == ""


def test_unnamed_place_is_in_capitals():
    """What the input did not name is left to be filled in."""
    restore = put_back({"A": SECRET}, {}, project="-", region="-").restore

    assert "--project=PROJECT --region=REGION" in restore


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_command_injection(key, value):
    """Whatever a key is called, a command holds no character that a shell acts on, and no value."""
    found = put_back({"env": {key or "k": value or "v", "SAFE": SECRET}}, {})

    assert set(found.restore) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,./:@ "
    )
    assert "--update-secrets=SAFE=jwt:7" in found.restore
