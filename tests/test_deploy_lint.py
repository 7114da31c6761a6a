"""The files of a deployment before those who know their formats best: the linters of each."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from tests.command import environment
from tests.deployment import BIN, ROOT, written
from tests.manifests import PASSWORD, SECRET, service


@pytest.fixture
def folder(tmp_path):
    """All files of a deployment."""
    return written(tmp_path)


def linted(folder, program, *words):
    """How a linter of the development environment ends, and what it says."""
    done = subprocess.run(
        [str(BIN / program), *words], cwd=folder, env=environment(folder), capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def edited(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


ZIZMOR = ("zizmor", "--persona=auditor", "--offline", "--strict-collection", "--no-progress", ".")
ACTION = ".github/actions/drift-audit/action.yml"
WORKFLOW = ".github/workflows/drift-audit.yml"


def test_zizmor_finds_nothing(folder):
    """Workflow and action are clean at its strictest, and both were looked at."""
    code, said = linted(folder, *ZIZMOR)

    assert code == 0, said
    assert "No findings to report" in said
    assert ACTION in said
    assert WORKFLOW in said


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (ACTION, "@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0", "@v6", "unpinned-uses"),
        (ACTION, '"--service=$SERVICE"', "--service=${{ inputs.service }}", "template-injection"),
        (WORKFLOW, "permissions: {}\n", "", "excessive-permissions"),
        (WORKFLOW, "persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ],
)
def test_zizmor_notices(folder, name, old, new, said):
    """The control: an action by its tag, an input in a script and the like turn it red."""
    edited(folder, name, old, new)
    code, told = linted(folder, *ZIZMOR)

    assert code not in {0, 1, 2}
    assert said in told


SCHEMAS = [
    ("github-workflows", WORKFLOW),
    ("github-actions", ACTION),
    ("cloudbuild", "deploy/cloudbuild.yaml"),
]


@pytest.mark.parametrize(("schema", "name"), SCHEMAS)
def test_schemas(folder, schema, name):
    """Workflow, action and build are as their published schemas say; the control is a wrong field."""
    check = ("check-jsonschema", f"--builtin-schema=vendor.{schema}", name)
    code, said = linted(folder, *check)
    path = folder / name
    document = yaml.safe_load(path.read_text())
    first = next(k for k in ("jobs", "runs", "steps") if k in document)
    path.write_text(yaml.safe_dump({**document, first: "nothing"}))

    assert code == 0, said
    assert linted(folder, *check)[0] == 1


def test_workflow_has_a_time_limit(folder):
    """No job of the workflow runs for ever."""
    check = (
        "check-jsonschema",
        "--builtin-schema=custom.github-workflows-require-timeout",
        WORKFLOW,
    )

    assert linted(folder, *check)[0] == 0
    edited(folder, WORKFLOW, "    timeout-minutes: 20\n", "")
    assert linted(folder, *check)[0] == 1


def test_actions_are_pinned_with_their_version(folder):
    """Each foreign action is named by a full commit, with the version beside it."""
    for name in (WORKFLOW, ACTION):
        uses = [line for line in (folder / name).read_text().splitlines() if " uses: " in line]
        foreign = [u for u in uses if "uses: $/" not in u and "#     uses" not in u]

        assert foreign
        for line in foreign:
            if not line.startswith("#"):
                _, _, pin = line.partition("@")
                commit, _, version = pin.partition(" # v")
                assert len(commit) == 40
                assert version.count(".") == 2


OF_THE_RUNNER = ("RUNNER_TEMP", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")


def scripts(folder):
    """Every shell script of the files, by where it stands, and with the variables it is given."""
    found = {"gcloud": (folder / "deploy/gcloud.sh").read_text()}
    for step in yaml.safe_load((folder / ACTION).read_text())["runs"]["steps"]:
        if "run" in step:
            given = "".join(f"export {name}=x\n" for name in (*step["env"], *OF_THE_RUNNER))
            found[step["name"]] = f"#!/usr/bin/env bash\n{given}{step['run']}\n"
    return found


SHELLCHECK = (
    "shellcheck",
    "--severity=style",
    "--enable=check-unassigned-uppercase,quote-safe-variables",
)


def test_shellcheck_finds_nothing(folder):
    """The script and the steps of the action; the control is a variable that nobody sets, unquoted."""
    for name, text in scripts(folder).items():
        (folder / "script.sh").write_text(text)
        assert linted(folder, *SHELLCHECK, "script.sh") == (0, ""), name
    (folder / "script.sh").write_text("#!/usr/bin/env bash\nrm -rf $FOLDER\n")
    code, said = linted(folder, *SHELLCHECK, "script.sh")

    assert code == 1
    assert {"SC2086", "SC2154"} <= {*re.findall(r"SC\d+", said)}


def test_script_stops_at_the_first_failure(folder):
    """The script is strict from its first command on."""
    lines = scripts(folder)["gcloud"].splitlines()
    first = next(line for line in lines if not line.startswith("#"))

    assert first == "set -euo pipefail"


HADOLINT = ("hadolint", "--failure-threshold=style", "--strict-labels", "deploy/Dockerfile")


def test_hadolint_finds_nothing(folder):
    """The image is clean at its strictest; the control is a base by its newest tag."""
    code, said = linted(folder, *HADOLINT)
    edited(folder, "deploy/Dockerfile", "FROM ${PYTHON}\n", "FROM python:latest\n")

    assert (code, said) == (0, "")
    assert "DL3007" in linted(folder, *HADOLINT)[1]


def test_image_is_nobodys_and_needs_no_shell(folder):
    """It runs as a number that is not root, and starts the program itself."""
    lines = (folder / "deploy/Dockerfile").read_text().splitlines()
    last = {line.split()[0]: line.partition(" ")[2] for line in lines if line and line[0].isupper()}

    assert last["USER"] == "65532:65532"
    assert last["ENTRYPOINT"] == '["/opt/drift-audit/bin/drift-audit"]'
    assert last["CMD"].startswith("[")


def test_pre_commit_takes_the_files(folder):
    """Configuration and hooks are valid; the control is a hook without an entry."""
    (folder / "hooks.yaml").write_text((ROOT / ".pre-commit-hooks.yaml").read_text())

    assert linted(folder, "pre-commit", "validate-config", ".pre-commit-config.yaml")[0] == 0
    assert linted(folder, "pre-commit", "validate-manifest", "hooks.yaml")[0] == 0
    edited(folder, "hooks.yaml", "entry: drift-audit audit\n", "")
    assert linted(folder, "pre-commit", "validate-manifest", "hooks.yaml")[0] == 1


def git(folder, *words):
    subprocess.run(
        ["git", *words], cwd=folder, env=environment(folder), check=True, capture_output=True
    )


def committed(folder, name, text):
    """What pre-commit says of a file that is about to be committed."""
    (folder / name).write_text(text)
    git(folder, "add", name)
    env = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        [str(BIN / "pre-commit"), "run"], cwd=folder, env=environment(folder, env),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_pre_commit_holds_the_manifest_against_the_policy(folder):
    """A manifest that lacks a required key is not committed; one that has it is."""
    git(folder, "init", "-q")
    with (folder / "drift-audit.toml").open("a") as policy:
        policy.write('[[service]]\nrequired = { SERVICE_SECRET = { from = "secret" } }\n')
    git(folder, "add", ".pre-commit-config.yaml", "drift-audit.toml")
    name, whole_env = "deploy/service.yaml", [{**SECRET, "name": "SERVICE_SECRET"}]
    lacking = committed(folder, name, yaml.safe_dump(service(env=[PASSWORD])))
    whole = committed(folder, name, yaml.safe_dump(service(env=whole_env)))

    assert lacking[0] == 1
    assert "SERVICE_SECRET" in lacking[1]
    assert "exit code: 10" in lacking[1]
    assert whole[0] == 0, whole[1]


def test_pre_commit_reads_the_baselines(folder):
    """Baselines that are as they were promoted are committed; one that was edited is not."""
    git(folder, "init", "-q")
    shutil.copytree(ROOT / "baselines", folder / "baselines")
    git(folder, "add", ".pre-commit-config.yaml", "baselines")
    path = min((folder / "baselines").glob("[a-z]*/*/*.json"))
    name, text = str(path.relative_to(folder)), path.read_text()
    whole = committed(folder, name, text)
    edited_one = committed(folder, name, text.replace("us-central1", "us-central2"))

    assert whole[0] == 0, whole[1]
    assert edited_one[0] == 1
    assert "exit code: 4" in edited_one[1]
