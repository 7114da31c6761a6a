"""The command line, run as a user runs it: exit code, standard output, standard error, files."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from drift_audit.cli import COMMANDS
from drift_audit.cli.progress import progress
from drift_audit.report import Report
from tests.builders import LASTING
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, environment, run
from tests.test_exports import revision, service
from tests.worlds import SHOP

CANARY = "cnry-cli-7f3a9c51e2"
SECRET = {"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": "7"}}}
PASSWORD = {"name": "DB_PASSWORD", "value": CANARY}
SEALED = {"DRIFT_AUDIT_SEAL_KEY": SEAL_KEY}


@pytest.fixture
def here(tmp_path):
    """A folder with a service before and after it lost a key, as files."""
    (tmp_path / "before.json").write_text(json.dumps(service(env=[SECRET, PASSWORD])))
    (tmp_path / "after.json").write_text(json.dumps(service(env=[PASSWORD])))
    listed = [
        revision("api-00002-b", at="2026-01-02T00:00:00Z", env=[PASSWORD]),
        revision("api-00001-a", env=[SECRET, PASSWORD]),
    ]
    (tmp_path / "revisions.json").write_text(json.dumps(listed))
    return tmp_path


def told(ran):
    """Standard output without the line breaks of the terminal."""
    return " ".join(ran.out.split())


# Errors: one line, the documented code, nothing half written


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["audit", "--input=none.json"], 4, "none.json: missing: no such file"),
        (["audit", "--input=empty"], 3, "nothing was audited"),
        (["audit", "--input=broken.json"], 4, "broken.json:1: not-json: cannot be parsed"),
        (["audit", "--input=deployment.json"], 4, "deployment.json:1: wrong-kind: a Deployment of apps"),
        (["audit"], 2, "no project and region to look at"),
        (["audit", "--nonsense"], 2, "No such option '--nonsense'"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["audit", "--project=shop", "--region=r1"], 3, "no usable application default credentials"),
        (["audit", "--input=before.json", "-o", "report.xyz"], 2, "cannot tell the format of report.xyz"),
        (["audit", "--input=before.json", "-o", "none/report.json"], 5, "cannot write none/report.json"),
        (["audit", "--input=before.json", "--config=none.toml"], 2, "cannot read the policy: none.toml"),
        (["audit", "--input=before.json", "--config=bad.toml"], 2, "bad.toml: fail_on: not one of never"),
        (["compare", "before.json", "before.json"], 2, "before.json is on both sides"),
        (["compare", "revisions.json", "after.json"], 4, "revisions.json: holds 2 revisions"),
        (["compare", "revisions.json#nope", "after.json"], 4, "revisions.json: no revision nope"),
        (["compare", "nope", "--input=revisions.json"], 4, "has no revision nope"),
        (["compare", "tag:nope", "--input=revisions.json"], 4, "has no tag nope"),
        (["compare", "~7", "--input=revisions.json"], 4, "has only 2 revisions"),
        (["compare", "~x", "--input=revisions.json"], 4, "~x does not name a revision"),
        (["compare", "--input=revisions.json"], 4, "has no known good revision"),
        (["compare", "KNOWN_GOOD", "--input=revisions.json"], 4, "has no known good revision"),
        (["compare", "LATEST", "--input=two.json"], 4, "the scope holds 2 services: api, web"),
        (["compare", "LATEST", "LATEST", "--input=empty"], 4, "the scope holds 0 services: none"),
        (["snapshot", "--input=before.json"], 4, "no lasting key to seal plain values with"),
        (["baseline", "promote", "before.json", "--reason=r"], 4, "no lasting key"),
        (["baseline", "promote", "before.json"], 2, "Missing option '--reason'"),
        (["baseline", "show", "shop"], 2, "give PROJECT/REGION/SERVICE"),
        (["baseline", "show", "shop/r1/api"], 4, "baselines has no baseline of shop/r1/api"),
        (["baseline", "show", "shop/../api"], 4, "does not name project, region and service"),
        (["render", "none.json"], 4, "none.json: missing"),
        (["render", "before.json"], 4, "before.json: bad-report: not a report of this version"),
        (["explain", "key-lots"], 2, "there is no rule key-lots"),
        (["emulator", "--world=none.yaml"], 4, "none.yaml: missing"),
        (["schema", "show", "nonsense"], 2, "'nonsense' is not one of"),
    ],
)  # fmt: skip
def test_bad_input(here, arguments, code, says):
    """Each kind of bad input is one clear line, the documented code, and leaves nothing behind."""
    (here / "empty").mkdir()
    (here / "broken.json").write_text(f'{{"a": "{CANARY}" oops')
    (here / "deployment.json").write_text(
        json.dumps({"apiVersion": "apps/v1", "kind": "Deployment"})
    )
    (here / "bad.toml").write_text(f'fail_on = "{CANARY}"')
    (here / "two.json").write_text(json.dumps([service("api"), service("web")]))
    before = files_below(here).keys()
    ran = run(*arguments, cwd=here)

    assert ran.code == code, ran.block
    assert says in ran.err + ran.out, ran.block
    assert "Traceback" not in ran.err
    assert files_below(here).keys() == before
    assert leaks(ran.block.encode(), [CANARY]) == []


def test_unreachable_endpoint(here):
    """A server that is not there is an incomplete audit that says so."""
    env = {"CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1", "SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1"}
    audit = run("audit", "--project=shop", "--region=r1", cwd=here, env=env)
    compare = run(
        "compare", "~1", "--project=shop", "--region=r1", "--service=api", cwd=here, env=env
    )

    assert (audit.code, compare.code) == (3, 3)
    assert "services of projects/shop/locations/r1: the service cannot be reached" in told(audit)
    assert (
        compare.err
        == "drift-audit: services of projects/shop/locations/r1: the service cannot be reached\n"
    )


def test_full_disk_and_closed_pipe(here):
    """A report that nobody got is told by the exit code, without a traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "drift_audit", "audit", "--input=before.json"],
            cwd=here, env=environment(here), stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit", "--input=before.json"],
        cwd=here, env=environment(here), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (ended.returncode, closed.returncode) == (5, 5)
    assert (
        ended.stderr == b"drift-audit: cannot write to standard output: no space left on device\n"
    )
    assert closed.stderr == b"drift-audit: cannot write to standard output: broken pipe\n"


