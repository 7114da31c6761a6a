"""
Laws over any bytes: the stored inputs and some thousands of mutations keep them, and what is broken does not.

The long form, guided by coverage, is `python -m tests.fuzz`.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.fuzz import LONGEST, MISSING, TARGETS, Mutator, available, campaign, law, seeds

MUTATIONS = 300
SEARCHED = 2_000
ENOUGH = 3
"""Inputs that break something careless; some of them would take it long."""

searched = pytest.mark.skipif(not available(), reason=MISSING)


def mutations(target):
    """Mutations of the seeds that need no atheris: bytes are turned round in place of its own."""
    chance = random.Random(target)
    given = seeds(target)
    mutate = Mutator(given, lambda data, most: data[::-1][:most])
    return [mutate(chance.choice(given), LONGEST, chance.getrandbits(32)) for _ in range(MUTATIONS)]


@pytest.mark.parametrize("target", TARGETS)
def test_laws_hold(target):
    """What is stored and what is made of it is taken or refused as the law says, and some of each is."""
    holds = law(target)
    came = Counter(holds(data) for data in [*seeds(target), *mutations(target)])

    assert came[True] > MUTATIONS / 20
    assert target == "markdown" or came[False] > MUTATIONS / 20


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_broken_is_found(target):
    """Something careless in the place of ours breaks the law with what is stored alone."""
    holds = law(target, control=True)
    broken = 0
    for data in [*seeds(target), *mutations(target)]:
        try:
            holds(data)
        except Exception:  # noqa: BLE001  # whatever it raises: a law that broke, or a crash
            broken += 1
        if broken == ENOUGH:
            return

    raise AssertionError(f"{broken} inputs broke the law")


def test_mutations_are_those_of_their_seed():
    """The same seed gives the same mutations, and none is longer than allowed."""
    made = mutations("json-importer")

    assert made == mutations("json-importer")
    assert max(map(len, made)) <= LONGEST
    assert len(set(made)) > MUTATIONS * 0.8


@searched
@pytest.mark.parametrize("target", TARGETS)
def test_short_search(target, tmp_path):
    """A few thousand executions find nothing."""
    tally = campaign(target, tmp_path, SEARCHED)

    assert tally.problems == []
    assert tally.executions == SEARCHED


@searched
def test_search_finds_what_is_broken(tmp_path):
    """The search itself finds a careless policy reader, and keeps the input that broke it."""
    tally = campaign("policy", tmp_path, SEARCHED, control=True)

    assert tally.crashes > 0
    assert [*(tmp_path / "broken").glob("*.txt")]
