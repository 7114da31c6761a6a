"""History: which deploy made a change."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.history import first_with
from drift_audit.inventory import Service, by_age
from tests.builders import snapshot

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def revision(number, side=None, **identity):
    """Revision number N, made N minutes after the start."""
    at = START + dt.timedelta(minutes=number)
    return snapshot({"env": side or {}}, revision=f"api-{number:05}", create_time=at, **identity)


def service(*revisions, complete=True):
    return Service(
        project="shop",
        region="europe-west1",
        service="api",
        latest_created=revisions[0].revision,
        revisions=revisions,
        complete=complete,
    )


CHAIN = [{"A": "1"}, {"A": "1"}, {}, {"A": "1"}, {}, {}, {}]


def chain(sides):
    return [revision(n, side, creator=f"c{n}") for n, side in enumerate(sides)]


def test_first_revision_of_the_last_stretch():
    """A key that came and went is blamed on the deploy that lost it for good."""
    revisions = chain(CHAIN)
    first = first_with(
        service(*reversed(revisions)), revisions[0], revisions[-1], revisions[0].address.at(key="A")
    )

    assert (first.revision, first.previous, first.creator) == ("api-00004", "api-00003", "c4")
    assert first.certain


def test_uncertain_when_the_chain_is_not_whole():
    """Without every revision, or without the one before, the answer is not certain."""
    revisions = chain([{}, {}, {}])
    at = revisions[0].address.at(key="A")
    never_there = first_with(service(*reversed(revisions)), revisions[1], revisions[-1], at)
    part = chain(CHAIN)
    partial = first_with(service(*reversed(part), complete=False), part[0], part[-1], at)

    assert (never_there.revision, never_there.previous, never_there.certain) == (
        "api-00000",
        "",
        False,
    )
    assert (partial.revision, partial.certain) == ("api-00004", False)


def test_template_is_the_newest():
    """A template that nothing was made of yet comes after every revision."""
    revisions = chain([{"A": "1"}, {"A": "1"}])
    template = snapshot({}, revision="")
    first = first_with(
        service(template, *reversed(revisions)),
        revisions[0],
        template,
        template.address.at(key="A"),
    )

    assert (first.revision, first.previous) == ("(template)", "api-00001")


def test_no_deploy_to_blame():
    """Service settings change without a deploy, and nothing happened since a newer reference."""
    one, two = revision(1, {"A": "1"}), revision(2, {})
    whole = service(two, one)
    at = two.address

    assert first_with(whole, one, two, at.at(setting="service.ingress")) is None
    assert first_with(whole, two, one, at.at(key="A")) is None
    assert first_with(whole, one, two, at.at(key="A")).certain


def test_reference_that_is_gone():
    """A baseline whose revision was deleted does not make the deploy after it certain."""
    gone, left, newest = (revision(n, side) for n, side in enumerate([{"A": "1"}, {}, {}]))
    first = first_with(service(newest, left), gone, newest, newest.address.at(key="A"))

    assert (first.revision, first.previous, first.certain) == ("api-00001", "api-00000", False)


def test_two_sides_tell_nothing():
    """Two revisions alone say nothing of the deploys between them."""
    one, two = revision(1, {"A": "1"}), revision(2, {})

    assert first_with(service(two, one, complete=False), one, two, two.address.at(key="A")) is None


def test_client_is_told_with_its_version():
    """What the tool claimed to be stands beside the creator."""
    one, two = revision(1, {"A": "1"}), revision(2, {}, client="gcloud", client_version="528.0.0")
    first = first_with(service(two, one), one, two, two.address.at(key="A"))

    assert first.client == "gcloud 528.0.0"


@given(st.lists(st.sampled_from(["1", "2", None]), min_size=2, max_size=8), st.randoms())
def test_blame_in_any_order(values, random):
    """Blame goes by creation time, whatever the order in which revisions were read."""
    revisions = chain([{} if v is None else {"A": v} for v in values])
    at = revisions[0].address.at(key="A")
    mixed = list(revisions)
    random.shuffle(mixed)
    first = first_with(service(*mixed), revisions[0], revisions[-1], at)

    expected = len(values) - 1
    while expected > 0 and values[expected - 1] == values[-1]:
        expected -= 1
    assert first.revision == f"api-{expected:05}"


@pytest.mark.parametrize("field", ["create_time", "generation", "revision"])
def test_age(field):
    """Creation time orders revisions, then generation, then name."""
    older = {"create_time": START, "generation": 1, "revision": "a"}
    newer = {"create_time": START + dt.timedelta(seconds=1), "generation": 2, "revision": "b"}
    same = {k: v for k, v in older.items() if k != field}

    assert by_age(snapshot({}, **older)) < by_age(snapshot({}, **{**same, field: newer[field]}))
