"""
`python -m tests.nasty_campaign [--control]`: every hostile input there is, against the real command.

Each is met in a process of its own, with two CPU seconds and 512 MiB, and must end as its row says; all that
was written and printed is searched for the canaries, in every disguise. The figures are printed as JSON.

With `--control` a tool without care (`tests/test_nasty.py`) takes the place of the command.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.command import Ran
from tests.hostile import BESIDE, Case, Measured, corpus, generated, judge, measured, stored
from tests.test_nasty import naive

SLOW_WHEN_NAIVE = {"D15"}
"""The merge bomb takes a naive loader six seconds."""


def careless(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Measured:
    """What a tool without care makes of the file that a command names."""
    names = [word.rpartition("=")[2] for word in arguments]
    files = [path for name in names if (path := cwd / name).is_file() and name != BESIDE]
    try:
        out = "".join(naive(path.read_bytes()) for path in files)
    except Exception as error:  # noqa: BLE001  # it prints whatever it fails with
        return Measured(Ran(1, "", f"Traceback: {error!r}"), 0, 0)
    return Measured(Ran(0, out, ""), 0, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Meet every input once and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.nasty_campaign")
    parser.add_argument("--seed", type=int, default=0, help="the order in which they come")
    parser.add_argument("--control", action="store_true", help="a careless tool in place of ours")
    given = parser.parse_args(arguments)
    cases: list[Case] = [*corpus(), *stored(), *([] if given.control else generated())]
    cases = [case for case in cases if not (given.control and case.id in SLOW_WHEN_NAIVE)]
    random.Random(given.seed).shuffle(cases)
    run = careless if given.control else partial(measured, fresh=True)
    figures: dict[str, Any] = dict.fromkeys(
        ("inputs", "refused_or_flagged", "canaries", "leaks", "slowest_cpu_seconds", "most_memory_mib"), 0
    )  # fmt: skip
    problems = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            came = judge(case, Path(folder), run)
        problems += came.problems
        figures["inputs"] += 1
        figures["refused_or_flagged"] += came.flagged
        figures["canaries"] += len(case.canaries)
        figures["leaks"] += came.leaks
        seconds, memory = round(came.measured.seconds, 2), came.measured.memory // 2**20
        figures["slowest_cpu_seconds"] = max(figures["slowest_cpu_seconds"], seconds)
        figures["most_memory_mib"] = max(figures["most_memory_mib"], memory)
    print(json.dumps({"figures": figures, "problems": sorted(problems)}, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
