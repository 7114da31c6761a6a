"""The demo: the founding incident, told by the report alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from drift_audit import files
from drift_audit.cli.demo import KEY
from drift_audit.collector.api import Location
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import load_world
from drift_audit.policy import FILE, read_policy
from drift_audit.report import Report
from drift_audit.seal import Sealer
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests import watch
from tests.command import run
from tests.worlds import source

GOLDEN = Path(__file__).parent / "golden"
EXAMPLE = files.shipped("templates") / "demo"
PLACE = Location("netra-staging", "us-central1")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once as a user runs it."""
    folder = tmp_path_factory.mktemp("demo")
    ran = run("demo", cwd=folder)
    return folder, ran


def test_ends_with_zero(demo):
    """A first look must not fail; what it says is short and names the files."""
    folder, ran = demo

    assert ran.block == (
        "exit 0\n--- stdout\n"
        "drift: netra-backend-staging-00639-g4g drops 2 keys that netra-backend-staging-00611-cr5 had:"
        " JWT_SECRET_KEY, SERVICE_SECRET; since netra-backend-staging-00624-nk8\n"
        "wrote report.html\nwrote report.md\nwrote report.json\n"
        "open report.html in a browser, or: drift-audit render report.json\n"
        "--- stderr\n"
    )
    assert sorted(p.name for p in folder.iterdir() if p.suffix) == [
        "report.html",
        "report.json",
        "report.md",
    ]


def test_real_exit(tmp_path):
    """Who asks for it gets the code of the audit; the files go where they are wanted."""
    (tmp_path / "out").mkdir()
    ran = run("demo", "--real-exit", "--directory=out", cwd=tmp_path)

    assert ran.code == 10
    assert (tmp_path / "out/report.html").exists()


def test_report_tells_the_incident(demo):
    """Both keys, from which revision on, by whom, how, the reference, and the timeout on the way."""
    folder, _ = demo
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    backend = next(s for s in report.services if s.service == "netra-backend-staging")
    lost = {f.address.key: f for f in backend.findings if f.rule == "key-lost"}
    timeout = next(f for f in backend.findings if f.rule == "literal-changed")

    assert (backend.reference, backend.candidate) == (
        "netra-backend-staging-00611-cr5",
        "netra-backend-staging-00639-g4g",
    )
    assert lost.keys() == {"SERVICE_SECRET", "JWT_SECRET_KEY"}
    assert {(f.first_seen.revision, f.first_seen.creator) for f in lost.values()} == {
        ("netra-backend-staging-00624-nk8", "raj@example.com")
    }
    assert {f.cause.command for f in lost.values()} == {"gcloud run deploy with --set-secrets"}
    assert timeout.says == "the plain value of DB_TIMEOUT changed from 8.0 to 75.0"
    assert (
        "--update-secrets=JWT_SECRET_KEY=jwt-secret-staging:2,SERVICE_SECRET=service-secret-staging:3"
        in (backend.remedy.restore)
    )


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json", "report.txt"])
def test_golden(demo, name, file_regression):
    """What people see, whole."""
    folder, _ = demo
    if name == "report.txt":
        run("render", "report.json", "-o", name, cwd=folder)
    text = (folder / name).read_text()

    file_regression.check(text, fullpath=GOLDEN / f"demo-{name}", encoding="utf-8")


def test_world_has_the_whole_chain():
    """All 29 revisions are there, each with a build of its own, by several people and clients."""
    backend = next(
        s for s in load_world(str(EXAMPLE / "world.yaml")).services if "backend" in s.service
    )
    whole = backend.whole()

    assert [r.name.split("-")[3] for r in whole] == [f"{n:05}" for n in range(611, 640)]
    assert len({r.image for r in whole}) == 29
    assert len({r.labels["gcb-build-id"] for r in whole}) == 29
    assert len({r.by for r in whole}) >= 3
    assert {r.client for r in whole} == {"gcloud 528.0.0", "cloud-console"}
    assert [(str(r.at), r.name) for r in (whole[0], whole[-1])] == [
        ("2025-09-14 17:49:12+00:00", "netra-backend-staging-00611-cr5"),
        ("2025-09-15 00:43:37+00:00", "netra-backend-staging-00639-g4g"),
    ]


def test_shipped_baselines_are_those_of_the_world():
    """The example baselines are what promoting the world's revisions gives."""
    policy = read_policy((EXAMPLE / FILE).read_text())
    store = Baselines(Folder(str(files.shipped("baselines"))))
    with Emulator(load_world(str(EXAMPLE / "world.yaml"))) as emulator, watch.over(emulator):
        live = source(
            emulator, place=PLACE, seal=Sealer(KEY, reveal=policy.reveal, numbers=policy.numbers)
        )
        for service in [live.chain(s) for s in live.collect().services]:
            stored = store.read(service.address)
            now = live.resolve(service.revision(stored.snapshot.identity.revision))

            assert stored.snapshot == now.but(service=service.settings)
