"""What happened to others: every case is a fixture of the rules that tell it, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drift_audit.rules import RULES

HERE = Path(__file__).parent
KNOWN = yaml.safe_load((HERE / "known_cases.yaml").read_text())
FILES = sorted((HERE / "cases").glob("*/*.yaml"))


def fixtures():
    """The files of each source, with the rules they are cases of."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in FILES:
        source = yaml.safe_load(path.read_text()).get("source")
        if source:
            found.setdefault(source, {}).setdefault(path.parent.name, []).append(path)
    return found


FIXTURES = fixtures()


@pytest.mark.parametrize("case", KNOWN)
def test_case_is_told_or_says_why_not(case):
    """Each rule that speaks of a case has a file in which it does, and it expects something."""
    told = KNOWN[case]
    assert told.keys() <= {"what", "rules", "silent", "not_seen"}
    assert ("not_seen" in told) != bool(told.keys() & {"rules", "silent"})
    for rule in (*told.get("rules", ()), *told.get("silent", ())):
        assert rule in RULES
        files = FIXTURES.get(case, {}).get(rule, [])
        expected = [yaml.safe_load(f.read_text())["expect"] for f in files]
        assert expected, f"no file of {rule} names it"
        assert any(expected) == (rule in told.get("rules", ()))
