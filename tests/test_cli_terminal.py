"""What surrounds the work: help, colours, keys, completion, and a start that is lean."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from drift_audit import files
from drift_audit.cli import COMMANDS
from drift_audit.policy import read_policy
from tests.command import SEALED, environment, run
from tests.manifests import CANARY


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


def schema(here, document):
    return Draft202012Validator(json.loads(run("schema", "show", document, cwd=here).out))


def test_schemas_describe_what_is_written(here):
    """What the commands write, and what they read, is what the schemas say."""
    inputs = ["--input=before.json", "--project=shop"]
    run("compare", "before.json", "after.json", "-o", "report.json", cwd=here)
    run("snapshot", *inputs, "-o", "snapshots.json", cwd=here, env=SEALED)
    run(
        "baseline",
        "promote",
        "before.json",
        "--reason=r",
        "--by=me",
        "--project=shop",
        cwd=here,
        env=SEALED,
    )
    written = {
        "report": json.loads((here / "report.json").read_text()),
        "snapshot": json.loads((here / "snapshots.json").read_text())[0],
        "baseline": json.loads((here / "baselines/shop/europe-west1/api.json").read_text()),
        "policy": tomllib.loads((files.shipped("templates") / "demo/drift-audit.toml").read_text()),
    }

    for document, instance in written.items():
        assert [e.message for e in schema(here, document).iter_errors(instance)] == [], document
        assert not schema(here, document).is_valid({**instance, "unheard_of": 1}), document
    assert schema(here, "world").is_valid({})


@pytest.mark.parametrize(("severity", "valid"), [("low", True), ("LOW", False), (3, False)])
def test_severities_are_words_in_the_schema(here, severity, valid):
    """An editor that knows the schema refuses what the policy would."""
    policy = schema(here, "policy")

    assert policy.is_valid({"severity": {"key-lost": severity}}) is valid
    assert policy.is_valid({"fail_on": severity}) is valid
    assert policy.is_valid({"fail_on": "never"})


def test_init(here):
    """A policy to start from, which asks for nothing yet, and a key that is created once, for us alone."""
    first = run("init", cwd=here)
    key = here / ".config/drift-audit/seal.key"
    again = run("init", cwd=here)
    forced = run("init", "--force", cwd=here)
    ran = run("compare", "before.json", "after.json", cwd=here)

    assert (first.code, again.code, forced.code) == (0, 2, 0)
    assert "wrote drift-audit.toml" in first.err
    assert f"created {key}" in first.err
    assert "there already" in forced.err
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert ran.code == 10
    assert "key-lost" in ran.out
    assert "key-missing" not in ran.out


def test_examples_of_the_policy_to_start_from(here):
    """Every example that is commented out in it can be read as soon as it is not."""
    run("init", "--no-key", cwd=here)
    text = (here / "drift-audit.toml").read_text()
    examples = re.findall(r"(?m)^#\n((?:# .*\n)+)", text)
    uncommented = "".join(re.sub("(?m)^# (schema = .*)?", "", one) for one in examples)
    policy = read_policy(text + uncommented)

    assert read_policy(text).service == ()
    assert (len(policy.service), len(policy.group)) == (1, 1)
    assert (len(policy.database), len(policy.waiver)) == (1, 1)


def test_init_without_a_key(here):
    """Who keeps the key elsewhere gets none."""
    run("init", "--no-key", cwd=here)

    assert not (here / ".config").exists()


def test_key_that_cannot_be_kept(here):
    """Where no key can be kept or found out about, that is said, and no defect."""
    (here / ".config").write_text("a file where a folder belongs")

    assert "seal.key: not a directory" in run("init", cwd=here).err
    home = {"XDG_CONFIG_HOME": "x" * 300}
    assert "file name too long" in run("audit", "--input=before.json", cwd=here, env=home).err
    env = {"DRIFT_AUDIT_SEAL_KEY_FILE": "x" * 300}
    assert "file name too long" in run("audit", "--input=before.json", cwd=here, env=env).err


def test_key_from_a_file(here):
    """The key comes from the user's folder, if nobody else may read it, or from a named file."""
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


def test_named_key_file(here):
    """A named key file may be a mounted secret, and nothing takes its place where it is missing."""
    named = {"DRIFT_AUDIT_SEAL_KEY_FILE": str(here / "keys/seal.key")}
    missing = run("audit", "--input=before.json", cwd=here, env=named)
    created = run("init", cwd=here, env=named)
    key = here / "keys/seal.key"
    kept = key.read_bytes()
    again = run("init", "--force", cwd=here, env=named)
    key.chmod(0o644)
    (here / "mounted").symlink_to(key)
    mounted = run(
        "snapshot", "--input=before.json", cwd=here,
        env={"DRIFT_AUDIT_SEAL_KEY_FILE": str(here / "mounted")},
    )  # fmt: skip

    assert (missing.code, created.code, again.code, mounted.code) == (4, 0, 0, 0)
    assert "seal.key: missing: no such file" in missing.err
    assert f"created {key}" in created.err
    assert key.read_bytes() == kept
    assert not (here / ".config").exists()


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
