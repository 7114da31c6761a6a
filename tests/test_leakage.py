"""
No value shows anywhere, on any way that a run can go. The short form of `python -m tests.leakage`, which
also raises at every statement that sees values.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

from tests.command import environment
from tests.planted import HEAD, TAIL, Lookout, Planted

SINKS = {"canaries": 150, "sinks": 25, "encodings": 30, "success_runs": 20, "failure_paths": 30}
"""At least so many, or little was looked at."""


def campaign(folder, *arguments, name="leakage"):
    """Figures, problems and exit code of a campaign in a process of its own: it forks."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.{name}", *arguments],
        env=environment(folder, measured=False), capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr.decode()
    told = json.loads(done.stdout)
    return done.returncode, told["figures"], told["problems"]


def test_no_value_shows(tmp_path):
    """Nothing that is printed, written or sent holds one of 150 values, whatever goes wrong, and where."""
    code, figures, problems = campaign(tmp_path, "--few", "--every=150")

    assert (code, problems) == (0, [])
    assert {name: figures[name] for name in SINKS if figures[name] < SINKS[name]} == {}
    assert figures["raised_at_statements"] > 10
    assert figures["leaks"] == 0


def test_control_program_that_leaks(tmp_path):
    """A sealer that keeps values, a log that quotes them and defects that tell all are each found."""
    code, figures, problems = campaign(tmp_path, "--few", "--every=700", "--control")
    told = "\n".join(problems)

    assert code == 1
    assert figures["leaks"] > 30
    for sink in ("standard error", "store, .archive", "file r.snapshot.json", "a value shows"):
        assert sink in told


def test_lookout_finds_parts_in_every_disguise():
    """What a value begins or ends with is found in each encoding, and its whole in each hash."""
    plant = Planted()
    value = plant("somewhere")
    look = Lookout(plant.values)

    assert look.found(b"") == []
    for part in (HEAD.encode(), TAIL.encode(), value.encode().hex().encode(), value[::-1].encode()):
        assert look.found(b"before " + part + b" after")
    assert look.found(hashlib.sha256(value.encode()).hexdigest().encode())
    assert look.found(value.encode())[0].startswith("somewhere: ")
