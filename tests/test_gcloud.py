"""The real gcloud, led to the emulator: what it reads, what it deploys, and what we read of that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any

import pytest

from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.collector.exports import Files, read
from drift_audit.collector.limits import LimitReader
from drift_audit.emulator.faults import Fault
from drift_audit.emulator.gcloud import environment
from drift_audit.emulator.server import Emulator
from drift_audit.inventory import Service
from tests.builders import sealer
from tests.command import run as drift_audit
from tests.worlds import reached, source, world

GCLOUD = shutil.which("gcloud")

pytestmark = pytest.mark.skipif(
    GCLOUD is None,
    reason="THE REAL gcloud IS NOT INSTALLED: nothing was tried with it, only with our own clients",
)

REGION = "europe-west1"
PLACE = f"projects/shop/locations/{REGION}"

INCIDENT = """
numbers: {shop: "123456789012", other: "999"}
secrets:
  - {project: shop, name: service-secret, versions: {1: enabled}}
  - {project: other, name: jwt-key, versions: {3: enabled}}
services:
  - project: shop
    region: europe-west1
    service: api
    labels: {team: api}
    traffic: [{to: api-00001-a, percent: 100}, {tag: candidate}]
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        by: one@example.com
        client: gcloud 528.0.0
        image: r/api@sha256:0000000000000000000000000000000000000000000000000000000000000001
        container: app
        connector: projects/shop/locations/europe-west1/connectors/c1
        egress: private-ranges-only
        cloud_sql: ["shop:europe-west1:db"]
        min_instances: 1
        service_account: api@shop.iam.gserviceaccount.com
        args: [--verbose]
        env:
          LOG_LEVEL: info
          EMPTY: ""
          SERVICE_SECRET: {secret: service-secret}
          JWT_SECRET_KEY: {secret: jwt-key, version: "3", project: other}
        files: {/etc/key/tls: {secret: service-secret, version: "1"}}
        sidecars: [{name: proxy, image: r/proxy, env: {A: x}}]
      - name: api-00002-b
        at: 2026-01-02T08:00:00Z
        labels: {commit-sha: 0123456789abcdef}
        env: {MORE: x}
  - project: shop
    region: europe-west4
    service: web
    revisions: [{name: web-00001-a, at: 2026-01-01T08:00:00Z, image: r/web}]
"""


class Gcloud:
    """gcloud with settings of its own, which knows of nothing but the emulator."""

    def __init__(self, emulator: Emulator, folder: Any) -> None:
        self._folder = folder
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "CLOUDSDK_CORE_PROJECT": "shop",
            **environment(emulator.rest),
        }

    def run(self, *words):
        """The whole of what a command did."""
        return subprocess.run(
            [str(GCLOUD), *words], env=self._env, cwd=self._folder, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    def __call__(self, *words):
        """What a command prints that succeeds."""
        ran = self.run(*words)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def json(self, *words):
        return json.loads(self(*words, "--format=json"))


@pytest.fixture
def gcloud(tmp_path):
    """A function from an emulator to the gcloud that talks to it."""
    return lambda emulator: Gcloud(emulator, tmp_path)


IN = f"--region={REGION}"


def test_reads(gcloud):
    """
    gcloud lists and describes revisions, services and regions, and follows pages to the last, but
    for those of regions, of which it reads the first alone.
    """
    with Emulator(world(INCIDENT, page=1)) as emulator:
        run = gcloud(emulator)
        revisions = run.json("run", "revisions", "list", "--service=api", IN)
        revision = run.json("run", "revisions", "describe", "api-00001-a", IN)
        services = run("run", "services", "list", IN, "--format=value(metadata.name)")
        service = run.json("run", "services", "describe", "api", IN)
        regions = run("run", "regions", "list", "--format=value(locationId)")
        missing = run.run("run", "revisions", "describe", "api-9", IN)
        methods = [c.method for c in emulator.calls]

    assert [r["metadata"]["name"] for r in revisions] == ["api-00002-b", "api-00001-a"]
    assert revision == revisions[1]
    assert (services.split(), regions.split()) == (["api"], [REGION])
    assert service["status"]["latestReadyRevisionName"] == "api-00002-b"
    assert (missing.returncode, "Cannot find revision [api-9]" in missing.stderr) == (1, True)
    assert methods.count("v1.Revisions/ListRevisions") == 2
    assert {c.kind for c in emulator.calls} == {"read"}


def test_secrets(gcloud):
    """gcloud reads the metadata of secrets; a payload it asks for in vain."""
    with Emulator(world(INCIDENT)) as emulator:
        run = gcloud(emulator)
        versions = run.json("secrets", "versions", "list", "service-secret")
        payload = run.run("secrets", "versions", "access", "1", "--secret=service-secret")
        kinds = [c.kind for c in emulator.calls]

    assert [v["state"] for v in versions] == ["ENABLED"]
    assert (payload.returncode, payload.stdout) == (1, "")
    assert kinds == ["read", "payload"]


LIMITED = """
numbers: {shop: "123456789012"}
databases:
  - {project: shop, region: europe-west1, database: main, flags: {max_connections: "300"}}
  - {project: shop, region: europe-west1, database: copy, primary: main, tier: db-custom-2-7680}
