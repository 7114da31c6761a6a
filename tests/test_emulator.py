"""The emulator: answers as the real services do, as far as our clients can see."""

from __future__ import annotations

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import run_v2, secretmanager_v1
from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport
from google.cloud.run_v2.services.worker_pools.transports import WorkerPoolsGrpcTransport

from drift_audit.collector.connection import Connection
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import load_world, read_world
from drift_audit.errors import CommandError, InputError
from tests.worlds import playing, world

NAME = "projects/shop/locations/europe-west1"


def clients(emulator):
    connection = Connection(emulator.address, emulator.address)
    run = connection.cloud_run()
    return run.services, run.revisions, connection.secret_manager()


def test_lists_page_newest_first():
    """Lists come in pages, newest first, and the wildcard lists every service of a location."""
    with playing(watched=False, page=2) as emulator:
        _, revisions, _ = clients(emulator)
        one = [
            r.name.rpartition("/")[2]
            for r in revisions.list_revisions(parent=f"{NAME}/services/api")
        ]
        every = list(revisions.list_revisions(parent=f"{NAME}/services/-"))
        calls = [c.method for c in emulator.calls]

    assert one == ["api-00003-c", "api-00002-b", "api-00001-a"]
    assert len(every) == 4
    assert calls.count("Revisions/ListRevisions") == 4


def test_services():
    """Services are listed by location and got by name."""
    with playing(watched=False) as emulator:
        services, revisions, _ = clients(emulator)
        listed = [s.name for s in services.list_services(parent=NAME)]
        got = services.get_service(name=f"{NAME}/services/api")
        revision = revisions.get_revision(name=f"{NAME}/services/api/revisions/api-00001-a")

    assert listed == [f"{NAME}/services/api", f"{NAME}/services/web"]
    assert got.latest_ready_revision.endswith("api-00002-b")
    assert [t.tag for t in got.traffic_statuses] == ["", "candidate"]
    assert revision.creator == "one@example.com"


