"""The workflows of this repository: their linters find nothing, and their own checks hold and can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from tests.command import environment
from tests.deployment import ROOT, loaded
from tests.test_deploy_lint import SHELLCHECK, ZIZMOR, edited, linted

FILES = ("ci.yml", "audit.yml", "release.yml")
WORKFLOWS = [f".github/workflows/{name}" for name in FILES]
CI, AUDIT, RELEASE = WORKFLOWS
DEPENDABOT = ".github/dependabot.yml"


@pytest.fixture
def folder(tmp_path):
    """The files that GitHub reads, to be looked at and to be spoiled."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    return tmp_path


def jobs():
    """Every job of every workflow, by file and name."""
    for path in WORKFLOWS:
        for name, job in loaded(ROOT / path)["jobs"].items():
            yield path, name, job


def test_these_are_all_workflows():
    """No workflow is there that nobody looks at."""
    assert sorted(p.name for p in (ROOT / ".github/workflows").iterdir()) == sorted(FILES)


def test_zizmor_finds_nothing(folder):
    """Workflows and updates are clean at its strictest, and all of them were looked at."""
    code, said = linted(folder, *ZIZMOR)

    assert code == 0, said
    assert "No findings to report" in said
    assert all(name in said for name in [*WORKFLOWS, DEPENDABOT])


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (CI, "@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6", "unpinned-uses"),
        (CI, "  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
        (CI, "run: .ci/run", "run: .ci/run ${{ github.head_ref }}", "template-injection"),
        (AUDIT, "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (RELEASE, "permissions: {}\n", "", "excessive-permissions"),
        (
            RELEASE,
            "          attestations: true",
            "          password: x",
            "use-trusted-publishing",
        ),
        (DEPENDABOT, "    cooldown:\n      default-days: 10\n", "", "dependabot-cooldown"),
    ],
)
def test_zizmor_notices(folder, name, old, new, said):
    """The control: each of the things that checklists warn of turns it red."""
    edited(folder, name, old, new)
    code, told = linted(folder, *ZIZMOR)

    assert code not in {0, 1, 2}
    assert said in told


