"""
`python -m tests.gate`: all tests with branch coverage, and what they must reach.

The core is covered whole, the rest to 95 percent. A run in which no test ran fails, and every test that
was skipped is named with its reason: green must mean that something was looked at. What says nothing
new of coverage is run without it: measuring doubles the time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = (
    "errors names binding frozen targets snapshot inventory past limits seal finding app_schema waiver policy differ history cause "
    "remedy service_report headline report unjudged timeline key_history explanation audit strict credentials"
).split()
WHOLE = ",".join([*(f"drift_audit/{name}.py" for name in CORE), "drift_audit/rules/*"])
OVERALL = 95
UNMEASURED = [
    f"tests/test_{name}.py"
    for name in (
        "fault_schedules faults put_back broken_gate bench browser crash deploy deploy_gcloud deploy_lint "
        "deploy_store deploy_terraform deploy_workflow determinism docs fuzz gcloud house leakage mutants "
        "package proof pythons supply walk words workflows"
    ).split()
]
"""
Campaigns and tests from outside, whose thousands of runs and processes say nothing new of coverage. The
longest begin first: whoever is done takes the next.
"""


def main() -> int:
    """Run, combine, judge; the exit code is that of the first thing that failed."""
    with tempfile.TemporaryDirectory() as folder:
        results = [Path(folder) / name for name in ("tests.xml", "campaigns.xml")]
        others = [f"--ignore={path}" for path in UNMEASURED]
        tests = ["coverage", "run", "-m", *pytest(results[0], "--dist=worksteal"), *others]
        run("coverage", "erase")
        campaigns = pytest(results[1], "--dist=load", "--maxschedchunk=1")
        failed = [run(*tests), run(*campaigns, *UNMEASURED)]
        cases = [case for one in results for case in ET.parse(one).iter("testcase")]
    return (
        tell(cases)
        or max(failed)
        or run("coverage", "combine", "--quiet")
        or run("coverage", "report", f"--include={WHOLE}", "--fail-under=100")
        or run("coverage", "report", f"--fail-under={OVERALL}")
    )


def pytest(results: Path, *shared_out: str) -> list[str]:
    """A run of tests on all cores that writes its results down, the tests shared out in a way."""
    return [
        *("pytest", "-q", "-n", str((os.cpu_count() or 1) + 1)),  # some of them wait
        *shared_out,
        f"--junitxml={results}",
        "--hypothesis-profile=gate",  # the same examples each time: a new one is no reason to fail
    ]


def tell(cases: list[ET.Element]) -> int:
    """Say what ran, what did not and where the time went; a run in which no test ran is a failure."""
    skipped = [
        f"  skipped: {case.get('classname')}.{case.get('name')}: {skip.get('message')}"
        for case in cases
        for skip in case.iter("skipped")
    ]
    ran = len(cases) - len(skipped)
    spent: Counter[str] = Counter()
    for case in cases:
        spent[str(case.get("classname"))] += round(float(case.get("time", 0)))
    slowest = ", ".join(f"{name} {seconds} s" for name, seconds in spent.most_common(12))
    lines = [f"{ran} tests ran, {len(skipped)} were skipped", *skipped, f"slowest: {slowest}"]
    lines += [] if ran else ["no test ran: that is a failure"]
    print("", *lines, sep="\n", flush=True)
    return 0 if ran else 1


def run(*command: str) -> int:
    """One step in this environment."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
