"""Structured logs: one JSON object a line, no value in any, and an end that is told in every case."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from drift_audit.emulator.faults import Fault
from tests.canary import leaks
from tests.command import environment, run
from tests.manifests import CANARY, PASSWORD, SECRET, service
from tests.test_app_schema import document
from tests.worlds import playing, reached

JSON = "--log-format=json"
ON_CLOUD_RUN = {
    "CLOUD_RUN_JOB": "nightly",
    "CLOUD_RUN_EXECUTION": "nightly-x7k2p",
    "CLOUD_RUN_TASK_INDEX": "3",
    "CLOUD_RUN_TASK_ATTEMPT": "1",
}
SCOPE = ["--project=shop", "--region=europe-west1"]
LABELS = "logging.googleapis.com/labels"
SEVERITIES = {"DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"}

WORLD = f"""
secrets: [{{project: shop, name: jwt, versions: {{1: enabled}}}}]
databases: [{{project: shop, region: europe-west1, database: db, tier: db-custom-2-7680}}]
services:
  - project: shop
    region: europe-west1
    service: api
    traffic: [{{to: api-00001-a, percent: 100}}]
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api
        cloud_sql: ["shop:europe-west1:db"]
        args: ["--token={CANARY}"]
        env: {{DB_PASSWORD: {CANARY}, JWT: {{secret: jwt, version: "1"}}}}
      - {{name: api-00002-b, at: 2026-01-02T08:00:00Z, env: {{JWT: null, DB_PASSWORD: {CANARY}2}}}}