def test_incomplete_wins_over_a_lost_output(here):
    """Whoever tolerates a lost page must not tolerate blindness."""
    (here / "empty").mkdir()

    assert run("audit", "--input=empty", "-o", "none/x.json", cwd=here).code == 3


def test_all_outputs_are_tried(here):
    """One output that fails does not keep the others from being written."""
    ran = run("compare", "before.json", "after.json", "-o", "none/x.json", "-o", "b.json", cwd=here)

    assert ran.code == 5
    assert (here / "b.json").exists()
    assert "result: drift" in ran.out


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals(here, number, code, word):
    """An interrupted run is never clean."""
    (here / "world.yaml").write_text(SHOP)
    process = subprocess.Popen(
        [sys.executable, "-m", "drift_audit", "emulator", "--world=world.yaml"],
        cwd=here, env=environment(here), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert b"CLOUD_RUN_EMULATOR_HOST=127.0.0.1:" in process.stdout.readline()
    assert b"SECRET_MANAGER_EMULATOR_HOST=127.0.0.1:" in process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)

    assert process.returncode == code
    assert err.strip() == f"drift-audit: {word}".encode()


def test_nobody_listens(here):
    """When standard error is closed too, the code still tells."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit"],
        cwd=here,
        env=environment(here),
        stderr=writer,
        check=False,
    )
    os.close(writer)

    assert ran.returncode == 2


def test_progress(capsys):
    """Progress is shown where it is asked for, and nowhere else."""
    with progress("on", quiet=False) as tell:
        tell("services", 1, 2)
        tell("services", 2, 2)
    with progress("auto", quiet=False) as silent, progress("on", quiet=True) as quiet:
        silent("x", 1, 1)
        quiet("y", 1, 1)
    shown = capsys.readouterr()

    assert "services" in shown.err
    assert shown.out == ""
    assert "x" not in shown.err.replace("services", "")


def test_defect_tells_no_value(here):
    """A defect of ours ends with 70 and says where, without a message that could quote anything."""
    code = (
        "import sys; sys.argv = ['drift-audit', 'explain', 'x']\n"
        "import drift_audit.cli.explain as e\n"
        f"e.command.callback = lambda **_: (_ for _ in ()).throw(ValueError('{CANARY}'))\n"
        "from drift_audit.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here),
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 70
    assert b"a defect in drift-audit" in ran.stderr
    assert b"ValueError" in ran.stderr
    assert leaks(ran.stdout + ran.stderr, [CANARY]) == []


# Comparing


@pytest.mark.parametrize(
    "arguments",
    [
        ["before.json", "after.json"],
        ["revisions.json#api-00001-a", "revisions.json#api-00002-b"],
        ["~1", "--input=revisions.json"],
        ["~1", "LATEST", "--input=revisions.json"],
        ["api-00001-a", "api-00002-b", "--input=revisions.json"],
        ["before.json", "LATEST", "--input=revisions.json"],
        ["api-00001-a", "after.json", "--input=revisions.json"],
        [
            "projects/123/locations/europe-west1/services/api/revisions/api-00001-a",
            "LATEST",
            "--input=revisions.json",
        ],
    ],
)
def test_words_for_revisions(here, arguments):
    """However the two are named, the same key is lost between them."""
    ran = run("compare", *arguments, "--format=json", cwd=here)
    report = json.loads(ran.out)

    assert ran.code == 10, ran.block
    assert [(c["key"], c["before"], c["after"]) for c in report["services"][0]["changes"]] == [
        ("JWT", "secret", "absent")
    ]
    assert leaks(ran.block.encode(), [CANARY]) == []


def test_standard_input(here):
    """One side may come from standard input; both may not."""
    data = (here / "before.json").read_bytes()
    ran = run("compare", "-", "after.json", cwd=here, stdin=data)

    assert ran.code == 10
    assert run("compare", "-", "-", cwd=here, stdin=data).code == 2


def test_serving_and_tags_from_files(here):
    """Where the service is described, SERVING and tags name its revisions."""
    described = service(
        status={
            "latestCreatedRevisionName": "api-00002-b",
            "latestReadyRevisionName": "api-00002-b",
            "traffic": [
                {"revisionName": "api-00001-a", "percent": 100},
                {"revisionName": "api-00002-b", "tag": "candidate"},
            ],
        }
    )
    (here / "service.json").write_text(json.dumps(described))
    inputs = ["--input=service.json", "--input=revisions.json"]
    named = run("compare", "SERVING", "tag:candidate", *inputs, cwd=here)
    default = run("compare", *inputs, cwd=here)

    assert (named.code, default.code) == (10, 10)
    assert "(named as SERVING)" in told(named)
    assert "(serves the most traffic now)" in told(default)


def test_file_without_a_project_compares_with_one_that_has(here):
    """A manifest from git holds no project: plain values compare all the same."""
    manifest = service(env=[SECRET, PASSWORD])
    manifest["metadata"] = {"name": "api"}
    (here / "manifest.json").write_text(json.dumps(manifest))

    assert run("compare", "before.json", "manifest.json", cwd=here).code == 0
    assert run("compare", "before.json", "manifest.json", cwd=here, env=SEALED).code == 0


# Baselines, snapshots, reports


def test_promote_and_audit(here):
    """A promoted revision is what later audits compare with."""
    promoted = run(
        "baseline",
        "promote",
        "before.json",
        "--reason=release 42",
        "--by=me",
        "--project=shop",
        cwd=here,
        env=SEALED,
    )
    listed = run("baseline", "list", cwd=here)
    shown = run("baseline", "show", "shop/europe-west1/api", cwd=here)
    audited = run("audit", "--input=after.json", "--project=shop", cwd=here, env=SEALED)

    assert promoted.block == (
        "exit 0\n--- stdout\n(template) is the baseline of shop/europe-west1/api:"
        " baselines/shop/europe-west1/api.json\n--- stderr\n"
    )
    assert (
        listed.out == "shop/europe-west1/api (template): promoted on 2026-01-15 by me: release 42\n"
    )
    assert json.loads(shown.out)["reason"] == "release 42"
    assert audited.code == 10
    assert "baseline: promoted on 2026-01-15 by me: release 42" in told(audited)
    assert leaks(b"".join(files_below(here / "baselines").values()), [CANARY]) == []


def test_promote_refuses(here):
    """A revision that lacks required keys, or was not read whole, does not become a baseline."""
    (here / "drift-audit.toml").write_text("[[service]]\nrequired = {MISSING = {}}")
    blind = service()
    blind["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "x"}}]
    (here / "blind.json").write_text(json.dumps(blind))
    lacking = run("baseline", "promote", "before.json", "--reason=r", cwd=here, env=SEALED)
    unread = run(
        "baseline", "promote", "blind.json", "--reason=r", "--no-config", cwd=here, env=SEALED
    )

    assert (lacking.code, unread.code) == (4, 4)
    assert "lacks required keys: MISSING" in lacking.err
    assert "was not read whole: envFrom" in unread.err
    assert not (here / "baselines").exists()


def test_baseline_under_another_key(here):
    """Without the key of the store the verdict is incomplete, never clean and never a thousand changes."""
    promote = ["baseline", "promote", "before.json", "--reason=r", "--project=shop"]
    run(*promote, cwd=here, env={"DRIFT_AUDIT_SEAL_KEY": LASTING.text})
    ran = run("audit", "--input=before.json", "--project=shop", cwd=here, env=SEALED)

    assert ran.code == 3
    assert "1 plain value: sealed under another key" in ran.out


def test_empty_list_of_baselines(here):
    """An empty store says so."""
    ran = run("baseline", "list", cwd=here)

    assert (ran.code, ran.err) == (0, "no baselines in baselines\n")


def test_snapshot_and_compare(here):
    """Stored snapshots compare with files under the same key."""
    taken = run("snapshot", "--input=before.json", "-o", "snap.json", cwd=here, env=SEALED)
    printed = run("snapshot", "--input=before.json", cwd=here, env=SEALED)
    ran = run("compare", "snap.json", "after.json", cwd=here, env=SEALED)

    assert (taken.code, taken.out, ran.code) == (0, "", 10)
    assert printed.out == (here / "snap.json").read_text()
    assert leaks(printed.out.encode(), [CANARY]) == []


def test_snapshot_without_literals(here):
    """Left out by choice: no key is needed, and the report says that values were not compared."""
    taken = run(
        "snapshot", "--input=before.json", "--without-literals", "-o", "snap.json", cwd=here
    )
    ran = run("compare", "snap.json", "before.json", "--without-literals", cwd=here)

    assert (taken.code, ran.code) == (0, 0)
    assert "plain values were left out by choice" in ran.out


def test_incomplete_snapshot(here):
    """What could not be read ends with 3, and what was read is written all the same."""
    listed = {"kind": "ServiceList", "metadata": {"continue": "x"}, "items": [service()]}
    (here / "part.json").write_text(json.dumps(listed))
    part = run("snapshot", "--input=part.json", "-o", "snap.json", cwd=here, env=SEALED)
    nothing = run("snapshot", "--input=revisions.json", "--service=x", cwd=here, env=SEALED)

    assert (part.code, nothing.code) == (3, 3)
    assert "not seen: part.json: the list goes on" in part.err
    assert (here / "snap.json").exists()
    assert "nothing was collected" in nothing.err


def test_print_gcloud(here):
    """Someone without access gets the commands that collect the same."""
    ran = run(
        "snapshot", "--print-gcloud", "--project=shop", "--region=r1", "--service=api", cwd=here
    )
    general = run("snapshot", "--print-gcloud", cwd=here)

    assert ran.out.splitlines() == [
        "gcloud run services describe api --project=shop --region=r1 --format=json > api.service.json",
        "gcloud run revisions list --service=api --project=shop --region=r1 --format=json > api.revisions.json",
        "gcloud secrets versions list SECRET --project=shop --format=json > SECRET.versions.json",
    ]
    assert "--project=PROJECT --region=REGION" in general.out


def test_render_again(here):
    """A stored report renders as any format, with its own exit code, and without collecting."""
    first = run("compare", "before.json", "after.json", "-o", "r.json", "-o", "html=-", cwd=here)
    again = run("render", "r.json", "-o", "again.html", "--format=markdown", cwd=here)
    piped = run("render", "-", "--format=json", cwd=here, stdin=(here / "r.json").read_bytes())

    assert (first.code, again.code, piped.code) == (10, 10, 10)
    assert first.out.startswith("<!DOCTYPE html>")
    assert again.out.startswith("# Verdict: drift")
    assert (here / "again.html").read_text() in first.out
    assert Report.model_validate_json(piped.out) == Report.model_validate_json(
        (here / "r.json").read_bytes()
    )


def test_min_severity_hides_but_counts(here):
    """Findings below the lowest severity are left out of pages; the JSON and the counts keep them."""
    ran = run(
        "compare", "before.json", "after.json", "--min-severity=high", "-o", "r.json", cwd=here
    )
    report = Report.model_validate_json((here / "r.json").read_bytes())

    assert "credential-in-plain" not in ran.out
    assert "findings below high are not shown" in ran.out
    assert report.counts.medium >= 1
    assert any(f.rule == "credential-in-plain" for f in report.all_findings)


def test_require_baseline(here):
    """Where a baseline is demanded and missing, the run ends with 4 and still reports."""
    ran = run("audit", "--input=before.json", "--require-baseline", cwd=here)

    assert ran.code == 4
    assert "result: clean (exit 4)" in ran.out


@pytest.mark.parametrize(
    ("arguments", "env", "code"),
    [
        ([], {}, 10),
        (["--fail-on=never"], {}, 0),
        (["--fail-on=critical"], {}, 0),
        ([], {"DRIFT_AUDIT_FAIL_ON": "critical"}, 0),
        (["--fail-on=high"], {"DRIFT_AUDIT_FAIL_ON": "critical"}, 10),
    ],
)
def test_fail_on(here, arguments, env, code):
    """The flag before the environment before the policy."""
    assert run("compare", "before.json", "after.json", *arguments, cwd=here, env=env).code == code


@pytest.mark.parametrize("name", ["drift-audit.toml", "pyproject.toml"])
def test_policy_is_found(here, name):
    """The policy of this folder applies, from its own file or from pyproject.toml."""
    table = "" if name == "drift-audit.toml" else "[tool.drift-audit]\n"
    (here / name).write_text(f'{table}fail_on = "never"\n')

    assert run("compare", "before.json", "after.json", cwd=here).code == 0
    assert run("compare", "before.json", "after.json", "--no-config", cwd=here).code == 10


def test_pyproject_of_others(here):
    """A pyproject.toml that does not speak of us is not read."""
    (here / "pyproject.toml").write_text("[tool.other]\nx = 1\n")

    assert run("compare", "before.json", "after.json", cwd=here).code == 10


def test_unreadable_policy(here):
    """A policy that is no text is refused."""
    (here / "drift-audit.toml").write_bytes(b"\xff")

    assert run("compare", "before.json", "after.json", cwd=here).code == 2


def test_reveal(here):
    """A revealed key shows its values; nothing else does."""
    (here / "before.json").write_text(
        json.dumps(service(env=[PASSWORD, {"name": "LEVEL", "value": "info"}]))
    )
    (here / "after.json").write_text(
        json.dumps(service(env=[PASSWORD, {"name": "LEVEL", "value": "debug"}]))
    )
    ran = run("compare", "before.json", "after.json", "--reveal=LEVEL", cwd=here)
    hidden = run("compare", "before.json", "after.json", cwd=here)

    assert "LEVEL changed from info to debug" in ran.out
    assert "info to debug" not in hidden.out
    assert leaks((ran.out + hidden.out).encode(), [CANARY]) == []


# Colours, help, keys, completion


@pytest.mark.parametrize(
    ("arguments", "env", "coloured"),
    [
        ([], {}, False),
        (["--color=always"], {}, True),
        (["--color=always"], {"NO_COLOR": "1"}, True),
        (["--color=never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "0"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours(here, arguments, env, coloured):
    """No colours in a pipe unless they are forced; what was chosen counts before the environment."""
    ran = run("compare", "before.json", "after.json", *arguments, cwd=here, env=env)

    assert ("\x1b[" in ran.out) is coloured


def test_terminal(here):
    """At a terminal there are colours and progress; the report fits its width."""
    script = Path("/usr/bin/script")
    if not script.exists():
        pytest.skip("script(1) is not installed: the terminal was not tried")
    command = f"stty cols 60; {sys.executable} -m drift_audit compare before.json after.json --progress=on"
    ran = subprocess.run(
        [str(script), "-qec", command, "/dev/null"],
        cwd=here, env=environment(here, {"TERM": "xterm"}), capture_output=True, check=False,
    )  # fmt: skip
    lines = ran.stdout.decode().replace("\r", "").split("\n")

    assert ran.returncode == 10
    assert any("\x1b[" in line for line in lines)
    assert "DRIFT" in ran.stdout.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_help(here, command):
    """Every command has help with an example, and the line that the list of commands shows."""
    ran = run(command, "--help", cwd=here)
    short = run(command, "-h", cwd=here)

    assert ran.code == 0
    assert (
        f"  drift-audit {command}" in ran.out
        or f"drift-audit {command}" in ran.out.partition("Options:")[0][20:]
    )
    assert ran.out == short.out


def test_short_help_is_the_commands_own():
    """The list of commands, which imports none of them, says what each says of itself."""
    told = {name: import_module(f"drift_audit.cli.{name}").command.short_help for name in COMMANDS}

    assert told == COMMANDS


def test_version(here):
    """The version is told on standard output."""
    assert run("--version", cwd=here).out == "drift-audit, version 0.1.0\n"


def test_no_command(here):
    """Without a command there is help."""
    ran = run(cwd=here)

    assert "Commands:" in ran.out + ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(here, shell):
    """Each shell gets a script."""
    assert "_DRIFT_AUDIT_COMPLETE" in run("completion", shell, cwd=here).out


def test_completion_completes(here):
    """The script's call back into the program completes names of commands."""
    env = {
        "_DRIFT_AUDIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "drift-audit comp",
        "COMP_CWORD": "1",
    }

    assert run(cwd=here, env=env).out.split() == ["plain,compare", "plain,completion"]


