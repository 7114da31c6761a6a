"""
How long whole commands take, as a multiple of bare Python.

Each command runs in turn with `python -c pass`; what is told is the median of the ratios of the
pairs, which holds still when the machine does not. It measures and never judges.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PROGRAM = str(Path(sys.executable).parent / "drift-audit")
REPORT = str(Path(__file__).parents[1] / "tests" / "golden" / "demo-report.json")
BARE = [sys.executable, "-c", "pass"]
COMMANDS = (
    ["--help"],
    ["--version"],
    ["audit", "--help"],
    ["explain", "key-lost"],
    ["render", REPORT],
)
ROUNDS = 15


def main() -> None:
    """Time every command and print a table."""
    print(f"{'command':32} {'seconds':>8} {'x bare Python':>14}   of {ROUNDS} pairs")
    for command in COMMANDS:
        pairs = [(seconds([PROGRAM, *command]), seconds(BARE)) for _ in range(ROUNDS + 1)][1:]
        took, ratio = median(a for a, _ in pairs), median(a / b for a, b in pairs)
        shown = " ".join(Path(word).name for word in command)
        print(f"{shown:32} {took:8.3f} {ratio:14.1f}")


def seconds(command: list[str]) -> float:
    """The wall time of one run."""
    begun = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
