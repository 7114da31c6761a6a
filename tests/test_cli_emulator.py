"""`drift-audit emulator`, as a process of its own: what it prints, and who can talk to it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import requests

from drift_audit.collector.connection import Connection
from drift_audit.emulator.faults import CODES, KINDS
from drift_audit.emulator.gcloud import environment as of_gcloud
from tests.command import environment, run
from tests.worlds import SHOP


@pytest.fixture
def serving(tmp_path):
    """A function that starts the command with some words, and gives the variables it prints."""
    (tmp_path / "world.yaml").write_text(SHOP)
    started = []

    def start(*words, lines):
        process = subprocess.Popen(
            [sys.executable, "-m", "drift_audit", "emulator", "--world=world.yaml", *words],
            cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        told = [process.stdout.readline().decode() for _ in range(lines)]
        return dict(line.removeprefix("export ").strip().split("=", 1) for line in told)

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_serves_over_grpc_and_http(serving):
    """It prints where both are, and the same services are there; a fault happens in its turn."""
    told = serving("--fault=Services/ListServices:2:NOT_FOUND", lines=3)
    services = Connection(told["CLOUD_RUN_EMULATOR_HOST"]).cloud_run().services
    place = "projects/shop/locations/europe-west1"
    listed = [s.name for s in services.list_services(parent=place)]
    url = f"http://{told['CLOUD_RUN_EMULATOR_REST_HOST']}/v2/{place}/services"
    second = requests.get(url, timeout=5)
    third = requests.get(url, timeout=5)

    assert list(told) == [
        "CLOUD_RUN_EMULATOR_HOST",
        "SECRET_MANAGER_EMULATOR_HOST",
        "CLOUD_RUN_EMULATOR_REST_HOST",
    ]
    assert second.json()["error"]["status"] == "NOT_FOUND"
    assert [s["name"] for s in third.json()["services"]] == listed


def test_variables_for_gcloud(serving):
    """On demand it prints all that gcloud needs, with settings of its own."""
    count = len(of_gcloud("h:1"))
    told = serving("--gcloud", lines=count + 4)
    rest = told["CLOUD_RUN_EMULATOR_REST_HOST"]

    assert told["CLOUDSDK_CONFIG"] == '"$(mktemp -d)"'
    assert told.items() >= of_gcloud(rest).items()
    assert told["CLOUDSDK_PROXY_PORT"] == rest.rpartition(":")[2]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "nonsense",
            "--fault: a fault is written RPC:N:KIND, or RPC:N+:KIND for all from the N-th",
        ),
        ("Services/ListServices:1:boom", "--fault: no such fault: boom"),
        ("Services/List:1:hang", "the fault Services/List:1:hang is of an rpc that is not served"),
    ],
)
def test_bad_faults(tmp_path, fault, message):
    """A fault that cannot be is a wrong command line."""
    (tmp_path / "world.yaml").write_text(SHOP)
    ran = run("emulator", "--world=world.yaml", f"--fault={fault}", cwd=tmp_path)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_help_names_every_kind(tmp_path):
    """Every kind of fault stands in the help."""
    ran = run("emulator", "--help", cwd=tmp_path)

    assert [kind for kind in KINDS - CODES if kind not in ran.out] == []