def test_explain(here):
    """A rule explains itself; without a name all rules are listed."""
    one, every = run("explain", "key-lost", cwd=here), run("explain", cwd=here)

    assert one.out.startswith("key-lost (high)\n\nA key that the reference revision had is gone.")
    assert "Fix: " in one.out
    assert "  high      key-lost" in every.out
    assert "Needs: the state of secret versions" in run("explain", "version-disabled", cwd=here).out
    assert "did you mean key-lost?" in run("explain", "key-lots", cwd=here).err
    assert "lists all rules" in run("explain", "zzz", cwd=here).err


@pytest.mark.parametrize("document", ["report", "snapshot", "baseline", "policy", "world"])
def test_schema(here, document):
    """Every document has a JSON Schema."""
    assert json.loads(run("schema", "show", document, cwd=here).out)["type"] == "object"


def test_init(here):
    """A policy to start from requires the two keys, and a key for sealing is created once, for us alone."""
    first = run("init", cwd=here)
    key = here / ".config/drift-audit/seal.key"
    again = run("init", cwd=here)
    forced = run("init", "--force", cwd=here)
    ran = run("audit", "--input=after.json", cwd=here)

    assert (first.code, again.code, forced.code) == (0, 2, 0)
    assert "wrote drift-audit.toml" in first.err
    assert f"created {key}" in first.err
    assert "there already" in forced.err
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert ran.code == 10
    assert "lacks 2 required keys: JWT_SECRET_KEY, SERVICE_SECRET" in ran.out


