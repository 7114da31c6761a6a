"""Nothing that a library, a debugger or the system writes of this process holds a plain value."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
import pkgutil
import subprocess
import sys
import typing
from dataclasses import dataclass

import pytest

import drift_audit.collector
from drift_audit import quiet
from drift_audit.collector import exports
from drift_audit.collector.fields import Unread
from drift_audit.seal import Sealer, SealKey
from drift_audit.strict import Node
from tests.canary import leaks
from tests.command import environment, run
from tests.manifests import CANARY, PASSWORD, service, v2
from tests.worlds import playing, reached, world

WORLD = f"""
secrets: [{{project: shop, name: jwt, versions: {{1: enabled}}}}]
services:
  - project: shop
    region: europe-west1
    service: api
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api
        args: ["--token={CANARY}"]
        env: {{DB_PASSWORD: {CANARY}, JWT: {{secret: jwt, version: "1"}}}}
"""
SCOPE = ["--project=shop", "--region=europe-west1"]
SCOPES = ["google", "google.cloud.run_v2", "google.cloud.run_v2.services.services.transports.grpc"]
LOUD = "GOOGLE_SDK_PYTHON_LOGGING_SCOPE"

READ = """
import sys
{imports}
client = {client}
print(len(list(client.list_services(parent="projects/shop/locations/europe-west1"))))
"""
"""Someone else's program, which lists services and prints how many."""

WITH_GOOGLE = {
    "imports": """
import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport as Transport
""",
    "client": "run_v2.ServicesClient(transport=Transport(channel=grpc.insecure_channel(sys.argv[1])))",
}
WITH_US = {
    "imports": """
from google.cloud import run_v2
from drift_audit.collector.connection import Connection
""",
    "client": "Connection(run_emulator=sys.argv[1]).cloud_run().services",
}


def reads(folder, scope, program):
    """How that program ended when google's library was asked to log."""
    with playing(WORLD) as emulator:
        return subprocess.run(
            [sys.executable, "-c", READ.format(**program), emulator.address],
            cwd=folder, env=environment(folder, {LOUD: scope}), capture_output=True, check=True,
        )  # fmt: skip


@pytest.mark.parametrize("scope", SCOPES)
def test_debugging_google_shows_no_value(tmp_path, scope):
    """Whoever asks google's libraries for their log gets that of this program, without values."""
    with playing(WORLD) as emulator:
        env = {**reached(emulator), LOUD: scope, "GRPC_VERBOSITY": "debug", "GRPC_TRACE": "all"}
        ran = run("audit", *SCOPE, "--verbosity=debug", cwd=tmp_path, env=env)

    assert "list services of projects/shop/locations/europe-west1" in ran.err, ran.block
    assert leaks(ran.block.encode(), [CANARY]) == []


@pytest.mark.parametrize("scope", SCOPES)
def test_control_google_logs_values(tmp_path, scope):
    """The same variable makes a program that does nothing about it print every value."""
    ran = reads(tmp_path, scope, WITH_GOOGLE)

    assert ran.stdout == b"1\n"
    assert "plain" in leaks(ran.stderr, [CANARY])


@pytest.mark.parametrize("scope", SCOPES)
def test_parts_of_this_program_are_silent_too(tmp_path, scope):
    """Who uses the collector alone is as safe, even if google's clients were loaded before it."""
    ran = reads(tmp_path, scope, WITH_US)

    assert ran.stdout == b"1\n"
    assert leaks(ran.stderr, [CANARY]) == []


def test_libraries_are_held():
    """Logs of libraries begin at warnings, and what was quieter than that stays so."""
    loud, still = logging.getLogger("urllib3.some.part"), logging.getLogger("grpc.another")
    loud.setLevel(logging.DEBUG)
    still.setLevel(logging.ERROR)
    quiet.hush()

    assert (loud.level, still.level) == (logging.WARNING, logging.ERROR)
    assert {logging.getLogger(n).isEnabledFor(logging.INFO) for n in quiet.LIBRARIES} == {False}


@pytest.mark.parametrize(
    ("first", "limits"), [("_lock_down()", "(0, 0)"), ("pass", "(4096, 4096)")]
)
def test_no_core_dumps(tmp_path, first, limits):
    """A process that locked itself down leaves no core behind; the other line is the control."""
    told = (
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096));"
        f"from drift_audit.__main__ import _lock_down; {first};"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", told],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert ran.stdout.strip() == limits


