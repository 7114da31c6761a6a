"""
`python -m bench.task NAME`: one side of a pair, in a process of its own.

Prints one line of JSON: wall and CPU seconds after the imports, or of the part that counts, peak
memory, and the account of what was seen, which the caller holds against what there is.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench.tally import Tally, Target

TASKS = {
    "floor-list": "bench.floor:wildcard",
    "floor-sync16": "bench.floor:fan_out",
    "google-list": "bench.floor:obvious",
    "ours-audit": "bench.ours:first_night",
    "ours-prepare": "bench.ours:prepare_night",
    "ours-night": "bench.ours:second_night",
    "ours-snapshot": "bench.ours:every_revision",
    "ours-judge": "bench.ours:judge_pairs",
    "deepdiff-pairs": "bench.ours:deepdiff_pairs",
    "ours-keep": "bench.ours:keep",
    "ours-kept": "bench.ours:lost_as_kept",
    "scan-kept": "bench.scan:lost_as_kept",
    "few-findings": "bench.browser:few",
    "many-findings": "bench.browser:many",
}


def main() -> None:
    """Run one task and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.task", description=__doc__)
    parser.add_argument("name", choices=TASKS)
    for word in ("address", "project", "region"):
        parser.add_argument(f"--{word}", required=True)
    parser.add_argument("--folder", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--quota", type=int, default=0)
    parser.add_argument("--window", type=float, default=0.0)
    given = parser.parse_args()
    task = _imported(TASKS[given.name])
    place = given.address, given.project, given.region
    target = Target(*place, given.folder, given.quota, given.window, given.key)
    gc.collect()
    gc.freeze()  # as the program itself does: what is imported stays to the end
    gc.set_threshold(100_000, 50, 1_000)
    imports_rss, cpu, begun = peak(), time.process_time(), time.perf_counter()
    tally = task(target)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    wall, cpu = tally.wall or wall, tally.cpu or cpu
    memory = tally.memory or peak()
    record = {"wall": wall, "cpu": cpu, "rss": memory, "imports_rss": imports_rss}
    print(json.dumps({**record, "saw": asdict(tally)}))


def peak() -> float:
    """The most memory this process had so far, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def _imported(where: str) -> Callable[[Target], Tally]:
    from importlib import import_module

    module, _, name = where.partition(":")
    task: Callable[[Target], Tally] = getattr(import_module(module), name)
    return task


if __name__ == "__main__":
    main()
