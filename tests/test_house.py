"""The house holds: who may import whom, how modules are named, and checks that can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests import gate
from tests.command import environment

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "drift_audit"
BIN = Path(sys.executable).parent
FORBIDDEN = {"utils", "core", "models", "helpers", "manager", "common", "misc"}
LINES = 420


def test_modules_are_named_by_what_they_hold():
    """No module is called after nothing, and none is too long to be read."""
    modules = list(PACKAGE.rglob("*.py"))

    assert len(modules) > 50
    assert FORBIDDEN & {m.stem for m in modules} == set()
    assert [m.name for m in modules if len(m.read_text().splitlines()) > LINES] == []


def copied(folder):
    """The package and its settings in another folder, to be spoiled."""
    shutil.copytree(PACKAGE, folder / "drift_audit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("rules/env.py", "import os", "The core is pure"),
        ("report.py", "import click", "The core is pure"),
        (
            "rules/env.py",
            "import grpc",
            "Nothing outside collector, emulator and the bucket knows google",
        ),
        ("audit.py", "import deepdiff", "Only the differ knows deepdiff"),
        ("seal.py", "import detect_secrets", "Only the patterns know detect_secrets"),
        ("cli/attach.py", "import apprise", "Only the sinks know the clients"),
        ("sinks/door.py", "import drift_audit.renderer.html", "The house has floors"),
        ("snapshot.py", "import drift_audit.report", "The house has floors"),
        ("collector/budget.py", "import drift_audit.renderer", "The house has floors"),
        ("files.py", "import drift_audit.store.folder", "Files and documents are doors"),
    ],
)
def test_control_import_contracts(module, line, contract, tmp_path):
    """An import that the house forbids breaks the contract that forbids it."""
    copied(tmp_path)
    with (tmp_path / "drift_audit" / module).open("a") as file:
        file.write(f"\n{line}\n")
    env = {**environment(tmp_path, measured=False), "PYTHONPATH": str(tmp_path)}
    command = [str(BIN / "lint-imports"), "--no-cache"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    broken = [row for row in ran.stdout.splitlines() if " BROKEN" in row]

    assert ran.returncode == 1
    assert any(row.startswith(contract) for row in broken), ran.stdout


@pytest.mark.parametrize(
    "line",
    [
        "import datetime as dt\n\nNOW = dt.datetime.now(dt.UTC)",
        "import os\n\nHOME = os.environ",
        "import yaml\n\nread = yaml.safe_load",
        "import pickle\n\nread = pickle.loads",
    ],
)
def test_control_banned_calls(line, tmp_path):
    """A module of the core that asks the clock, the environment or a loose loader is refused."""
    copied(tmp_path)
    (tmp_path / "drift_audit" / "spoiled.py").write_text(f'"""Spoiled."""\n\n{line}\n')
    command = [str(BIN / "ruff"), "check", "--no-cache", "drift_audit/spoiled.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "TID251" in ran.stdout


def test_gate_tells_what_was_skipped(capsys):
    """The gate counts what ran, names what did not, and why, and says where the time went."""
    results = ET.fromstring(
        '<testsuite><testcase classname="a" name="ran" time="2.1"/><testcase classname="b" name="not">'
        '<skipped message="no such program"/></testcase></testsuite>'
    )
    failed = gate.tell([*results])

    assert failed == 0
    assert capsys.readouterr().out == (
        "\n1 tests ran, 1 were skipped\n  skipped: b.not: no such program\nslowest: a 2 s, b 0 s\n"
    )


def test_control_gate_fails_without_tests(capsys):
    """A run in which no test ran is a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", "no_test_is_called_this"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)

    assert ran.returncode == 5
    assert gate.tell([]) == 1
    assert "no test ran" in capsys.readouterr().out