CALLS = {
    "wildcard location": (
        lambda s, r, m: s.list_services(parent="projects/shop/locations/-"),
        exceptions.InvalidArgument,
    ),
    "unknown service": (
        lambda s, r, m: s.get_service(name=f"{NAME}/services/x"),
        exceptions.NotFound,
    ),
    "revisions of an unknown service": (
        lambda s, r, m: r.list_revisions(parent=f"{NAME}/services/x"),
        exceptions.NotFound,
    ),
    "unknown revision": (
        lambda s, r, m: r.get_revision(name=f"{NAME}/services/api/revisions/x"),
        exceptions.NotFound,
    ),
    "invented token": (
        lambda s, r, m: s.list_services(
            request=run_v2.ListServicesRequest(parent=NAME, page_token="mine")
        ),
        exceptions.InvalidArgument,
    ),
    "unknown secret": (
        lambda s, r, m: m.get_secret(name="projects/shop/secrets/x"),
        exceptions.NotFound,
    ),
    "unknown version": (
        lambda s, r, m: m.get_secret_version(name="projects/shop/secrets/jwt/versions/9"),
        exceptions.NotFound,
    ),
    "unknown alias": (
        lambda s, r, m: m.get_secret_version(name="projects/shop/secrets/jwt/versions/nope"),
        exceptions.NotFound,
    ),
    "latest of nothing": (
        lambda s, r, m: m.get_secret_version(name="projects/shop/secrets/empty/versions/latest"),
        exceptions.NotFound,
    ),
    "a payload": (
        lambda s, r, m: m.access_secret_version(name="projects/shop/secrets/jwt/versions/3"),
        exceptions.PermissionDenied,
    ),
    "a write": (
        lambda s, r, m: s.delete_service(name=f"{NAME}/services/api"),
        exceptions.PermissionDenied,
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_status_codes(what):
    """What is not there, not allowed or not understood has the real status code."""
    call, error = CALLS[what]
    with playing(watched=False) as emulator, pytest.raises(error):
        call(*clients(emulator))


def test_secret_metadata():
    """Secrets are listed and got, versions newest first; answers name the project by number."""
    with playing(watched=False) as emulator:
        secrets = clients(emulator)[2]
        listed = [s.name for s in secrets.list_secrets(parent="projects/shop")]
        got = secrets.get_secret(name="projects/123456789012/secrets/jwt")
        versions = secrets.list_secret_versions(parent="projects/shop/secrets/jwt")
        states = [(v.name.rpartition("/")[2], v.state.name) for v in versions]
        resolved = [
            secrets.get_secret_version(name=f"projects/shop/secrets/jwt/versions/{v}").name
            for v in ("latest", "prod", "1")
        ]

    assert listed == ["projects/123456789012/secrets/jwt", "projects/123456789012/secrets/empty"]
    assert dict(got.version_aliases) == {"prod": 2}
    assert states == [("3", "ENABLED"), ("2", "DISABLED"), ("1", "DESTROYED")]
    assert [name.rpartition("/")[2] for name in resolved] == ["3", "2", "1"]


MORE = """
numbers: {shop: "123456789012"}
secrets:
  - project: shop
    name: jwt
    versions: {1: enabled, 2: enabled}
    created: 2026-01-01T00:00:00Z
    expires: 2027-01-01T00:00:00Z
    rotates: {next: 2026-06-01T00:00:00Z, period: 86400}
    scheduled: {1: 2026-02-01T00:00:00Z}
    accessors: ["serviceAccount:api@shop.iam.gserviceaccount.com"]
services:
  - project: shop
    region: europe-west1
    service: api
    revisions: [{name: api-00001-a, at: 2026-01-01T08:00:00Z, image: r/api}]
  - project: shop
    region: europe-west4
    service: api
    revisions: [{name: api-00001-a, at: 2026-01-01T08:00:00Z, image: r/api}]
worker_pools:
  - project: shop
    region: europe-west1
    worker_pool: mailer
    instances: 3
    splits: [{to: mailer-00001-a, percent: 40}, {percent: 60}]
    revisions:
      - {name: mailer-00001-a, at: 2026-01-01T08:00:00Z, image: r/mailer, env: {JWT: {secret: jwt}}}
      - {name: mailer-00002-b, at: 2026-01-02T08:00:00Z, env: {MODE: fast}}
jobs:
  - project: shop
    region: europe-west1
    job: nightly
    at: 2026-01-01T08:00:00Z
    by: one@example.com
    image: r/nightly
    labels: {team: data}
    env: {JWT: {secret: jwt, version: "1"}}
    files: {/etc/key/tls: {secret: jwt}}
    tasks: 5
    parallelism: 2
    max_retries: 0
"""


def pools_and_jobs(emulator):
    """Clients of worker pools and jobs."""
    channel = grpc.insecure_channel(emulator.address)
    return (
        run_v2.WorkerPoolsClient(transport=WorkerPoolsGrpcTransport(channel=channel)),
        run_v2.JobsClient(transport=JobsGrpcTransport(channel=channel)),
    )


def test_worker_pools():
    """Worker pools have revisions and splits of instances; no requests reach them."""
    with playing(MORE, watched=False) as emulator:
        pools, _ = pools_and_jobs(emulator)
        _, revisions, _ = clients(emulator)
        [pool] = pools.list_worker_pools(parent=NAME)
        got = pools.get_worker_pool(name=f"{NAME}/workerPools/mailer")
        listed = list(revisions.list_revisions(parent=f"{NAME}/workerPools/mailer"))
        every = list(revisions.list_revisions(parent=f"{NAME}/workerPools/-"))
        of_services = list(revisions.list_revisions(parent=f"{NAME}/services/-"))
        one = revisions.get_revision(name=f"{NAME}/workerPools/mailer/revisions/mailer-00001-a")

    assert pool == got
    assert pool.scaling.manual_instance_count == 3
    assert [(s.revision, s.percent) for s in pool.instance_splits] == [
        ("mailer-00001-a", 40),
        ("", 60),
    ]
    assert [r.name.rpartition("/")[2] for r in listed] == ["mailer-00002-b", "mailer-00001-a"]
    assert listed == every
    assert [e.name for e in listed[0].containers[0].env] == ["JWT", "MODE"]
    assert (listed[0].containers[0].ports, one.containers[0].env[0].name) == ([], "JWT")
    assert len(of_services) == 1


def test_jobs():
    """Jobs hold one configuration, and no revisions."""
    with playing(MORE, watched=False) as emulator:
        _, jobs = pools_and_jobs(emulator)
        [job] = jobs.list_jobs(parent=NAME)
        got = jobs.get_job(name=f"{NAME}/jobs/nightly")
        with pytest.raises(exceptions.NotFound):
            jobs.get_job(name=f"{NAME}/jobs/weekly")
    task = job.template.template

    assert job == got
    assert (job.labels["team"], job.creator) == ("data", "one@example.com")
    assert (job.template.task_count, job.template.parallelism, task.max_retries) == (5, 2, 0)
    assert task.containers[0].env[0].value_source.secret_key_ref.version == "1"
    assert task.volumes[0].secret.secret == "jwt"


def test_every_resource_has_its_own_identity():
    """The same names in two regions are two things; a generation stands beside what was observed."""
    with playing(MORE, watched=False) as emulator:
        services, revisions, _ = clients(emulator)
        names = [f"projects/shop/locations/europe-west{n}/services/api" for n in (1, 4)]
        got = [services.get_service(name=name) for name in names]
        uids = {s.uid for s in got} | {
            r.uid for n in names for r in revisions.list_revisions(parent=n)
        }

    assert len(uids) == 4
    assert {(s.generation, s.observed_generation) for s in got} == {(1, 1)}
    assert got[0].terminal_condition.state.name == "CONDITION_SUCCEEDED"


def test_lives_of_secrets():
    """Secrets tell when they end, when they rotate, and which version is to be destroyed when."""
    with playing(MORE, watched=False) as emulator:
        secrets = clients(emulator)[2]
        secret = secrets.get_secret(name="projects/shop/secrets/jwt")
        versions = list(secrets.list_secret_versions(parent="projects/shop/secrets/jwt"))

    assert (str(secret.create_time.date()), str(secret.expire_time.date())) == (
        "2026-01-01",
        "2027-01-01",
    )
    assert str(secret.rotation.next_rotation_time.date()) == "2026-06-01"
    assert secret.rotation.rotation_period.total_seconds() == 86_400
    assert ["scheduled_destroy_time" in v for v in versions] == [False, True]
    assert len({v.etag for v in versions}) == 2


def test_policies_of_secrets():
    """Who may read a secret stands in its policy; what the caller may do can be asked by anyone."""
    asked = ["secretmanager.versions.access", "secretmanager.versions.get"]
    one = "projects/shop/secrets/jwt"
    with playing(MORE, watched=False) as emulator:
        secrets = clients(emulator)[2]
        [binding] = secrets.get_iam_policy(request={"resource": one}).bindings
        held = secrets.test_iam_permissions(request={"resource": one, "permissions": asked})
    with playing(MORE, watched=False, denied=[one]) as emulator:
        secrets = clients(emulator)[2]
        none = secrets.test_iam_permissions(request={"resource": one, "permissions": asked})
        with pytest.raises(exceptions.PermissionDenied):
            secrets.get_iam_policy(request={"resource": one})

    assert binding.role == "roles/secretmanager.secretAccessor"
    assert list(binding.members) == ["serviceAccount:api@shop.iam.gserviceaccount.com"]
    assert (list(held.permissions), list(none.permissions)) == ([asked[1]], [])


def test_kinds_of_calls():
    """Calls that write and calls for payloads are told apart from those that read."""
    with playing(watched=False) as emulator:
        services, _, secrets = clients(emulator)
        services.get_service(name=f"{NAME}/services/api")
        with pytest.raises(exceptions.PermissionDenied):
            services.update_service(service=run_v2.Service(name=f"{NAME}/services/api"))
        with pytest.raises(exceptions.PermissionDenied):
            secrets.access_secret_version(name="projects/shop/secrets/jwt/versions/3")
        kinds = [(c.method.partition("/")[2], c.kind) for c in emulator.calls]

    assert kinds == [
        ("GetService", "read"), ("UpdateService", "write"), ("AccessSecretVersion", "payload"),
    ]  # fmt: skip


def test_page_size():
    """A page has what was asked for, and never more than the server gives."""
    with playing(watched=False, page=2) as emulator:
        _, revisions, _ = clients(emulator)
        parent = f"{NAME}/services/-"
        sizes = [
            len(
                revisions.list_revisions(
                    request={"parent": parent, "page_size": n}
                )._response.revisions
            )
            for n in (1, 2, 500)
        ]
        with pytest.raises(exceptions.InvalidArgument):
            revisions.list_revisions(request={"parent": parent, "page_size": -1})

    assert sizes == [1, 2, 2]


def test_places_and_permissions_of_a_world():
    """Where nothing is said, regions are those in use, and the caller may read all but payloads."""
    plain, told = world(MORE), world(MORE, locations={"shop": ["r1"]}, permissions={"shop": ["p"]})

    assert plain.regions("shop") == ["europe-west1", "europe-west4"]
    assert "secretmanager.versions.get" in plain.held("shop")
    assert "secretmanager.versions.access" not in plain.held("shop")
    assert (told.regions("shop"), told.held("shop")) == (["r1"], ("p",))


def test_denied():
    """What the world denies is denied, and all below it, and nothing that only begins alike."""
    with playing(
        watched=False, denied=["projects/shop/secrets/jwt", f"{NAME}/services/api"]
    ) as emulator:
        services, revisions, secrets = clients(emulator)
        with pytest.raises(exceptions.PermissionDenied):
            revisions.list_revisions(parent=f"{NAME}/services/api")
        with pytest.raises(exceptions.PermissionDenied):
            secrets.get_secret(name="projects/shop/secrets/jwt")
        assert services.get_service(name=f"{NAME}/services/web")


def test_calls_without_a_deadline_are_counted():
    """A client that would wait for ever is found out."""
    with playing(watched=False) as emulator:
        _, revisions, _ = clients(emulator)
        list(revisions.list_revisions(parent=f"{NAME}/services/api"))
        revisions.list_revisions(parent=f"{NAME}/services/api", timeout=5)

    assert [c.deadline for c in emulator.calls] == [False, True]


def test_unknown_service_of_the_protocol():
    """A method that nobody serves is unimplemented, as with any gRPC server, and is counted."""
    with playing(watched=False) as emulator, grpc.insecure_channel(emulator.address) as channel:
        call = channel.unary_unary("/google.cloud.run.v2.Builds/SubmitBuild", bytes, bytes)
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert [(c.method, c.kind) for c in emulator.calls] == [("Builds/SubmitBuild", "write")]


def test_revisions_inherit():
    """A revision has the whole configuration of the one before it, and what it says differs."""
    [api, _] = world().services
    first, second, third = api.whole()

    assert second.env == first.env
    assert second.image == first.image
    assert second.labels == {"commit-sha": "0123456789abcdef"}
    assert "JWT" not in third.env
    assert (second.ready, third.ready) == (True, False)
    assert (second.by, third.by) == ("two@example.com", "two@example.com")


PLACE = {"project": "p", "region": "r", "service": "s"}
REVISION = {"name": "s-1", "at": "2026-01-01T00:00:00Z"}
FIRST = "world: bad-world: services.0.revisions.0"


def of(**revision):
    """A world of one revision."""
    return {"services": [{**PLACE, "revisions": [{**REVISION, **revision}]}]}


def test_times_without_a_zone():
    """A time without a zone is in UTC, wherever the emulator runs."""
    [service] = read_world(of(at="2026-01-01T00:00:00"), "world").services

    assert service.revisions[0].at.isoformat() == "2026-01-01T00:00:00+00:00"


def test_port_in_use():
    """A port that another server has is one line, with what to do."""
    with playing(watched=False) as emulator:
        port = int(emulator.address.rpartition(":")[2])
        with pytest.raises(CommandError, match=f"^port {port} is in use, or not allowed$") as error:
            Emulator(world(), port)

    assert "0 for any" in error.value.hint


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"services": [{"project": "p"}]}, "world: bad-world: services.0.region: Field required"),
        ({"nonsense": "x"}, "world: bad-world: nonsense: Extra inputs are not permitted"),
        (of(egress="sideways"), f"{FIRST}.egress: Input should be 'all-traffic'"),
        (of(concurrency=0), f"{FIRST}.concurrency: Input should be greater than or equal to 1"),
        (of(timeout=10**9), f"{FIRST}.timeout: Input should be less than or equal to 3600"),
        (of(max_instances=2**40), f"{FIRST}.max_instances: Input should be less than"),
        (of(at="9999-12-31T23:59:59-01:00"), f"{FIRST}.at: a time that no calendar has"),
        (
            {"services": [{**PLACE, "revisions": [REVISION] * 2}]},
            "world: bad-world: services.0: a revision stands twice",
        ),
        (
            {"services": [{**PLACE, "revisions": [REVISION]}] * 2},
            "world: bad-world: the world: a service stands twice",
        ),
        (
            {"services": [{**PLACE, "revisions": [REVISION], "traffic": [{"to": "api-9"}]}]},
            "world: bad-world: services.0: traffic to a revision that is not there",
        ),
        (
            {"secrets": [{"project": "p", "name": "s"}] * 2},
            "world: bad-world: the world: a secret stands twice",
        ),
        (
            {"secrets": [{"project": "p", "name": "s", "aliases": {"prod": 1}}]},
            "world: bad-world: secrets.0: an alias of a version that is not there",
        ),
        (
            {
                "secrets": [
                    {"project": "p", "name": "s", "scheduled": {"1": "2026-01-01T00:00:00Z"}}
                ]
            },
            "world: bad-world: secrets.0: a scheduled version that is not there",
        ),
        (
            {
                "worker_pools": [
                    {
                        "project": "p",
                        "region": "r",
                        "worker_pool": "w",
                        "revisions": [REVISION],
                        "splits": [{"to": "w-9"}],
                    }
                ]
            },
            "world: bad-world: worker_pools.0: a split to a revision that is not there",
        ),
        ([], "world: bad-world: the world: Input should be a valid dictionary"),
    ],
)
def test_bad_world(document, message):
    """What is wrong with a world is one line with the place."""
    with pytest.raises(InputError) as error:
        read_world(document, "world")
    assert str(error.value).startswith(message)


def test_world_file(tmp_path):
    """A world comes from a YAML file, read strictly."""
    path = tmp_path / "w.yaml"
    path.write_text("services: []\n")
    assert load_world(str(path)).services == ()

    path.write_text("a: 1\na: 2\n")
    with pytest.raises(InputError, match=r"w\.yaml:2: duplicate-key"):
        load_world(str(path))
    path.write_text("numbers: {}\nservices:\n- project: p\n  page: 1\n")
    with pytest.raises(InputError, match=r"w\.yaml:3: bad-world: services\.0\.region: "):
        load_world(str(path))
    path.write_text("services: []\n---\nservices: []\n")
    with pytest.raises(InputError, match=r"w\.yaml: bad-world: the world: more than one document"):
        load_world(str(path))
    path.write_bytes(b"a: '\x07'")
    with pytest.raises(InputError, match=r"w\.yaml: not-yaml"):
        load_world(str(path))


def test_enums_of_the_world_are_those_of_the_api():
    """What the world writes, the real messages can hold."""
    state = secretmanager_v1.SecretVersion.State

    assert {name.lower() for name in state.__members__} >= {"enabled", "disabled", "destroyed"}