connectors: [{project: shop, region: europe-west1, connector: c1, max_instances: 5}]
"""


def test_databases_and_connectors(gcloud):
    """gcloud describes databases and connectors, and what it prints is what limits are read from."""
    with Emulator(world(LIMITED)) as emulator:
        run = gcloud(emulator)
        main = run.json("sql", "instances", "describe", "main")
        copy = run.json("sql", "instances", "describe", "copy")
        connectors = "compute", "networks", "vpc-access", "connectors"
        connector = run.json(*connectors, "describe", "c1", IN)
        gone = run.run("sql", "instances", "describe", "gone")
        rest = Connection(emulator.address, emulator.address, emulator.rest).rest()
        read = LimitReader(rest, Budget(time.monotonic)).read(
            ["shop:europe-west1:main"], [connector["name"]]
        )

    assert main["settings"]["databaseFlags"] == [{"name": "max_connections", "value": "300"}]
    assert (copy["instanceType"], copy["masterInstanceName"]) == (
        "READ_REPLICA_INSTANCE",
        "shop:main",
    )
    assert (connector["state"], connector["maxInstances"]) == ("READY", 5)
    assert (gone.returncode, "NOT_FOUND" in gone.stderr) == (1, True)
    assert read.databases[0].limit.most == 300
    assert read.connectors[0].max_instances == 5


def test_unreachable_region(gcloud):
    """gcloud ends with success when a region did not answer, and says so on standard error alone."""
    faults = [Fault("v1.Services/ListServices", 1, "unreachable")]
    with Emulator(world(INCIDENT), faults=faults) as emulator:
        ran = gcloud(emulator).run("run", "services", "list", "--format=value(metadata.name)")

    assert (ran.returncode, ran.stdout.split()) == (0, ["api"])
    assert "did not respond: europe-west4" in ran.stderr
    assert emulator.fired == faults


def newest(emulator: Emulator) -> dict[str, str]:
    """The keys of the newest revision, as the live collector reads them over gRPC: their states."""
    [api] = source(emulator, services=("api",)).collect().services
    main = next(r for r in api.revisions if r.revision == api.latest_created)
    return {b.key: b.state for b in main.bindings if b.container == "app"}


LITERALS = {"LOG_LEVEL": "literal", "EMPTY": "empty", "MORE": "literal"}
SECRETS = {"SERVICE_SECRET": "secret", "JWT_SECRET_KEY": "secret"}


def test_updates(gcloud):
    """
    What each flag of gcloud keeps and drops (`cloud-run-api.md` §6.1), read over gRPC after it.
    """
    with Emulator(world(INCIDENT)) as emulator:
        run = gcloud(emulator)
        found = []
        for flag in (
            "--update-env-vars=NEW=1",
            "--remove-secrets=JWT_SECRET_KEY",
            "--set-env-vars=ONLY=1",
            "--set-secrets=OTHER=service-secret:1",
        ):
            run("run", "services", "update", "api", flag, "--async", IN)
            found.append(newest(emulator))
        services = source(emulator, services=("api",))
        [api] = [services.chain(s) for s in services.collect().services]
        kinds = {c.method for c in emulator.calls if c.kind == "write"}

    one = {"SERVICE_SECRET": "secret"}
    assert found == [
        {**LITERALS, **SECRETS, "NEW": "literal"},
        {**LITERALS, **one, "NEW": "literal"},
        {**one, "ONLY": "literal"},
        {"OTHER": "secret", "ONLY": "literal"},
    ]
    assert len(api.revisions) == 6
    assert [len(r.mounts) for r in api.revisions] == [0, 1, 1, 1, 1, 1]
    assert [r.identity.creator for r in api.revisions] == ["caller@example.com"] * 4 + [
        "one@example.com"
    ] * 2
    assert {r.setting("cloud_sql.shop:europe-west1:db") for r in api.revisions} == {"attached"}
    assert kinds == {"v1.Services/ReplaceService"}


MANIFEST = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: api}
spec:
  template:
    spec:
      containers: [{name: app, image: r/api:3, env: [{name: LOG_LEVEL, value: info}]}]
"""