"""


def lines(err):
    """What was said, object by object; every line of it must be one."""
    found = [json.loads(line) for line in err.splitlines()]
    for one in found:
        assert one["severity"] in SEVERITIES, one
        assert one["message"]
        assert one["logger"].startswith(("drift-audit", "drift_audit."))
        assert dt.datetime.fromisoformat(one["time"]).utcoffset() == dt.timedelta()
    return found


def events(err, name=None):
    """The events, or those of one name."""
    return [one for one in lines(err) if one.get("event", name) == name or name is None]


def finished(err):
    """The one event that the run ended with, after which nothing is said."""
    found = lines(err)
    ends = [one for one in found if one.get("event") == "audit_finished"]

    assert len(ends) == 1, err
    assert found[-1] == ends[0], err
    return ends[0]


@contextmanager
def auditing(text=WORLD, **more):
    """An emulator, and the variables that point at it."""
    with playing(text, **more) as emulator:
        yield reached(emulator)


def test_events_of_an_audit(tmp_path):
    """An audit on Cloud Run tells its start, each finding, and its end; the report is as ever."""
    with auditing() as env:
        ran = run("audit", *SCOPE, cwd=tmp_path, env={**env, **ON_CLOUD_RUN})
        plain = run("audit", *SCOPE, cwd=tmp_path, env=env)
        report = json.loads(run("audit", *SCOPE, "--format=json", cwd=tmp_path, env=env).out)
    first, *found, last = lines(ran.err)
    told = [f for s in report["services"] for f in s["findings"]] + report["findings"]
    lost = next(f for f in found if f["rule"] == "key-lost")

    assert (ran.code, ran.out) == (10, plain.out)
    assert plain.err == ""
    assert (first["event"], first["command"], first["severity"]) == (
        "audit_started",
        "audit",
        "NOTICE",
    )
    assert {one["event"] for one in found} == {"finding"}
    assert sorted((f["rule"], f["finding_severity"]) for f in found) == sorted(
        (f["rule"], f["severity"]) for f in told
    )
    assert {k: lost[k] for k in ("project", "region", "service", "key", "severity", "waived")} == {
        "project": "shop", "region": "europe-west1", "service": "api", "key": "JWT",
        "severity": "ERROR", "waived": False,
    }  # fmt: skip
    assert last["event"] == "audit_finished"
    assert (last["verdict"], last["complete"], last["exit_code"]) == ("drift", True, 10)
    assert last["counts"] == report["counts"]
    assert (last["tool_version"], last["schema_version"]) == (report["tool"]["version"], 1)
    assert 0 < last["duration_s"] < 60


def test_execution(tmp_path):
    """Every line has the task as labels, and the start and the end have it as fields."""
    with auditing() as env:
        ran = run("audit", *SCOPE, cwd=tmp_path, env={**env, **ON_CLOUD_RUN})
        local = run("audit", *SCOPE, JSON, cwd=tmp_path, env=env)
    task = {"execution": "nightly-x7k2p", "task_index": "3", "task_attempt": "1"}
    first, *_, last = lines(ran.err)

    assert [one[LABELS] for one in lines(ran.err)] == [task] * len(lines(ran.err))
    assert [{k: one[k] for k in task} for one in (first, last)] == [task, task]
    assert not any(LABELS in one or task.keys() & one.keys() for one in lines(local.err))


def test_levels_of_findings(tmp_path):
    """A log has its own severities; what is waived wakes nobody."""
    (tmp_path / "drift-audit.toml").write_text(
        '[severity]\nimage-unpinned = "info"\n'
        '[[waiver]]\nrule = "key-lost"\nat = "shop/*"\nowner = "o"\nreason = "r"\nuntil = 2026-12-31'
    )
    with auditing() as env:
        found = events(run("audit", *SCOPE, JSON, cwd=tmp_path, env=env).err, "finding")
    levels = {(f["finding_severity"], f["waived"], f["severity"]) for f in found}

    assert {
        ("info", False, "NOTICE"),
        ("medium", False, "WARNING"),
        ("high", True, "NOTICE"),
    } <= levels
    assert {level for word, waived, level in levels if word == "low"} == {"WARNING"}


def test_what_was_not_seen(tmp_path):
    """What could not be read, and what could not be judged, are told where and why."""
    promote = [
        "baseline",
        "promote",
        "api-00001-a",
        *SCOPE,
        "--service=api",
        "--reason=r",
        "--by=me",
    ]
    with auditing() as env:
        run(*promote, cwd=tmp_path, env=env)
    with auditing(denied=["projects/shop/secrets/jwt"]) as env:
        other = {"DRIFT_AUDIT_SEAL_KEY": "b3RoZXIga2V5IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMu"}
        ran = run("audit", *SCOPE, JSON, cwd=tmp_path, env={**env, **other})
    unread, unjudged = events(ran.err, "service_unread"), events(ran.err, "not_judged")

    assert ran.code == 3
    assert {(one["severity"], one["reason"]) for one in unread} == {("ERROR", "permission denied")}
    assert all("jwt" in one["where"] for one in unread)
    assert {(one["service"], one["reason"]) for one in unjudged} == {
        ("api", "sealed under another key or name")
    }
    assert (finished(ran.err)["verdict"], finished(ran.err)["complete"]) == ("incomplete", False)


@pytest.mark.parametrize(
    ("arguments", "env", "structured"),
    [
        ([], {}, False),
        ([], {"CLOUD_RUN_JOB": "nightly"}, True),
        ([], {"K_SERVICE": "gate"}, True),
        (["--log-format=text"], {"CLOUD_RUN_JOB": "nightly"}, False),
        (["--log-format", "json"], {}, True),
        (["--log-format=json"], {"DRIFT_AUDIT_LOG_FORMAT": "text"}, True),
        ([], {"DRIFT_AUDIT_LOG_FORMAT": "json"}, True),
        ([], {"DRIFT_AUDIT_LOG_FORMAT": "text", "K_SERVICE": "gate"}, False),
        (["--log-format=auto"], {"DRIFT_AUDIT_LOG_FORMAT": "json"}, False),
    ],
)
def test_choice(here, arguments, env, structured):
    """The flag wins over the variable, and that over where it runs."""
    ran = run("compare", "before.json", "after.json", *arguments, cwd=here, env=env)

    assert (ran.code, bool(ran.err)) == (10, structured)
    if structured:
        finished(ran.err)


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (["audit"], 2, "no project to look at", "give --project, or exported files with --input"),
        (["audit", "--input=none.json"], 4, "none.json: missing: no such file", ""),
        (["audit", *SCOPE], 3, "no usable application default credentials were found", "gcloud auth"),
        (["audit", "--input=before.json", "-o", "x.xyz"], 2, "cannot tell the format of x.xyz", "end it"),
        (["audit", "--input=before.json", "-o", "no/x.json"], 5, "cannot write no/x.json", ""),
        (["compare", "before.json", "none.json"], 4, "none.json: missing: no such file", ""),
        (["preview", "--", "ls"], 2, "after -- comes the command of gcloud", "drift-audit preview"),
        (["schema", "check", "none.json"], 4, "none.json: missing: no such file", ""),
    ],
)  # fmt: skip
def test_failures_end_too(here, arguments, code, says, hint):
    """Whatever a run fails for is told with its hint, and then its end."""
    ran = run(*arguments, cwd=here, env={"DRIFT_AUDIT_LOG_FORMAT": "json"})
    error = next(one for one in lines(ran.err) if "event" not in one)

    assert ran.code == finished(ran.err)["exit_code"] == code
    assert error["severity"] == "ERROR"
    assert error["message"].startswith(says)
    assert error.get("hint", "").startswith(hint)
    assert leaks(ran.block.encode(), [CANARY]) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "no such command 'nonsense'"),
        (["audit", "--nonsense"], 2, "no such option '--nonsense'"),
        (["audit", "--log-format=xml"], 2, "invalid value for '--log-format'"),
        (["explain", "nope"], 2, "there is no rule nope"),
        (["baseline", "list"], 0, "no baselines in baselines"),
        (["schema", "show"], 2, "missing argument"),
        ([], 2, "no command was given"),
    ],
)
def test_what_never_began(here, arguments, code, says):
    """What is no run of a judging command is said as JSON too."""
    ran = run(*arguments, cwd=here, env={"K_SERVICE": "gate"})
    [line] = lines(ran.err)

    assert ran.code == code
    assert line["message"].startswith(says)


def test_details(here):
    """What belongs to an error stands beside it."""
    ran = run("schema", "show", cwd=here, env={"K_SERVICE": "gate"})
    plain = run("schema", "show", cwd=here)
    [line] = lines(ran.err)
    told = [line["message"], *line["details"], line["hint"]]

    assert "policy" in "".join(line["details"])
    assert plain.err.splitlines() == [f"drift-audit: {told[0]}", *(f"  {t}" for t in told[1:])]


def test_our_own_log_is_structured(tmp_path):
    """What modules log is JSON as well, under their names, and bars of progress are not shown."""
    with auditing() as env:
        flags = ["--verbosity=debug", "--progress=on", JSON]
        ran = run("audit", *SCOPE, *flags, cwd=tmp_path, env=env)
    calls = [one for one in lines(ran.err) if one["severity"] == "DEBUG"]

    assert any("list services of projects/shop" in one["message"] for one in calls)
    assert {one["logger"].partition(".")[0] for one in calls} == {"drift_audit"}
    assert leaks(ran.err.encode(), [CANARY]) == []


def begun(folder, env, *arguments, program="-m drift_audit"):
    """The command as a process of its own, that has told its start."""
    process = subprocess.Popen(
        [sys.executable, *program.split(), *arguments],
        cwd=folder, env=environment(folder, env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr.readline()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
@pytest.mark.parametrize(
    "rpc", ["Services/ListServices", "Revisions/ListRevisions", "SqlInstancesService/Get"]
)
def test_stopped_in_the_middle(tmp_path, rpc, number, code, word):
    """A run that is stopped while a call hangs tells its end at once."""
    with playing(WORLD, faults=[str(Fault(rpc, 1, "hang", always=True))]) as emulator:
        flags = [*SCOPE, "--read-limits", JSON]
        process, first = begun(tmp_path, reached(emulator), "audit", *flags)
        while not any(call.method == rpc for call in emulator.calls):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)  # it waits for the answer by now
        sent = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - sent
    end = finished((first + err).decode())

    assert process.returncode == end["exit_code"] == code
    assert end["verdict"] == "incomplete"
    assert lines(err.decode())[0]["message"] == word
    assert took < 8  # Cloud Run gives ten seconds


BROKEN = f"""
import sys
import drift_audit.cli.output as output
import drift_audit.cli.audit as audit

