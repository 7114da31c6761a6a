"""
What a newcomer does who has read README from the top: clone, demo, a gate that blocks, a report for the
pull request. No credentials, an empty home, and nothing that README does not say.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import environment

ROOT = Path(__file__).parents[1]
TRY_IT = (ROOT / "README.md").read_text().partition("## Try it\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", TRY_IT, re.DOTALL)
BUILT = "requirements-dev.txt", "pyproject.toml"


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """
    How each block of commands ended, one shell for all. What `make` installs is there already: it is
    what runs this test, and the gate makes it from nothing.
    """
    home = tmp_path_factory.mktemp("newcomer")
    clone = home / "drift-audit"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    (clone / ".venv" / ".ready").touch()
    for name in BUILT:
        os.utime(clone / name, (0, 0))
    script = "".join(f'{block}printf "\\0%s\\0" $?\n' for block in BLOCKS)
    env = environment(home, {"PYTHONPATH": str(clone), "HOME": str(home)})
    done = subprocess.run(
        ["bash"], input=script, cwd=clone, env=env, capture_output=True, text=True, check=False
    )
    told = done.stdout.split("\0")
    return clone, list(zip(told[::2], map(int, told[1::2]), strict=False)), done.stderr


def test_every_step_ends_as_readme_says(walked):
    """The demo ends with 0, the promotion too, the gate with 10, the dry run and the mended gate with 0."""
    _, steps, errors = walked

    assert [code for _, code in steps] == [0, 0, 10, 0, 0], errors
    assert "Traceback" not in errors


def test_what_is_said_on_the_way(walked):
    """The gate names the key and the command that restores it, and the comment says the same."""
    _, [demo, promoted, blocked, comment, mended], _ = walked

    assert "drops 2 keys that netra-backend-staging-00611-cr5 had" in demo[0]
    assert "is the baseline of shop/europe-west1/api" in promoted[0]
    assert "api drops 1 key that the reference had: JWT_SECRET_KEY" in blocked[0]
    assert "--update-secrets=JWT_SECRET_KEY=jwt:7" in blocked[0]
    assert "api drops 1 key that the reference had: <code>JWT_SECRET_KEY</code>" in comment[0]
    assert mended[0].startswith("CLEAN")


def test_what_is_left(walked):
    """The pages of the demo and those of the gate, each where README says."""
    clone, _, _ = walked

    for name in ("report.html", "report.md", "report.json", "try/report.html", "try/report.json"):
        assert (clone / name).stat().st_size > 1_000
    assert not list(clone.rglob("*.tmp"))