def test_init_without_a_key(here):
    """Who keeps the key elsewhere gets none."""
    run("init", "--no-key", cwd=here)

    assert not (here / ".config").exists()


def test_key_from_a_file(here):
    """The key comes from the user's folder or a named file, if nobody else may read it."""
    run("init", cwd=here)
    key = here / ".config/drift-audit/seal.key"
    kept = run("snapshot", "--input=before.json", cwd=here)
    named = run(
        "snapshot", "--input=before.json", cwd=here, env={"DRIFT_AUDIT_SEAL_KEY_FILE": str(key)}
    )
    key.chmod(0o644)
    open_to_others = run("snapshot", "--input=before.json", cwd=here)
    key.chmod(0o600)
    key.write_text("short")
    broken = run("snapshot", "--input=before.json", cwd=here)
    key.unlink()
    key.symlink_to(here / "before.json")
    (here / "before.json").chmod(0o600)
    linked = run("snapshot", "--input=after.json", cwd=here)
    variable = run(
        "snapshot", "--input=before.json", cwd=here, env={"DRIFT_AUDIT_SEAL_KEY": CANARY}
    )

    assert (kept.code, named.code) == (0, 0)
    assert (open_to_others.code, broken.code, linked.code, variable.code) == (4, 4, 4, 4)
    assert f"chmod 600 {key}" in open_to_others.err
    assert "not 32 or more bytes" in broken.err
    assert CANARY not in variable.err


