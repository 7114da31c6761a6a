"""Metrics of a run, read back by the library's own parser."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drift_audit.cli.metrics import MetricsFile
from tests.canary import files_below, leaks
from tests.command import environment, run
from tests.manifests import CANARY
from tests.reports import finding, report, service
from tests.test_logs import WORLD
from tests.worlds import playing, reached

SCOPE = ["--project=shop", "--region=europe-west1"]
FILE = "--metrics-file=audit.prom"
NAME = "drift_audit_"
REPOSITORY = Path(__file__).parents[1]


def samples(folder, name="audit.prom"):
    """What a file says: names without their prefix, with their labels if they have any."""
    found = {}
    for family in text_string_to_metric_families((folder / name).read_text()):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            assert sample.name.startswith(NAME)
            labels = tuple(sample.labels.values())
            found[(sample.name.removeprefix(NAME), *labels)] = sample.value
    return found


@pytest.mark.parametrize(
    "command", [["audit", *SCOPE], ["compare", "api-00001-a", "LATEST", "--service=api", *SCOPE]]
)
def test_what_a_run_came_to(tmp_path, command):
    """The numbers are those of the report, for each severity of each service."""
    before = time.time()
    with playing() as emulator:
        ran = run(*command, FILE, "-o", "r.json", cwd=tmp_path, env=reached(emulator))
    told, found = json.loads((tmp_path / "r.json").read_text()), samples(tmp_path)
    findings = [f for s in told["services"] for f in s["findings"]] + told["findings"]
    counted = {key: n for key, n in found.items() if key[0] == "findings" and n}
    complete = told["verdict"] != "incomplete"

    assert found["exit_code",] == ran.code == told["exit_code"]
    assert sum(counted.values()) == len(findings) - told["counts"]["waived"]
    assert {
        (f["address"]["service"], f["severity"]) for f in findings if f["address"]["service"] != "-"
    } == {(key[3], key[4]) for key in counted if key[3]}
    assert {key[3] for key in found if key[0] == "findings"} >= {"api"}
    assert found["verdict", told["verdict"]] == 1
    assert sum(n for key, n in found.items() if key[0] == "verdict") == 1
    assert (found["complete",], ("last_success_timestamp_seconds",) in found) == (
        complete,
        complete,
    )
    assert found["unseen",] == told["counts"]["unseen"]
    assert found["services",] == told["counts"]["services"]
    assert found["changes",] == told["counts"]["changes"]
    assert 0 < found["duration_seconds",] < 60
    assert before < found["last_run_timestamp_seconds",] < time.time()
    assert found["info", command[0], told["tool"]["version"]] == 1


def test_waived_findings_are_counted_apart(here):
    """What is waived is no finding that counts, and is not forgotten."""
    (here / "drift-audit.toml").write_text(
        '[[waiver]]\nrule = "key-lost"\nat = "123"\nowner = "o"\nreason = "r"\nuntil = 2026-12-31'
    )
    run("compare", "before.json", "after.json", FILE, cwd=here)
    place, found = ("123", "europe-west1", "api", "high"), samples(here)

    assert (found["findings", *place], found["findings_waived", *place]) == (0, 1)


def test_last_success_outlives_failures(here):
    """A run that did not see everything, or nothing at all, leaves the time of the last that did."""
    (here / "empty").mkdir()
    assert run("audit", "--input=before.json", FILE, cwd=here).code == 0
    good = samples(here)
    codes = [
        run("audit", f"--input={path}", FILE, cwd=here).code for path in ("empty", "none.json")
    ]
    failed = samples(here)

    assert codes == [3, 4]
    assert failed["last_success_timestamp_seconds",] == good["last_success_timestamp_seconds",]
    assert failed["last_run_timestamp_seconds",] > good["last_run_timestamp_seconds",]
    assert (good["complete",], failed["complete",], failed["exit_code",]) == (1, 0, 4)
    assert not any(key[0] == "findings" for key in failed)


def test_last_success_behind_a_link(here):
    """A file that is written through a link is read through it too."""
    (here / "empty").mkdir()
    (here / "audit.prom").symlink_to(here / "real.prom")
    run("audit", "--input=before.json", FILE, cwd=here)
    run("audit", "--input=empty", FILE, cwd=here)

    assert (here / "audit.prom").is_symlink()
    assert ("last_success_timestamp_seconds",) in samples(here, "real.prom")


@pytest.mark.parametrize("before", [None, "not { metrics", "drift_audit_exit_code 0\n", "\ud800"])
def test_nothing_known_of_the_last_success(here, before):
    """A file that does not tell when a run last saw everything says nothing of it."""
    (here / "empty").mkdir()
    if before is not None:
        (here / "audit.prom").write_bytes(before.encode("utf-8", "surrogatepass"))
    run("audit", "--input=empty", FILE, cwd=here)
    found = samples(here)

    assert found["exit_code",] == 3
    assert ("last_success_timestamp_seconds",) not in found


@pytest.mark.parametrize("arguments", [["before.json"], ["before.json", "-o", "no/x.json"]])
def test_metrics_that_cannot_be_written(here, arguments):
    """They are an output like others: 5, unless the run did not see everything."""
    (here / "empty").mkdir()
    flags = ["--metrics-file=none/audit.prom"]
    lost = run("audit", "--input=before.json", *arguments[1:], *flags, cwd=here)
    blind = run("audit", "--input=empty", *flags, cwd=here)

    assert (lost.code, blind.code) == (5, 3)
    assert lost.err.endswith("cannot write none/audit.prom: no such file or directory\n")
    assert "result: clean" in lost.out
    assert files_below(here).keys() == {"before.json", "after.json", "revisions.json"}


def test_code_of_a_lost_output(here):
    """A page that could not be written shows in the exit code that the metrics tell."""
    ran = run("audit", "--input=before.json", "-o", "none/x.json", FILE, cwd=here)

    assert (ran.code, samples(here)["exit_code",], samples(here)["complete",]) == (5, 5, 1)


def test_written_whole(here):
    """A reader finds the file of one run or of the other, with the permissions that it had."""
    (here / "audit.prom").write_text("old")
    (here / "audit.prom").chmod(0o640)
    first = (here / "audit.prom").stat()
    run("audit", "--input=before.json", cwd=here, env={"DRIFT_AUDIT_METRICS_FILE": "audit.prom"})
    then = (here / "audit.prom").stat()

    assert (first.st_ino == then.st_ino, stat.S_IMODE(then.st_mode)) == (False, 0o640)
    assert samples(here)["exit_code",] == 0


@pytest.mark.parametrize("path", ["", "-"])
def test_no_file(here, path):
    """A path that names no file is a wrong command line."""
    ran = run("audit", "--input=before.json", f"--metrics-file={path}", cwd=here)

    assert (ran.code, ran.err) == (
        2, "drift-audit: --metrics-file names no file\n  --metrics-file=audit.prom\n",
    )  # fmt: skip


def test_without_the_library(here):
    """Asked for without its extra is an error with the next thing to type; else nobody misses it."""
    (here / "site").mkdir()
    (here / "site" / "prometheus_client.py").write_text("raise ImportError")
    env = {"PYTHONPATH": f"{here / 'site'}:{REPOSITORY}"}
    asked = run("audit", "--input=before.json", FILE, cwd=here, env=env)
    plain = run("audit", "--input=before.json", cwd=here, env=env)

    assert (asked.code, plain.code) == (2, 0)
    assert asked.block == (
        "exit 2\n--- stdout\n--- stderr\n"
        "drift-audit: prometheus-client is not installed\n  pip install 'drift-audit[metrics]'\n"
    )


def test_hostile_names(tmp_path):
    """Names come back as they are shown elsewhere, whatever is in them."""
    odd = 'a"b\\\n{x="y"} 1\x1b[31m'
    made = report(service(name=odd, findings=[finding(), finding("not-seen", key=odd)]))
    MetricsFile(str(tmp_path / "audit.prom")).write(made, 10, 1.5, "audit")
    names = {key[3] for key in samples(tmp_path) if key[0] == "findings"}

    assert names == {"api", 'a"b\\u{5c}\\u{a}{x="y"} 1\\u{1b}[31m'}


def test_no_value_in_metrics(tmp_path):
    """What a live audit of plain values writes and says holds none of them."""
    with playing(WORLD) as emulator:
        ran = run("audit", *SCOPE, FILE, cwd=tmp_path, env=reached(emulator))

    assert sum(n for key, n in samples(tmp_path).items() if key[0] == "findings") > 3
    assert leaks((tmp_path / "audit.prom").read_bytes() + ran.block.encode(), [CANARY]) == []


def test_crash_is_measured(here):
    """A run that ends with a defect says so in the metrics too, and so does one in the metrics."""
    code = (
        "import sys\n"
        "import drift_audit.cli.{module} as module\n"
        f"def broken(*_): raise ValueError({CANARY!r})\n"
        "module.{where} = broken\n"
        "sys.argv = ['drift-audit', 'audit', '--input=before.json', '--metrics-file=audit.prom',"
        " '--log-format=json']\n"
        "from drift_audit.__main__ import main; main()"
    )
    ran = [
        subprocess.run(
            [sys.executable, "-c", code.format(module=module, where=where)],
            cwd=here, env=environment(here), capture_output=True, check=False,
        )
        for module, where in (("audit", "deliver"), ("metrics", "_place"))
    ]  # fmt: skip
    ends = [
        json.loads(one.stderr.decode().splitlines()[i])
        for one, i in zip(ran, (-1, -2), strict=True)
    ]

    assert [one.returncode for one in ran] == [70, 70]
    assert [(e["event"], e["exit_code"]) for e in ends] == [("audit_finished", 70)] * 2
    assert samples(here)["exit_code",] == 70
    assert leaks(b"".join(one.stderr for one in ran), [CANARY]) == []


def test_control_file_that_is_no_metrics(here):
    """What reads the file notices one that is none, and a value in it."""
    (here / "audit.prom").write_text(f"drift_audit_exit_code{{x={CANARY}}} one\n")

    with pytest.raises(ValueError):
        samples(here)
    assert "plain" in leaks((here / "audit.prom").read_bytes(), [CANARY])