def broken(*_, **__):
    raise ValueError({CANARY!r})

{{where}} = broken
sys.argv = ["drift-audit", "audit", "--input=before.json", *sys.argv[1:]]
from drift_audit.__main__ import main; main()
"""


@pytest.mark.parametrize("where", ["audit.find_policy", "audit.deliver", "audit.now"])
def test_crash(here, where):
    """A defect of ours is told where it was and of which kind, without its words, and then the end."""
    ran = subprocess.run(
        [sys.executable, "-c", BROKEN.format(where=where), JSON],
        cwd=here, env=environment(here), capture_output=True, check=False,
    )  # fmt: skip
    *_, crash, end = lines(ran.stderr.decode())

    assert ran.returncode == end["exit_code"] == 70
    assert end["event"] == "audit_finished"
    assert (crash["severity"], crash["message"]) == (
        "CRITICAL", "a defect in drift-audit: ValueError",
    )  # fmt: skip
    assert crash["stack_trace"].startswith("Traceback (most recent call last):\n  File ")
    assert crash["stack_trace"].endswith("in broken\nValueError")
    assert leaks(ran.stdout + ran.stderr, [CANARY]) == []


def test_nobody_reads_the_log(here):
    """Where the log cannot be written the exit code is what it was."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit", "--input=before.json", JSON],
        cwd=here, env=environment(here), stdout=subprocess.PIPE, stderr=writer, check=False,
    )  # fmt: skip
    os.close(writer)

    assert ran.returncode == 0