def test_key_is_created_at_a_terminal(here):
    """The first promotion at a terminal creates the key and says so."""
    script = Path("/usr/bin/script")
    if not script.exists():
        pytest.skip("script(1) is not installed: the terminal was not tried")
    command = (
        f"{sys.executable} -m drift_audit baseline promote before.json --reason=r --project=shop"
    )
    ran = subprocess.run(
        [str(script), "-qec", command, "/dev/null"],
        cwd=here, env=environment(here), capture_output=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
    assert b"created " in ran.stdout
    assert (here / ".config/drift-audit/seal.key").exists()
    assert (
        run(
            "baseline",
            "promote",
            "before.json",
            "--reason=r",
            "-q",
            cwd=here,
            env={"XDG_CONFIG_HOME": str(here / "x")},
        ).code
        == 4
    )


def test_source_date_epoch(here):
    """The time of a run can be fixed; what is no time is a wrong command line."""
    ran = run(
        "audit", "--input=before.json", "--format=json", cwd=here, env={"SOURCE_DATE_EPOCH": "0"}
    )

    assert json.loads(ran.out)["generated_at"] == "1970-01-01T00:00:00Z"
    assert run("audit", "--input=before.json", cwd=here, env={"SOURCE_DATE_EPOCH": "now"}).code == 2
    assert json.loads(
        run(
            "audit", "--input=before.json", "--format=json", cwd=here, env={"SOURCE_DATE_EPOCH": ""}
        ).out
    )


def test_same_input_same_bytes(here):
    """The same input gives the same report, whatever the hash seed, the zone and the locale."""
    outputs = set()
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("2", "America/New_York")):
        env = {"PYTHONHASHSEED": seed, "TZ": zone, "LANG": "C", "DRIFT_AUDIT_SEAL_KEY": SEAL_KEY}
        ran = run(
            "compare",
            "before.json",
            "after.json",
            "--format=json",
            "-o",
            "r.html",
            "-o",
            "r.md",
            cwd=here,
            env=env,
        )
        outputs.add((ran.out, (here / "r.html").read_text(), (here / "r.md").read_text()))

    assert len(outputs) == 1


