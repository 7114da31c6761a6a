"""The files of a deployment: what `init --with` does, and what comes of the commands in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drift_audit.cli.deployment import KINDS
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, SEALED, environment, run
from tests.deployment import (
    ALL,
    BIN,
    LOST,
    MENDED,
    command_of,
    commands,
    gate_step,
    jobs,
    loaded,
    read_by_the_program,
    ready,
    unknown,
    variables,
    written,
)
from tests.manifests import CANARY
from tests.worlds import playing, reached

GCLOUD = shutil.which("gcloud")

# init


def test_every_kind_is_written(tmp_path):
    """All files are told and written, with a policy; no key is made, and the next step is named."""
    ran = run("init", f"--with={ALL}", cwd=tmp_path)
    told = re.findall(r"^wrote (.+)$", ran.err, re.MULTILINE)
    there = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())

    assert ran.code == 0
    assert sorted(told) == there
    assert {place for kind in KINDS.values() for place in kind.files.values()} < {*there}
    assert "drift-audit.toml" in there
    assert {*ALL.split(",")} == {*KINDS}
    assert ran.err.endswith("".join(f"  {kind.then}\n" for kind in KINDS.values()))


def test_what_is_there_stays(tmp_path):
    """A file that was changed is not replaced, and then nothing is written; the same file is fine."""
    written(tmp_path, "docker")
    dockerfile = tmp_path / "deploy/Dockerfile"
    (tmp_path / "drift-audit.toml").write_text("# mine\n")
    again = run("init", "--with=docker", cwd=tmp_path)
    dockerfile.write_text("# mine\n")
    refused = run("init", "--with=github,docker", cwd=tmp_path)
    left = (dockerfile.read_text(), (tmp_path / ".github").exists())
    forced = run("init", "--with=docker", "--force", cwd=tmp_path)

    assert (again.code, refused.code, forced.code) == (0, 2, 0)
    assert "deploy/Dockerfile is there already\n" in again.err
    assert "deploy/Dockerfile: there already, and not as it would be written" in refused.err
    assert "--into=DIR" in refused.err
    assert left == ("# mine\n", False)
    assert dockerfile.read_text() != "# mine\n"
    assert (tmp_path / "drift-audit.toml").read_text() == "# mine\n"


def test_a_folder_that_cannot_be(tmp_path):
    """A name that no folder can have is told, and is no defect."""
    ran = run("init", "--with=docker", f"--into={'x' * 300}", cwd=tmp_path)

    assert ran.code == 5
    assert "file name too long" in ran.err


def test_into_a_folder(tmp_path):
    """Another folder gets all of it, the policy too, and a relative path stays what was typed."""
    ran = run("init", "--with=pre-commit", "--into=new/repository", cwd=tmp_path)
    alone = run("init", "--into=new/repository", "--no-key", cwd=tmp_path)

    assert ran.code == 0
    assert "wrote new/repository/.pre-commit-config.yaml\n" in ran.err
    assert "wrote new/repository/drift-audit.toml\n" in ran.err
    assert alone.code == 2
    assert not (tmp_path / "drift-audit.toml").exists()


def test_no_key_is_created_for_a_deployment(tmp_path):
    """A deployment has a key of its own: none is made on this machine."""
    written(tmp_path)

    assert not (tmp_path / ".config").exists()


@pytest.mark.parametrize(
    ("given", "said"), [("terraform,ansible", "deployment: ansible"), (",", "nothing is named")]
)
def test_unknown_kind(tmp_path, given, said):
    """A kind that is not there is a wrong command line, and those that are there are named."""
    ran = run("init", f"--with={given}", cwd=tmp_path)

    assert ran.code == 2
    assert said in ran.err
    assert "pre-commit" in ran.err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "said"), [("deploy", "cannot create"), ("deploy/Dockerfile", "there already")]
)
def test_what_is_in_the_way(tmp_path, name, said):
    """A file where a folder belongs, or a folder where a file does, is told and is no defect."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if "/" in name else path.write_text("")
    ran = run("init", "--with=docker", cwd=tmp_path)

    assert ran.code in {2, 5}
    assert said in ran.err


# Commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All files of a deployment."""
    return written(tmp_path_factory.mktemp("deployment"))