SCHEMAS = {
    "vendor.github-workflows": (WORKFLOWS, "jobs"),
    "vendor.dependabot": ([DEPENDABOT], "updates"),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas(folder, schema):
    """Each file is as its published schema says; the control is a wrong field in each."""
    names, field = SCHEMAS[schema]
    check = ("check-jsonschema", f"--builtin-schema={schema}", *names)
    code, said = linted(folder, *check)
    for name in names:
        (folder / name).write_text(yaml.safe_dump({**loaded(folder / name), field: "nothing"}))
    spoiled, told = linted(folder, *check)

    assert code == 0, said
    assert spoiled == 1
    assert all(name in told for name in names)


def test_every_action_is_pinned_with_its_version():
    """Each action is named by a full commit with the version beside it, and one commit means one version."""
    known: dict[str, set[str]] = {}
    lines = [
        line for p in WORKFLOWS for line in (ROOT / p).read_text().splitlines() if "uses:" in line
    ]
    for line in lines:
        found = re.fullmatch(r" +uses: ([\w/.-]+@[0-9a-f]{40}) # v(\d+\.\d+\.\d+)", line)
        assert found is not None, line
        known.setdefault(found[1].partition("@")[0], set()).add(line.partition("@")[2])

    assert len(lines) >= 10
    assert all(len(pins) == 1 for pins in known.values())


def test_every_job_is_held_short():
    """Each job ends by itself, names what it may do, and sees no secret; only two may do more than read."""
    more = {}
    for path, name, job in jobs():
        where = f"{path} {name}"
        assert 0 < job["timeout-minutes"] <= 330, where
        assert "secrets." not in yaml.safe_dump(job), where
        more[where] = {k: v for k, v in job["permissions"].items() if v != "read"}
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, where
    for path in WORKFLOWS:
        workflow = loaded(ROOT / path)
        assert workflow["permissions"] == {}
        assert "group" in workflow["concurrency"]
        assert workflow["defaults"]["run"]["shell"] == "bash"

    assert {k: v for k, v in more.items() if v} == {
        f"{RELEASE} publish": {"id-token": "write"},
        f"{RELEASE} announce": {"contents": "write"},
    }


def test_publishing_builds_nothing():
    """The job that may publish has no source, runs nothing but its check, and comes after the tests."""
    release = loaded(ROOT / RELEASE)["jobs"]
    publish = release["publish"]
    actions = [s["uses"].partition("@")[0] for s in publish["steps"] if "uses" in s]

    assert actions == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert [s["run"].split()[0] for s in publish["steps"] if "run" in s] == ["diff"]
    assert publish["environment"] == "pypi"
    assert {*publish["needs"]} == {"test", "rebuild"}
    assert {*release["verify"]["needs"]} == {"test", "publish"}
    assert {*release["announce"]["needs"]} == {"test", "verify"}


def scripts():
    """Every script of the workflows, by where it stands, with the variables that it is given."""
    for path, name, job in jobs():
        for one in job["steps"]:
            if "run" in one:
                given = {*job.get("env", ()), *one.get("env", ())}
                given |= set(re.findall(r"\b(?:GITHUB|RUNNER)_\w+", one["run"]))
                sets = "".join(f"export {variable}=x\n" for variable in sorted(given))
                head = (
                    "#!/usr/bin/env bash\nset -eo pipefail\n"  # as GitHub does with `shell: bash`
                )
                yield f"{path} {name}: {one['name']}", f"{head}{sets}{one['run']}\n"


def test_shellcheck_finds_nothing(tmp_path):
    """No script of a workflow has a weakness that it knows."""
    for number, (_, text) in enumerate(scripts()):
        (tmp_path / f"{number}.sh").write_text(text)
    names = sorted(p.name for p in tmp_path.iterdir())

    assert len(names) >= 15
    assert linted(tmp_path, *SHELLCHECK, *names) == (0, "")


def step(job, name):
    """The script of one step of the release."""
    [found] = [s for s in loaded(ROOT / RELEASE)["jobs"][job]["steps"] if s["name"] == name]
    return found["run"]


def bash(script, folder, **given):
    """How a step ends where GitHub would run it."""
    env = environment(folder, {k: str(v) for k, v in given.items()})
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode


@pytest.fixture
def artefacts(tmp_path):
    """What was built, and the digests as the job that built it hands them on."""
    for name in ("drift_audit-1.0.0-py3-none-any.whl", "drift_audit-1.0.0.tar.gz", "sbom.cdx.json"):
        (tmp_path / "dist").mkdir(exist_ok=True)
        (tmp_path / "dist" / name).write_text(name)
    script = step("test", "Build once").replace("make dist sbom\n", "")
    assert bash(script, tmp_path, GITHUB_OUTPUT=tmp_path / "output") == 0
    (tmp_path / "dist" / "sbom.cdx.json").unlink()
    [digests] = re.findall(
        r"digests<<END\n(.*)\nEND\n", (tmp_path / "output").read_text(), re.DOTALL
    )
    return tmp_path, digests


SPOILED = {
    "as it was": lambda dist: None,
    "changed": lambda dist: (dist / "drift_audit-1.0.0.tar.gz").write_text("other"),
    "missing": lambda dist: (dist / "drift_audit-1.0.0.tar.gz").unlink(),
    "one more": lambda dist: (dist / "drift_audit-1.0.1.tar.gz").write_text("more"),
}


@pytest.mark.parametrize("job", ["rebuild", "publish", "announce"])
@pytest.mark.parametrize("how", SPOILED)
def test_only_what_was_tested_is_published(artefacts, job, how):
    """The check of each job passes the very files; one that is other, missing or more ends it."""
    folder, digests = artefacts
    SPOILED[how](folder / "dist")
    script = step(job, "Hold them against the digests of the tested ones")

    assert bash(script, folder, DIGESTS=digests) == (0 if how == "as it was" else 1)


def test_tag_must_be_the_version(tmp_path):
    """A tag that says another version than the program ends the release."""
    script, version = step("test", "Hold the tag against the version"), "9.9.9"
    (tmp_path / "drift_audit").mkdir()
    (tmp_path / "drift_audit" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    given = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}

    assert bash(script, tmp_path, **given, GITHUB_REF_NAME=f"v{version}") == 0
    assert bash(script, tmp_path, **given, GITHUB_REF_NAME="v9.9.8") == 1


def test_what_workflows_run_is_there():
    """Every target of make, module and file that a script names exists."""
    text = "\n".join(text for _, text in scripts())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {
        t for words in re.findall(r"^ *make ([a-z ]+)$", text, re.MULTILINE) for t in words.split()
    }
    modules = re.findall(r"python -m (tests\.\w+)", text)
    named = re.findall(r"(?<![\w/.])(\.github/[\w./-]+|\.ci/\w+|requirements[\w-]*\.txt)", text)

    assert {"dist", "sbom"} <= made <= targets
    assert modules
    assert all((ROOT / f"{m.replace('.', '/')}.py").exists() for m in modules)
    assert len(named) >= 5
    assert all((ROOT / name).exists() for name in named)


def test_gate_runs_on_every_supported_python():
    """The matrix begins at the oldest Python that is supported and holds every one that is promised."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = {c.rpartition(" ")[2] for c in project["classifiers"] if ":: 3." in c}
    matrix = loaded(ROOT / CI)["jobs"]["gate"]["strategy"]["matrix"]["python"]

    assert project["requires-python"] == f">={matrix[0]}"
    assert promised <= {*matrix}


def owned():
    """The patterns of CODEOWNERS, each with an owner."""
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    assert all(len(row) >= 2 and row[1].startswith("@") for row in rows)
    return [row[0] for row in rows]


def tracked():
    """Every file of the repository."""
    found = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [b for b in below if b in {".github", ".ci"} or b[0] not in "._"]
        found += [f"/{Path(folder, name).relative_to(ROOT)}" for name in files]
    return found


def covers(pattern, name):
    """Whether CODEOWNERS means that file: a folder and all in it, or a name."""
    return name.startswith(pattern) if pattern.endswith("/") else fnmatchcase(name, pattern)


def test_what_decides_has_an_owner():
    """Workflows, baselines, policies, locks and exemptions have one, and no line speaks of nothing."""
    names, patterns = tracked(), owned()
    decides = [
        n for n in names
        if n.startswith(("/.github/", "/baselines/", "/.ci/", "/requirements"))
        or n.endswith(("/drift-audit.toml", "/pyproject.toml", "/Makefile"))
    ]  # fmt: skip

    assert len(decides) > 10
    assert [n for n in decides if not any(covers(p, n) for p in patterns)] == []
    assert [p for p in patterns if not any(covers(p, n) for n in names)] == []
