"""The documentation says what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from drift_audit.cli import COMMANDS
from drift_audit.errors import ExitCode
from drift_audit.policy import read_policy
from drift_audit.report import Report
from drift_audit.rules import RULES
from tests.command import run
from tests.test_rules import run as judged

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCKS = [
    (page, *b)
    for page in PAGES
    for b in re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)
]


def generate():
    """The program that writes the generated pages."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page", ["docs/rules.md", "docs/cases.md", "docs/cli.md", "drift_audit/rules/rules.json"]
)
def test_generated_pages_are_current(page):
    """`make docs` would write what is there."""
    assert (ROOT / page).read_text() == generate().PAGES[page]()


@pytest.mark.parametrize("arguments", [[], ["compare"], ["baseline", "promote"]])
def test_help_is_the_documented_one(arguments, tmp_path):
    """What the command prints stands in docs/cli.md."""
    ran = run(*arguments, "--help", cwd=tmp_path)

    assert f"```text\n{ran.out}```" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command, tmp_path):
    """Each help has a line that can be typed."""
    assert re.search(
        rf"^  .*drift-audit {command}", run(command, "--help", cwd=tmp_path).out, re.MULTILINE
    )


def shell_lines():
    """Every call of drift-audit in a shell block, with continued lines joined."""
    for page, language, block in BLOCKS:
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("drift-audit "):
                    yield pytest.param(line.partition("#")[0].strip(), id=f"{page.name}: {line}")


SHELL = list(shell_lines())


@pytest.mark.parametrize("line", SHELL)
def test_documented_commands_parse(line, tmp_path):
    """Commands of the pages are understood: what they end with is not a wrong command line."""
    (tmp_path / "api.revisions.json").write_text("[]")
    (tmp_path / "api.service.json").write_text("[]")
    ran = run(*shlex.split(line)[1:], cwd=tmp_path, env={"CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1"})

    assert "--help" not in ran.err
    assert ran.code != ExitCode.DEFECT
    if ran.code == ExitCode.USAGE:
        assert "no project to look at" in ran.err, ran.err


def test_there_are_documented_commands():
    """The pages were read: the check above has something to look at."""
    assert len(SHELL) >= 7


def test_exit_codes_are_documented():
    """README's table holds every exit code, and no other."""
    rows = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)

    assert sorted(int(code) for row in rows for code in row.split(",")) == sorted(ExitCode)


def test_policy_of_the_readme():
    """The policy that README shows can be read."""
    [policy] = [
        block for page, language, block in BLOCKS if language == "toml" and page.name == "README.md"
    ]

    assert read_policy(policy).scope.projects == ("shop-prod",)


def test_headline_of_the_readme():
    """README shows the verdict that the demo prints."""
    told = Report.model_validate_json((ROOT / "tests/golden/demo-report.json").read_bytes())

    assert f"{told.verdict}: {told.headline}\n" in README


def test_links():
    """Every relative link leads to a file."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_targets_of_make_are_real():
    """Every `make` target that a page names exists."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {t for page in PAGES for line in re.findall(r"^make [a-z ]+", page.read_text(), re.MULTILINE)
             for t in line.split()[1:]}  # fmt: skip

    assert {"demo", "test", "lint"} <= named <= targets


def test_change_log_counts_the_rules():
    """The number of rules in the change log is right."""
    assert f"- {len(RULES)} rules" in (ROOT / "CHANGELOG.md").read_text()


def test_gate_runs_what_the_readme_says():
    """`.ci/run` calls the test command of README."""
    assert re.search(r"^make lint test$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_places_to_extend_are_there():
    """Every module and file that CONTRIBUTING.md sends a newcomer to exists."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(
        re.findall(r"`((?:drift_audit|tests|docs|templates|\.github|\.ci)/[\w./-]+)`", page)
    )
    real = sorted(n for n in named if "NAME" not in n and "RULE-ID" not in n)

    assert {"drift_audit/renderer/__init__.py", "drift_audit/cli/attach.py"} <= named
    assert [name for name in real if not (ROOT / name).exists()] == []


def test_worked_example_is_a_rule_that_is_there():
    """The rule in CONTRIBUTING.md stands in the program, and its cases hold."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rule = next(b for _, b in re.findall(r"```(text)\n(.*?)```", page, re.DOTALL) if "rule(" in b)
    cases = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert rule in (ROOT / "drift_audit" / "rules" / "env.py").read_text()
    assert len(cases) == 2
    for case in map(yaml.safe_load, cases):
        assert [f.says for f in judged("key-moved", case)] == case["expect"]