def test_every_command_is_known(folder):
    """Each command and flag that a file names is one that the program has, or that is coming."""
    found = dict(commands(folder))

    assert {where: unknown(words) for where, words in found.items() if unknown(words)} == {}
    assert {where.split()[0] for where in found} == {
        "terraform", "gcloud", "cloudbuild", "clouddeploy", "pre-commit", "hook", "github",
    }  # fmt: skip
    assert {command_of(words)[0] for words in found.values()} == {
        "audit", "compare", "merge", "baseline verify",
    }  # fmt: skip


@pytest.mark.parametrize("words", [["audit", "--nightly"], ["audits"], ["baseline", "look"]])
def test_unknown_commands_are_noticed(words):
    """The control: a flag or a command that nobody knows turns the check red."""
    assert unknown(words) != []


def test_every_variable_is_read(folder):
    """Each variable that a file sets is one that the program reads."""
    found = variables(folder)

    assert {*found} <= read_by_the_program()
    assert {where.split()[0] for places in found.values() for where in places} == {
        "terraform", "gcloud", "cloudbuild", "clouddeploy", "github",
    }  # fmt: skip


# The emulator


def leaked(folder, *texts):
    """How the plain value of the world shows in some texts, and in all files of a folder."""
    found = b"\n".join([*(t.encode() for t in texts), *files_below(folder).values()])
    return leaks(found, [CANARY])


def sealed_in(folder):
    """The key as a job has it: a mounted file."""
    key = folder / "seal.key"
    key.write_text(SEAL_KEY + "\n")
    return key


def at(emulator, folder, variables=()):
    """The variables of a container, with the mounted key and the emulator."""
    names = {k: v for k, v in reached(emulator).items() if k not in SEALED}
    names |= {v["name"]: v["value"] for v in variables}
    if "DRIFT_AUDIT_SEAL_KEY_FILE" in names:
        names["DRIFT_AUDIT_SEAL_KEY_FILE"] = str(sealed_in(folder))
    return names


@pytest.mark.parametrize("job", ["night", "deploy"])
def test_jobs_audit(tmp_path, job):
    """
    What a job of the plan runs is an audit: it sees everything, keeps what it read with the mounted
    key, and ends with 0 although there is drift.
    """
    container = jobs()[f"drift-audit-{job}"]
    (tmp_path / "store").mkdir()
    of_the_event = ["--project=shop", "--region=europe-west1", "--service=api"]
    words = ready(container["args"], tmp_path / "store") + (of_the_event if job == "deploy" else [])
    with playing(LOST) as emulator:
        ran = run(
            *words, "--format=json", cwd=tmp_path, env=at(emulator, tmp_path, container["env"])
        )
        strict = run(
            *words, "--fail-on=high", cwd=tmp_path, env=at(emulator, tmp_path, container["env"])
        )

    assert (ran.code, strict.code) == (0, 10), ran.err
    told = json.loads(ran.out)
    assert told["verdict"] == "drift"
    assert {s["service"] for s in told["services"]} == {"api"}
    assert [*(tmp_path / "store").iterdir()] != []
    assert leaked(tmp_path, ran.out, ran.err, strict.out, strict.err) == []


def promoted(folder, emulator):
    """A store in which the first revision was called good."""
    place = ["--project=shop", "--region=europe-west1", "--service=api"]
    words = ["baseline", "promote", "api-00001-a", *place, "--reason=first", "--store=store"]
    ran = run(*words, cwd=folder, env=reached(emulator))
    assert ran.code == 0, ran.err


INPUTS = {
    "PROJECT": "shop",
    "REGION": "europe-west1",
    "SERVICE": "api",
    "CANDIDATE": "tag:candidate",
    "REFERENCE": "KNOWN_GOOD",
    "STORE": "store",
    "FAIL_ON": "high",
    "MAX_AUDIT_AGE": "26h",
    "DRIFT_AUDIT_SEAL_KEY_SECRET": "",
    "DRIFT_AUDIT_IMPERSONATE_SERVICE_ACCOUNT": "",
}
"""The variables of the step, as GitHub sets them: an input that was not given is empty."""