def test_deploy_and_replace(gcloud, tmp_path):
    """A deploy of an image keeps the rest; a replacement loses all that its file does not hold."""
    (tmp_path / "api.yaml").write_text(MANIFEST)
    with Emulator(world(INCIDENT)) as emulator:
        run = gcloud(emulator)
        run("run", "deploy", "api", "--image=r/api:2", "--no-traffic", "--tag=next", "--async", IN)
        deployed = newest(emulator)
        run("run", "services", "update-traffic", "api", "--to-latest", "--async", IN)
        [moved] = source(emulator, services=("api",)).collect().services
        run("run", "services", "replace", "api.yaml", "--async", IN)
        live = source(emulator, services=("api",))
        [api] = [live.chain(service) for service in live.collect().services]
        replaced = newest(emulator)

    assert deployed == {**LITERALS, **SECRETS}
    assert moved.serving == (moved.latest_created,)
    assert len(api.revisions) == 4
    assert replaced == {"LOG_LEVEL": "literal"}
    assert [
        [r.setting(name) for r in api.revisions[:2]]
        for name in ("cloud_sql.shop:europe-west1:db", "vpc.connector", "scaling.min_instances")
    ] == [[None, "attached"], [None, "c1"], [0, 1]]


def test_a_replacement_is_foreseen(gcloud, tmp_path):
    """What a manifest is said to change before gcloud replaces the service with it, it has changed."""
    (tmp_path / "api.yaml").write_text(MANIFEST)
    words = ("compare", "LATEST", "api.yaml", "--project=shop", IN, "--format=json")
    with Emulator(world(INCIDENT)) as emulator:
        before = drift_audit(*words, cwd=tmp_path, env=reached(emulator))
        gcloud(emulator)("run", "services", "replace", "api.yaml", "--async", IN)
        after = drift_audit(*words, cwd=tmp_path, env=reached(emulator))
    [foreseen], [left] = (json.loads(ran.out)["services"] for ran in (before, after))
    lost = {c["key"] or c["mount"] or c["setting"] for c in foreseen["changes"]}

    assert (before.code, after.code) == (10, 0), after.block
    assert {"SERVICE_SECRET", "JWT_SECRET_KEY", "/etc/key/tls", "vpc.connector"} <= lost
    assert {"service.label.team", "service.traffic", "scaling.min_instances"} <= lost
    assert left["changes"] == []


def test_lost_race(gcloud):
    """Who deploys what has moved on meanwhile is refused, with both versions, and drops nothing."""
    faults = [Fault("v1.Services/GetService", 1, "generation-bump")]
    with Emulator(world(INCIDENT), faults=faults) as emulator:
        ran = gcloud(emulator).run(
            "run", "services", "update", "api", "--clear-secrets", "--async", IN
        )
        after = newest(emulator)

    assert ran.returncode == 1
    assert "was specified but current version is" in ran.stderr
    assert after == {**LITERALS, **SECRETS}
    assert emulator.fired == faults


def test_files_of_gcloud_equal_the_live_collection(gcloud, tmp_path):
    """What gcloud exports and what the live collector reads of one world are the same services."""
    with Emulator(world(INCIDENT)) as emulator:
        run = gcloud(emulator)
        run("run", "services", "update", "api", "--update-env-vars=NEW=1", "--async", IN)
        for name, words in {
            "revisions": ("run", "revisions", "list", "--service=api"),
            "service": ("run", "services", "describe", "api"),
        }.items():
            (tmp_path / f"{name}.json").write_text(run(*words, IN, "--format=json"))
        live = source(emulator, services=("api",))
        [found] = [live.chain(s) for s in live.collect().services]
    documents = [read(str(tmp_path / f"{n}.json")) for n in ("service", "revisions")]
    [offline] = Files([d.named("shop", REGION) for d in documents], sealer()).collect().services

    assert comparable(found) == comparable(offline, numbers={"999": "other"})


ALONE = {
    "client", "client_version", "image_digest", "health_check_disabled",  # of revisions, only in v1
    "launch_stage",  # of revisions, only in v2
    "generation",  # of a revision: v1 has that of the service, v2 its own
    "version_state", "resolved", "project_number",  # of secrets: files of Cloud Run do not tell
    "ignored",  # which noise there was
}  # fmt: skip


def comparable(service: Service, numbers: Any = ()) -> Any:
    """
    A service without what v1 or v2 alone can tell. v1 names other projects by number, and only that.
    """
    told = json.loads(service.model_dump_json())
    del told["uid"]  # that of v1 is not known to be the one of v2
    return _without(told, dict(numbers))


def _without(node: Any, numbers: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {k: _without(v, numbers) for k, v in node.items() if k not in ALONE}
    if isinstance(node, list):
        named = (v for v in node if not (isinstance(v, dict) and v.get("name") in ALONE))
        return [_without(v, numbers) for v in named]
    return numbers.get(node, node) if isinstance(node, str) else node