def test_lock_down_without_limits(tmp_path):
    """Where the platform has no limits, the program starts all the same."""
    told = (
        "import sys; sys.modules['resource'] = None;"
        "from drift_audit.__main__ import _lock_down; _lock_down(); print('started')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", told],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert ran.stdout == "started\n"


WATCHER = """
open({noted!r}, "w").close()


class Watcher:
    def new_schema_validator(self, *_):
        return None, None, None


watcher = Watcher()
"""
"""A plugin of pydantic, which leaves a file where it is loaded."""


@pytest.mark.parametrize(
    ("starts", "watched"),
    [
        (["-m", "drift_audit", "demo"], False),
        (["-c", "import drift_audit.snapshot"], True),
    ],
    ids=["command", "control"],
)
def test_nothing_watches_what_is_validated(tmp_path, starts, watched):
    """What other packages offer to pydantic is not loaded by the command; the control loads it."""
    noted, offered = tmp_path / "noted", tmp_path / "offered"
    (offered / "watcher-1.dist-info").mkdir(parents=True)
    (offered / "watcher.py").write_text(WATCHER.format(noted=str(noted)))
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: watcher\nVersion: 1\n",
        "entry_points.txt": "[pydantic]\nwatcher = watcher:watcher\n",
    }
    for name, text in about.items():
        (offered / "watcher-1.dist-info" / name).write_text(text)
    env = environment(tmp_path)
    path = os.pathsep.join(filter(None, [str(offered), env.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, *starts],
        cwd=tmp_path, env=env | {"PYTHONPATH": path}, capture_output=True, check=True,
    )  # fmt: skip

    assert noted.exists() is watched


def documents():
    """What files hold, in both shapes, with a value in every place that can have one."""
    status = {"conditions": [{"type": "Ready", "status": "True", "message": CANARY}]}
    knative = service(env=[PASSWORD], annotations={"x": CANARY}, status=status)
    container = {"image": "i", "args": [CANARY], "env": [PASSWORD], "unheard": CANARY}
    return [
        json.dumps(knative),
        json.dumps(v2(template={"containers": [container]}, annotations={"x": CANARY}, odd=CANARY)),
    ]


@pytest.mark.parametrize("text", documents())
def test_what_was_read_prints_without_values(tmp_path, text):
    """Documents and resources that hold plain values are printed without them."""
    (tmp_path / "file.json").write_text(text)
    found = exports.read(str(tmp_path / "file.json"))
    [(_, resource)] = found.resources

    assert CANARY in json.dumps(resource.template)
    assert "api" in repr(resource)
    for one in (repr(found), repr(resource), f"{resource}", repr([Unread(("env", 0), CANARY)])):
        assert leaks(one.encode(), [CANARY]) == []


def test_keys_and_worlds_print_without_values():
    """Nor does a key, what seals with it, or a world whose revisions hold values."""
    key = SealKey(CANARY.encode().ljust(32), lasting=True)
    told = repr([key, Sealer(key, reveal=[]), world(WORLD)])

    assert "api-00001-a" in told
    assert leaks(told.encode(), [CANARY, key.text]) == []


def shown(of):
    """The fields of a dataclass that are printed although they hold documents."""
    hints = typing.get_type_hints(of)
    raw = {
        Node,
        dict[str, typing.Any],
        typing.Mapping[str, typing.Any],
        dict[str, typing.Any] | None,
    }
    return [f.name for f in dataclasses.fields(of) if f.repr and hints[f.name] in raw]


@dataclass
class Careless:
    """What the next test must notice."""

    document: dict[str, typing.Any]


NO_DOCUMENTS = {("Listing", "request"), ("Resource", "shape")}
"""Requests hold names alone, and shapes say which fields are known."""


def test_raw_fields_are_not_printed():
    """No dataclass of the collector prints a field that holds a document as it was read."""
    paths = drift_audit.collector.__path__
    modules = [
        importlib.import_module(f"drift_audit.collector.{m.name}")
        for m in pkgutil.iter_modules(paths)
    ]
    classes = {
        c
        for m in modules
        for c in vars(m).values()
        if isinstance(c, type) and dataclasses.is_dataclass(c)
    }
    found = {(c.__name__, name) for c in classes for name in shown(c)}

    assert shown(Careless) == ["document"]
    assert len(classes) >= 8
    assert found - NO_DOCUMENTS == set()
