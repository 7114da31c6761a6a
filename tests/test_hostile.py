"""
Hostile inputs of our own, and those too large to store: each ends as it must, in time, and nothing leaks.

The long form, with the corpus of the promises and a start of the command for each, is `tests/nasty_campaign.py`.
"""

from __future__ import annotations

import pytest

from tests.hostile import generated, judge, measured, stored
from tests.nasty_campaign import careless

CASES = [*stored(), *generated()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case, tmp_path):
    """An input is taken, refused or flagged as its row says, within two CPU seconds and 512 MiB."""
    came = judge(case, tmp_path, measured)

    assert came.problems == [], came.measured.ran.block[:2_000]


def test_most_are_refused_or_flagged():
    """Inputs that may all be taken prove little."""
    must = [case for case in stored() if case.findings or not case.codes & {0}]

    assert len(must) > 0.6 * len(stored())


def test_careless_tool_is_found(tmp_path):
    """A tool without care fails most of the cases, and leaks."""
    found = []
    for i, case in enumerate(stored()):
        folder = tmp_path / str(i)
        folder.mkdir()
        found.append(judge(case, folder, careless))

    assert sum(bool(came.problems) for came in found) > 0.7 * len(found)
    assert sum(came.leaks for came in found) > 10