# What is not loaded


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["google", "grpc", "deepdiff", "pydantic", "jinja2", "rich", "yaml"]),
        (["--version"], ["google", "grpc", "deepdiff", "pydantic", "jinja2", "rich", "yaml"]),
        (["compare", "before.json", "after.json"], ["google", "grpc"]),
        (["compare", "before.json", "copy.json"], ["google", "grpc", "deepdiff"]),
        (["render", "r.json"], ["google", "grpc", "deepdiff", "jinja2"]),
    ],
)
def test_lean(here, arguments, absent):
    """A command imports what it uses: help stays fast, and files need no google."""
    (here / "copy.json").write_text((here / "before.json").read_text())
    run("compare", "before.json", "after.json", "-o", "r.json", cwd=here)
    code = (
        f"import sys; sys.argv = ['drift-audit', *{arguments!r}]\n"
        "import atexit, json\n"
        "atexit.register(lambda: print('MODULES', json.dumps(sorted({m.partition('.')[0] for m in sys.modules}))))\n"
        "from drift_audit.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here, measured=False),
        capture_output=True,
        check=False,
    )
    modules = json.loads(ran.stdout.decode().rpartition("MODULES ")[2])

    assert set(absent) & set(modules) == set()


def test_google_debugging_is_refused(here):
    """The variable that would log whole responses, values included, is cleared before any import."""
    code = "import os; from drift_audit.__main__ import _lock_down; _lock_down(); print(dict(os.environ))"
    env = environment(here, {"GOOGLE_SDK_PYTHON_LOGGING_SCOPE": "google"})
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)

    assert b"GOOGLE_SDK_PYTHON_LOGGING_SCOPE" not in ran.stdout
    assert b"GRPC_VERBOSITY" in ran.stdout
