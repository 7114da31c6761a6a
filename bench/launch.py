"""
Runs one program and prints what the operating system says it took, as JSON.

A process's peak memory is counted from before it becomes another program, so whoever starts it must
be small: this is, and imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Run the command line that follows the paths for its two outputs."""
    out, err, *command = sys.argv[1:]
    with open(out, "wb") as stdout, open(err, "wb") as stderr:  # noqa: PTH123  # pathlib is large
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu, rss = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "rss": rss, "code": process.returncode}))


if __name__ == "__main__":
    main()
