"""
A gate in a broken state blocks, whatever broke it. The short form of `python -m tests.broken_gate`, which
also kills it at a thousand statements.
"""

from __future__ import annotations

from tests.test_leakage import campaign

KILLS, STATEMENTS = 6, 10


def test_broken_gates_block(tmp_path):
    """An intact gate ends with 0, and one that was broken in any of eighty ways never does."""
    given = ("--few", f"--kills={KILLS}", f"--statements={STATEMENTS}")
    code, figures, problems = campaign(tmp_path, *given, name="broken_gate")

    assert (code, problems) == (0, [])
    assert figures["ways"] >= 80
    assert (figures["kills"], figures["killed_at_statements"]) == (KILLS, STATEMENTS)
    assert {f"exit_{code}" for code in (2, 3, 4, 5, 10)} <= figures.keys()


def test_control_gate_that_tolerates_blindness(tmp_path):
    """A gate that passes what it could not look at is found out."""
    code, _, problems = campaign(
        tmp_path, "--few", "--kills=0", "--statements=0", "--control", name="broken_gate"
    )
    told = "\n".join(problems)

    assert code == 1
    for what in ("the baseline is gone", "projects/shop is denied", "there is no key", "hang"):
        assert what in told
