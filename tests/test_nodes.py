"""Scalars: quantities, booleans, numbers, durations and times have one spelling."""

from __future__ import annotations

import pytest

from drift_audit.collector import nodes
from drift_audit.strict import Bare, Refused


@pytest.mark.parametrize(
    ("function", "written", "canonical"),
    [
        (nodes.cpu, "1000m", "1"),
        (nodes.cpu, "1.0", "1"),
        (nodes.cpu, "1500m", "1.5"),
        (nodes.cpu, "80m", "0.08"),
        (nodes.cpu, "%CPU%", "%CPU%"),
        (nodes.cpu, "..", ".."),
        (nodes.cpu, None, ""),
        (nodes.memory, "0.5Gi", "512Mi"),
        (nodes.memory, "536870912", "512Mi"),
        (nodes.memory, "1024Mi", "1Gi"),
        (nodes.memory, "512M", "500000Ki"),
        (nodes.memory, "1001", "1001"),
        (nodes.memory, "0", "0"),
        (nodes.memory, "lots", "lots"),
        (nodes.memory, "1Xi", "1Xi"),
        (nodes.flag, "True", True),
        (nodes.flag, False, False),
        (nodes.flag, "perhaps", "perhaps"),
        (nodes.number, "80", 80),
        (nodes.number, 80, 80),
        (nodes.number, "x", "x"),
        (nodes.seconds, "300s", 300),
        (nodes.seconds, 300, 300),
        (nodes.seconds, "1.000s", 1),
        (nodes.seconds, "1.5s", "1.5s"),
        (nodes.text, True, "true"),
    ],
)
def test_scalars(function, written, canonical):
    """Quantities, booleans, numbers and durations have one spelling; what is none stays text."""
    assert function(written) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00.000000000Z",
        "2026-01-01T00:00:00",
    ],
)
def test_instants(written):
    """Times of any precision and zone are one time in UTC."""
    assert nodes.instant(written).isoformat() == "2026-01-01T00:00:00+00:00"


def test_no_instant():
    """What is no time is refused; nothing is no time at all."""
    with pytest.raises(Refused, match=r"^wrong-type: createTime"):
        nodes.instant("yesterday", "createTime")
    assert nodes.instant(None) is None
    with pytest.raises(Refused, match="the document is not a list"):
        nodes.sequence(Bare("5"))
