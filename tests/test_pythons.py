"""A report does not depend on the Python that wrote it: the short form, over two of one version."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pythons


@pytest.fixture
def two(tmp_path):
    """Two environments of this Python, with what this one has."""
    made = []
    for name in ("one", "other"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / name], check=True)
        [packages] = (tmp_path / name).glob("lib/python*/site-packages")
        (packages / "all.pth").write_text("\n".join(site.getsitepackages()))
        made.append(tmp_path / name / "bin" / "python")
    return made


def test_same_bytes(two, tmp_path):
    """Everything that is written is the same, and a good deal was."""
    figures, problems = pythons.campaign(two, tmp_path, pythons.documents()[::40])

    assert problems == []
    assert figures["pythons"] == 2
    assert figures["outputs"] > 30


def test_control_tool_that_tells_its_python(two, tmp_path):
    """A tool whose words are another one's under another Python is noticed."""
    figures, problems = pythons.campaign(two, tmp_path, [], pythons.TELLING)

    assert problems == ["help: stdout: 2 different ones"]
    assert figures["different"] == 1


def test_what_is_supported_is_looked_for(tmp_path, monkeypatch):
    """Every version that the package names, this one among them; what does not start is not here."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    broken = tmp_path / "python3.99"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}")

    assert version in pythons.supported()
    assert pythons.found(version)
    assert pythons.found("3.99") is None
    assert pythons.found("3.98") is None
