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
        (nodes.memory, "1e9", "1000000000"),
        (nodes.memory, "1024E6", "1000000Ki"),
        (nodes.memory, "1Pi", "1Pi"),
        (nodes.memory, "1E", "976562500000000Ki"),
        (nodes.memory, "0.3", "0.3"),
        (nodes.memory, "9e99", f"{9 * 10**99 // 2**60}Ei"),
        (nodes.memory, "1.2.3Mi", "1.2.3Mi"),
        (nodes.memory, "lots", "lots"),
        (nodes.memory, "1Xi", "1Xi"),
        (nodes.flag, "True", True),
        (nodes.flag, False, False),
        (nodes.flag, "perhaps", "perhaps"),
        (nodes.flag, "Yes", True),
        (nodes.flag, "n", False),
        (nodes.flag, Bare("on"), True),
        (nodes.flag, "no", False),
        (nodes.flag, Bare("OFF"), False),
        (nodes.number, "80", 80),
        (nodes.number, 80, 80),
        (nodes.number, "x", "x"),
        (nodes.number, "0440", 440),
        (nodes.number, Bare("0440"), 288),
        (nodes.number, Bare("0o440"), 288),
        (nodes.number, Bare("0x1F"), 31),
        (nodes.number, Bare("-12"), -12),
        (nodes.number, Bare("08"), 8),
        (nodes.number, Bare("1_0"), "1_0"),
        (nodes.seconds, "300s", 300),
        (nodes.seconds, 300, 300),
        (nodes.seconds, "1.000s", 1),
        (nodes.seconds, "1.5s", "1.5s"),
        (nodes.seconds, "1.500s", "1.5s"),
        (nodes.seconds, "soon", "soon"),
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
    for far in ("9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"):
        with pytest.raises(Refused, match=r"^wrong-type: createTime"):
            nodes.instant(far, "createTime")
    assert nodes.instant(None) is None
    with pytest.raises(Refused, match="the document is not a list"):
        nodes.sequence(Bare("5"))
