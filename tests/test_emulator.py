"""The emulator: answers as the real services do, as far as our clients can see."""

from __future__ import annotations

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import run_v2, secretmanager_v1

from drift_audit.collector.connection import Connection
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import load_world, read_world
from drift_audit.errors import CommandError, InputError
from tests.worlds import playing, world

NAME = "projects/shop/locations/europe-west1"


def clients(emulator):
    connection = Connection(emulator.address, emulator.address)
    return (*connection.cloud_run(), connection.secret_manager())


def test_lists_page_newest_first():
    """Lists come in pages, newest first, and the wildcard lists every service of a location."""
    with playing(page=2) as emulator:
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
    with playing() as emulator:
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
        exceptions.MethodNotImplemented,
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_status_codes(what):
    """What is not there, not allowed or not understood has the real status code."""
    call, error = CALLS[what]
    with playing() as emulator, pytest.raises(error):
        call(*clients(emulator))


def test_secret_metadata():
    """Secrets are listed and got, versions newest first; answers name the project by number."""
    with playing() as emulator:
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


def test_denied():
    """What the world denies is denied, and all below it, and nothing that only begins alike."""
    with playing(denied=["projects/shop/secrets/jwt", f"{NAME}/services/api"]) as emulator:
        services, revisions, secrets = clients(emulator)
        with pytest.raises(exceptions.PermissionDenied):
            revisions.list_revisions(parent=f"{NAME}/services/api")
        with pytest.raises(exceptions.PermissionDenied):
            secrets.get_secret(name="projects/shop/secrets/jwt")
        assert services.get_service(name=f"{NAME}/services/web")


def test_calls_without_a_deadline_are_counted():
    """A client that would wait for ever is found out."""
    with playing() as emulator:
        _, revisions, _ = clients(emulator)
        list(revisions.list_revisions(parent=f"{NAME}/services/api"))
        revisions.list_revisions(parent=f"{NAME}/services/api", timeout=5)

    assert [c.deadline for c in emulator.calls] == [False, True]


def test_unknown_service_of_the_protocol():
    """A method that nobody serves is unimplemented, as with any gRPC server."""
    with playing() as emulator, grpc.insecure_channel(emulator.address) as channel:
        call = channel.unary_unary("/google.cloud.run.v2.Jobs/ListJobs", bytes, bytes)
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


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
    with playing() as emulator:
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