def step(folder, script, emulator, **names):
    """A script of the action as a runner runs it; how it ended, what it said, and its files."""
    (folder / "step.sh").write_text(script)
    for name in ("output", "summary"):
        (folder / name).write_text("")
    given = {
        **INPUTS,
        "RUNNER_TEMP": str(folder),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        **reached(emulator),
        **names,
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"], cwd=folder,
        env=environment(folder, given), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_github_gate(tmp_path, folder):
    """The step of the action blocks a candidate that lost a secret, and passes one that has it."""
    script = gate_step(folder)["run"]
    assert {*INPUTS} == {*gate_step(folder)["env"]}
    with playing(LOST) as emulator:
        promoted(tmp_path, emulator)
        blocked = step(tmp_path, script, emulator)
        told = (tmp_path / "summary").read_text()
        output = (tmp_path / "output").read_text()
    with playing(MENDED) as emulator:
        passed = step(tmp_path, script, emulator)
        clean = (tmp_path / "output").read_text()

    assert (blocked.returncode, passed.returncode) == (10, 0), blocked.stderr + passed.stderr
    assert "SERVICE_SECRET" in blocked.stdout
    assert "SERVICE_SECRET" in told
    assert output == f"exit-code=10\nreport={tmp_path}/drift-audit.json\n"
    assert clean.startswith("exit-code=0\n")
    assert leaked(tmp_path, blocked.stdout, blocked.stderr) == []


@pytest.mark.parametrize("word", ["$(touch owned)", "`touch owned`", "; touch owned", "--help"])
def test_inputs_stay_words(tmp_path, folder, word):
    """Whatever an input holds, it is a word for the program: nothing runs, and the gate blocks."""
    script = gate_step(folder)["run"]
    with playing(LOST) as emulator:
        ran = step(tmp_path, script, emulator, CANDIDATE=word, SERVICE=f"api{word}")

    assert ran.returncode not in {0, 1}
    assert not (tmp_path / "owned").exists()


def test_an_inline_input_would_be_run(tmp_path, folder):
    """The control: with the input as text of the script, as GitHub would put it there, it runs."""
    script = gate_step(folder)["run"].replace('"$CANDIDATE"', "$(touch owned)")
    with playing(LOST) as emulator:
        step(tmp_path, script, emulator)

    assert (tmp_path / "owned").exists()


SUBSTITUTED = {
    "$PROJECT_ID": "shop",
    "${_REGION}": "europe-west1",
    "${_SERVICE}": "api",
    "${_STORE}": "store",
}


def test_cloud_build_gate(tmp_path, folder):
    """The step of Cloud Build blocks and passes alike, and is followed by the move of traffic."""
    steps = loaded(folder / "deploy/cloudbuild.yaml")["steps"]
    gate, traffic = steps
    words = [w for w in gate["args"] if "_READER" not in w]  # nobody to act as here
    for old, new in SUBSTITUTED.items():
        words = [w.replace(old, new) for w in words]
    words = ready(words, tmp_path / "store")
    codes = []
    for text in (LOST, MENDED):
        with playing(text) as emulator:
            if text == LOST:
                promoted(tmp_path, emulator)
            codes.append(run(*words, cwd=tmp_path, env=reached(emulator)).code)

    assert codes == [10, 0]
    assert not [w for w in words if "$" in w]
    assert traffic["args"][:3] == ["run", "services", "update-traffic"]


def test_cloud_deploy_gate(tmp_path, folder):
    """The hook of Cloud Deploy gets everything by variables, and blocks; its pipeline names it."""
    [action] = loaded(folder / "deploy/skaffold.yaml")["customActions"]
    [container] = action["containers"]
    values = {"PROJECT": "shop", "REGION": "europe-west1", "SERVICE": "api"}
    named = {e["name"]: values.get(e["value"], "store") for e in container["env"]}
    env = {k: v for k, v in named.items() if k != "DRIFT_AUDIT_SEAL_KEY_SECRET"}  # the key is here
    pipeline = (folder / "deploy/clouddeploy.yaml").read_text()
    words = ready(container["args"], tmp_path / "store")
    with playing(LOST) as emulator:
        promoted(tmp_path, emulator)
        blocked = run(*words, cwd=tmp_path, env={**env, **reached(emulator)})
    with playing(MENDED) as emulator:
        passed = run(*words, cwd=tmp_path, env={**env, **reached(emulator)})

    assert (blocked.code, passed.code) == (10, 0), blocked.err
    assert f"actions: [{action['name']}]" in pipeline


def test_policy_in_the_image(folder):
    """What the image copies is what `init` writes, and what the context lets in."""
    dockerfile = (folder / "deploy/Dockerfile").read_text()
    let_in = (folder / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    [copied] = re.findall(r"^COPY (?!--)(.*) \./$", dockerfile, re.MULTILINE)

    assert (folder / "drift-audit.toml").is_file()
    assert {f"!{name}" for name in copied.split()} == {n for n in let_in if n.startswith("!")}
    assert "*" in let_in
    assert Path(BIN / "drift-audit").name in dockerfile