def test_lost_report(here):
    """A report that nobody got is told, and so is the code of it."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "drift_audit", "audit", "--input=before.json", JSON],
            cwd=here, env=environment(here), stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    end = finished(ran.stderr.decode())

    assert ran.returncode == end["exit_code"] == 5
    assert (end["verdict"], end["complete"]) == ("clean", True)


def test_schema_check_ends_too(here):
    """What holds services against the application's own list is a judging command like others."""
    key = {"field": "jwt", "names": ["JWT"], "required": "yes"}
    (here / "keys.json").write_text(json.dumps(document(key)))
    ran = run("schema", "check", "keys.json", "--input=after.json", JSON, cwd=here)
    end = finished(ran.err)

    assert (end["command"], end["exit_code"], ran.code) == ("schema check", 10, 10)
    assert "key-missing" in {one["rule"] for one in events(ran.err, "finding")}


HOSTILE = "A\x1b[31m\u202eB\n::error::##vso[x]" + "x" * 20_000


def test_hostile_names(here):
    """Names that a terminal, a CI system or a reader of logs could obey are visible and inert."""
    odd = [{"name": HOSTILE, "value": CANARY}, PASSWORD]
    (here / "odd.json").write_text(json.dumps(service(env=[SECRET, PASSWORD, *odd])))
    ran = run("compare", "odd.json", "after.json", JSON, cwd=here)
    told = [one["key"] for one in events(ran.err, "finding") if "key" in one]

    assert any(key.startswith("A\\u{1b}[31m\\u{202e}B\\u{a}\\u{3a}:error") for key in told)
    assert max(map(len, told)) < 11_000
    assert ran.err.isascii()
    assert "##" not in ran.err
    assert "::" not in ran.err
    assert leaks(ran.block.encode(), [CANARY]) == []


WARNS = f"""
import logging, sys, threading, warnings
import drift_audit.cli.audit as audit

def find_policy(*_, **__):
    warnings.warn({CANARY!r}, FutureWarning)
    logging.getLogger("google.auth").error({CANARY!r})
    logging.getLogger("drift_audit.collector").error("ours", exc_info=ValueError({CANARY!r}))
    thread = threading.Thread(target=lambda: int({CANARY!r}))
    thread.start()
    thread.join()

    class Odd:
        def __del__(self):
            raise ValueError({CANARY!r})

    Odd()
    raise {{error}}

audit.find_policy = find_policy
sys.argv = ["drift-audit", "audit", "--input=before.json", *sys.argv[1:]]
from drift_audit.__main__ import main; main()
"""


def wild(folder, *arguments, error="KeyError"):
    """How a run ended in which everything that is not ours speaks on standard error."""
    return subprocess.run(
        [sys.executable, "-c", WARNS.format(error=error), *arguments],
        cwd=folder, env=environment(folder), capture_output=True, check=False,
    )  # fmt: skip


def test_others_speak_json_too(here):
    """Warnings, threads and finalizers that fail are JSON, without their words."""
    ran = wild(here, JSON)
    told = [one["message"] for one in lines(ran.stderr.decode())]

    assert told[1].startswith("<string>:6: FutureWarning, not told here")
    assert told[2:] == [
        "ours",
        "an error that nothing caught: ValueError",
        "an error that nothing caught: ValueError",
        "a defect in drift-audit: KeyError",
        "audit finished with 70: incomplete",
    ]
    assert leaks(ran.stderr, [CANARY]) == []


def test_control_others_speak(here):
    """The same run without JSON has lines that are none, with words that are not ours."""
    ran = wild(here, "--log-format=text")

    with pytest.raises(json.JSONDecodeError):
        lines(ran.stderr.decode())
    assert "plain" in leaks(ran.stderr, [CANARY])


def test_error_that_ends_the_interpreter(here):
    """What no handler of ours expects is JSON too."""
    ran = wild(here, JSON, error="GeneratorExit")
    last = lines(ran.stderr.decode())[-1]

    assert ran.returncode == 1
    assert last["message"] == "an error that nothing caught: GeneratorExit"


def test_control_a_run_that_tells_no_end(here):
    """What looks for the end notices when it is missing, said twice, or not the last."""
    err = run("audit", "--input=before.json", JSON, cwd=here).err
    start, *_, end = err.splitlines(keepends=True)

    assert finished(start + end)["event"] == "audit_finished"
    for spoiled in (start, start + end + end, end + start):
        with pytest.raises(AssertionError):
            finished(spoiled)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["compare", "before.json", "after.json"]]
)
def test_text_needs_no_library(here, arguments):
    """Who reads text waits for neither library."""
    code = (
        f"import sys; sys.argv = ['drift-audit', *{arguments!r}]\n"
        "import atexit\n"
        "atexit.register(lambda: print('HAS', {'pythonjsonlogger', 'prometheus_client'} & set(sys.modules)))\n"
        "from drift_audit.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here),
        capture_output=True,
        check=False,
    )

    assert ran.stdout.decode().endswith("HAS set()\n")
