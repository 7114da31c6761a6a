"""What every test has."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from drift_audit.store.folder import Folder
from tests import watch
from tests.bucket import bucket
from tests.manifests import PASSWORD, SECRET, revision, service

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before anything imports grpc

settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("gate", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("proof", deadline=None, max_examples=1_000)
settings.register_profile(  # a fault that is noticed is not made smaller
    "mutants",
    deadline=None,
    max_examples=30,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("default")


@pytest.fixture(params=["folder", "bucket"])
def home(request, tmp_path):
    """Each home that a store can have, one after the other."""
    if request.param == "folder":
        yield Folder(str(tmp_path / "store"))
    else:
        with bucket() as cloud:
            yield cloud.home("some/prefix")


@pytest.fixture
def far_east(monkeypatch):
    """A machine whose day began before that of UTC."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "<+14>-14")
        time.tzset()
        yield
    time.tzset()


def pytest_addoption(parser):
    """Campaigns that run as tests hand on what they counted."""
    parser.addoption("--figures", metavar="FILE", help="write what was counted as JSON")


def pytest_sessionfinish(session):
    """Hand what was watched in this process to the one that shares the tests out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["watched"] = dict(watch.seen)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add what one of the processes has watched."""
    watch.seen.update(getattr(node, "workeroutput", {}).get("watched", {}))


def pytest_terminal_summary(terminalreporter, config):
    """Tell what was watched, zeros included."""
    if path := config.getoption("--figures"):
        Path(path).write_text(json.dumps(watch.seen))
    if watch.seen:
        terminalreporter.section("watched")
        for line in watch.told(watch.seen):
            terminalreporter.line(line)


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
