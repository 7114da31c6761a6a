"""Live collection, over real gRPC: everything is seen, or told as not seen."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.cloud import run_v2, secretmanager_v1

from drift_audit.binding import SecretReference
from drift_audit.collector.api import Location
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Where
from drift_audit.collector.connection import Connection
from drift_audit.collector.exports import Files, read
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import from_v2
from drift_audit.collector.secret_manager import SecretManager
from drift_audit.collector.secret_versions import Version, with_versions
from drift_audit.emulator.faults import Fault
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.v2 import services
from drift_audit.errors import SourceError
from drift_audit.inventory import Evidence
from drift_audit.snapshot import Unseen
from drift_audit.strict import Refused
from tests.builders import sealer, snapshot
from tests.worlds import SHOP, playing, source, world


def test_collects_what_serves_and_what_is_newest():
    """Of each service the revisions that serve, the newest and the newest Ready one are read."""
    with playing() as emulator:
        inventory = source(emulator).collect()
    read_ = {s.service: [r.revision for r in s.revisions] for s in inventory.services}

    assert read_ == {"api": ["api-00003-c", "api-00002-b"], "web": ["web-00001-a"]}
    assert inventory.unseen == ()
    assert inventory.scope.model_dump() == {
        "source": "Cloud Run", "projects": ("shop",), "regions": ("europe-west1",),
        "regions_found": False, "services": ("*",), "kinds": ("service",),
    }  # fmt: skip


def test_secrets_are_resolved_once_by_metadata():
    """Every secret version is asked for once over all services, aliases and latest included."""
    with playing() as emulator:
        inventory = source(emulator).collect()
        asked = [c for c in emulator.calls if "Secret" in c.method]
    [api, _] = inventory.services
    told = {
        b.key: (b.source.resolved, b.source.version_state)
        for b in api.revisions[1].bindings
        if b.state == "secret"
    }

    assert told == {
        "JWT": (3, "enabled"), "FLOATS": (3, "enabled"), "ALIAS": (2, "disabled"), "FAR": (1, "enabled"),
    }  # fmt: skip
    assert api.revisions[1].mounts[0].source.version_state == "destroyed"
    assert api.revisions[0].keys["app", "NEW"].source.version_state == "not-found"
    assert len(inventory.secrets) == 6
    assert Counter(c.method.partition("/")[2] for c in asked) == {
        "ListSecrets": 1, "GetSecret": 2, "ListSecretVersions": 1, "GetSecretVersion": 2,
    }  # fmt: skip
    assert inventory.evidence == {Evidence.SECRET_VERSIONS}


def test_every_call_has_a_deadline():
    """No call could wait for ever."""
    with playing() as emulator:
        live = source(emulator)
        live.chain(live.collect().services[0])
        calls = emulator.calls

    assert calls
    assert all(call.deadline for call in calls)


def test_chain_reads_the_history():
    """The whole history of a service is read when it is asked for, newest first."""
    with playing(page=1) as emulator:
        live = source(emulator)
        [api, _] = live.collect().services
        whole = live.chain(api)

    assert [r.revision for r in whole.revisions] == ["api-00003-c", "api-00002-b", "api-00001-a"]
    assert whole.complete
    assert not api.complete
    assert [r.status.percent for r in whole.revisions] == [0, 100, 0]
    assert whole.revisions[0].status.tags == ("candidate",)
    assert whole.revisions[2].keys["app", "JWT"].source.version_state == "enabled"


def test_live_equals_files(tmp_path):
    """A world collected live and the same world as v2 JSON come to the same services."""
    path = tmp_path / "world.json"
    documents = [d for service, revisions in services(world()) for d in (service, *revisions)]
    path.write_text(json.dumps(documents))
    offline = Files([read(str(path))], sealer()).collect()
    with playing() as emulator:
        live = source(emulator)
        found = [live.chain(s) for s in live.collect().services]

    assert [without_versions(s) for s in found] == [without_versions(s) for s in offline.services]


def without_versions(service):
    """What files do not tell: the state of versions."""
    text = service.model_dump_json()
    for word in ("enabled", "disabled", "destroyed", "not-found"):
        text = text.replace(f'"version_state":"{word}"', '"version_state":null')
    return [
        (
            s["service"],
            s["complete"],
            [strip(r) for r in s["revisions"]],
            s["traffic"],
            s["settings"],
        )
        for s in [json.loads(text)]
    ]


def strip(revision):
    for holder in (*revision["bindings"], *revision["mounts"]):
        holder["source"].pop("resolved", None)
    return revision


def test_globs():
    """Services that do not match are not read any further."""
    with playing() as emulator:
        inventory = source(emulator, services=("w*",)).collect()
        read_ = [c.method for c in emulator.calls]

    assert [s.service for s in inventory.services] == ["web"]
    assert read_.count("Revisions/GetRevision") == 1


NAME = "projects/shop/locations/europe-west1"


@pytest.mark.parametrize(
    ("denied", "where"),
    [
        (NAME, "services of projects/shop/locations/europe-west1"),
        (
            f"{NAME}/services/api/revisions/api-00002-b",
            f"revision {NAME}/services/api/revisions/api-00002-b",
        ),
        (
            f"{NAME}/services/api/revisions/api-00003-c",
            f"revision {NAME}/services/api/revisions/api-00003-c",
        ),
        ("projects/shop/secrets/jwt", "secret projects/shop/secrets/jwt/versions/3"),
        ("projects/other", "secret projects/other/secrets/db/versions/1"),
    ],
)
def test_denied_is_unseen(denied, where):
    """What may not be read is named, with the reason, and is never taken for absent."""
    with playing(denied=[denied, f"{NAME}/services/-"]) as emulator:
        inventory = source(emulator).collect()

    assert (where, "permission denied") in {(u.where, u.reason) for u in inventory.unseen}


def test_denied_secret_is_no_missing_secret():
    """A secret that may not be looked at is unseen; one that is not there is not found."""
    with playing(denied=["projects/shop/secrets/jwt"]) as emulator:
        [api, _] = source(emulator).collect().services
    newest, serving = api.revisions

    assert serving.keys["app", "JWT"].source.version_state == "unseen"
    assert newest.keys["app", "NEW"].source.version_state == "not-found"


def test_secret_that_is_said_not_to_exist():
    """A secret that is not there, though its versions are, is not taken at its word."""
    with playing(faults=["SecretManagerService/GetSecret:1+:NOT_FOUND"]) as emulator:
        unseen = source(emulator).collect().unseen

    assert [(u.where, u.reason) for u in unseen] == [
        (
            "expiry and aliases of secret projects/other/secrets/db",
            "it was said not to exist, and its versions do",
        )
    ]


def test_serving_revision_that_cannot_be_read_is_unseen_twice():
    """The service itself says which revision serves and was not read."""
    denied = [f"{NAME}/services/-", f"{NAME}/services/api/revisions/api-00002-b"]
    with playing(denied=denied) as emulator:
        [api, _] = source(emulator).collect().services

    assert {u.where for u in api.unseen} == {"revision api-00002-b"}


FORGETFUL = (
    SHOP.replace("env: {JWT: null, NEW", "env: {JWT: null, FAR: null, NEW")
    .replace("to: api-00002-b, percent", "to: api-00003-c, percent")
    .replace("ready: false", "ready: true")
)
"""The shop after a deploy that forgot two secrets and serves: older revisions are not read at first."""


def test_resolve_looks_up_what_is_left():
    """A revision of the past gets the versions it reads looked up when it is compared with."""
    with playing(FORGETFUL) as emulator:
        live = source(emulator)
        [api, _] = live.collect().services
        past = live.chain(api).revision("api-00001-a")
        before = len(emulator.calls)
        whole = live.resolve(past)
        again = live.resolve(past)
        asked = len(emulator.calls) - before

    assert past.keys["app", "FAR"].source.version_state is None
    assert whole.keys["app", "FAR"].source.version_state == "enabled"
    assert again == whole
    assert asked == 2


def test_resolve_tells_what_it_may_not_see():
    """What cannot be looked up is unseen in the revision itself."""
    with playing(FORGETFUL, denied=["projects/other"]) as emulator:
        live = source(emulator)
        [api, _] = live.collect().services
        past = live.resolve(live.chain(api).revision("api-00001-a"))

    assert [u.where for u in past.seen.unseen] == [
        "expiry and aliases of secret projects/other/secrets/db",
        "secret projects/other/secrets/db/versions/1",
    ]


def test_chain_that_cannot_be_listed():
    """Without permission to list, the service stays as it was, and its history is unseen."""
    with playing(denied=[f"{NAME}/services/api"]) as emulator:
        live = source(emulator)
        inventory = live.collect()
        api = next(s for s in inventory.services if s.service == "api")

        whole = live.chain(api)

    missed = Unseen(where=f"revisions of {NAME}/services/api", reason="permission denied")
    assert whole == api.but(unseen=(*api.unseen, missed))


def test_history_that_ends_early():
    """A history that lacks a revision which the service itself names is not taken for whole."""
    with playing(page=1, faults=["Revisions/ListRevisions:1:early-end"]) as emulator:
        live = source(emulator, services=("api",))
        [api] = live.collect().services
        whole = live.chain(api)

    missed = Unseen(where=f"revisions of {NAME}/services/api", reason="the list lacks api-00002-b")
    assert whole == api.but(unseen=(missed,))


def test_history_ends_with_what_was_newest():
    """What is deployed after the services were read is no part of their history."""
    with playing(faults=["Services/ListServices:2:generation-bump"]) as emulator:
        live = source(emulator)
        [api, _] = live.collect().services
        whole = live.chain(api)

    assert [f.kind for f in emulator.fired] == ["generation-bump"]
    assert whole.complete
    assert [r.revision for r in whole.revisions] == ["api-00003-c", "api-00002-b", "api-00001-a"]


def test_unknown_place_is_unseen():
    """The wildcard region, which the API refuses, is no silent nothing."""
    with playing() as emulator:
        inventory = source(emulator, place=Location("shop", "-")).collect()

    assert [u.reason for u in inventory.unseen] == ["the service answered INVALID_ARGUMENT"]


BAD = SHOP.replace(
    "LOG_LEVEL: info", "LOG_LEVEL: info, BAD: {secret: '../x'}".replace(", ", "\n          ")
)


def test_service_that_cannot_be_normalised_is_unseen():
    """A resource that Cloud Run cannot have produced ends neither the run nor in silence."""
    with playing(BAD) as emulator:
        inventory = source(emulator).collect()

    assert [s.service for s in inventory.services] == ["web"]
    assert any("bad-secret-name" in u.reason for u in inventory.unseen)


def test_out_of_time():
    """When the time of the run is used up, what is left is unseen."""
    with playing() as emulator:
        inventory = source(emulator, seconds=0).collect()

    assert [u.reason for u in inventory.unseen] == ["the time of the run is used up"]


def test_progress_is_told():
    """Who asks is told how far the collection is."""
    told = []
    with playing() as emulator:
        connection = Connection(emulator.address, emulator.address)
        where = Where(["shop"], ["europe-west1"], kinds=["service"])
        budget = Budget(lambda: 0.0)
        CloudRun(where, sealer(), budget, connection, lambda *step: told.append(step)).collect()

    assert told == [("lists", 1, 1), *(("secrets", n, 3) for n in (1, 2, 3))]


def test_unreachable_server():
    """A server that is not there is unseen, at once."""
    nowhere = Connection("127.0.0.1:1", "127.0.0.1:1")
    budget = Budget(lambda: 0.0, sleep=lambda _: None)
    where = Where(["shop"], ["europe-west1"], kinds=["service"])
    inventory = CloudRun(where, sealer(), budget, nowhere).collect()

    assert [u.reason for u in inventory.unseen] == ["the service cannot be reached"]


def test_no_credentials(monkeypatch, tmp_path):
    """Without credentials nothing is collected, and the two ways out are told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    with pytest.raises(SourceError, match="no usable application default credentials") as error:
        Connection().cloud_run()
    assert "--input" in error.value.hint
    with pytest.raises(SourceError):
        Connection().secret_manager()


CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "c",
    "client_secret": "s",
    "refresh_token": "r",
}


def test_clients_with_credentials(monkeypatch, tmp_path):
    """With credentials the clients speak TLS to google, as another account if asked."""
    path = tmp_path / "adc.json"
    path.write_text(json.dumps(CREDENTIALS))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    clients = Connection().cloud_run()
    connection = Connection(impersonate=("a@x", "b@x"))
    acting = connection.credentials

    assert {client.transport.host for client in clients} == {"run.googleapis.com:443"}
    assert connection.secret_manager().transport.host.startswith("secretmanager.googleapis.com")
    assert (acting._target_principal, acting._delegates) == ("b@x", ["a@x"])


def test_broken_credentials(monkeypatch, tmp_path):
    """Credentials that cannot be used are told so, without what is in them."""
    path = tmp_path / "adc.json"
    path.write_text('{"type": "cnry"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    with pytest.raises(SourceError) as error:
        Connection().cloud_run()
    assert "cnry" not in str(error.value)


class OddSecrets:
    """A client that answers every version in a state that nobody knows."""

    def get_secret(self, request, timeout, retry):
        return secretmanager_v1.Secret(name=request.name)

    def get_secret_version(self, request, timeout, retry):
        return secretmanager_v1.SecretVersion(name=f"{request.name}/versions/x", state=0)


def test_version_in_an_unknown_state():
    """A state that we do not know is unseen, not enabled."""
    asked = ("shop", "jwt", "7")
    with ThreadPoolExecutor(1) as executor:
        asker = SecretManager(OddSecrets(), Budget(lambda: 0.0), executor)
        list(asker.resolve([asked]))

    assert (asker.known[asked].number, asker.known[asked].state) == (None, "unseen")
    assert [u.reason for u in asker.unseen] == ["in a state we do not know"]


def test_protobuf_keeps_what_was_set():
    """An explicitly empty value stays; enumerations and times are spelled; what is unset is not there."""
    message = run_v2.Revision.pb()(name="n", execution_environment=2, generation=7)
    container = message.containers.add(image="i")
    container.env.add(name="EMPTY", value="")
    container.env.add(name="BARE")
    message.labels["a"] = "b"
    message.timeout.seconds = 60
    message.create_time.seconds = 0

    assert to_json(message) == {
        "name": "n",
        "generation": 7,
        "labels": {"a": "b"},
        "createTime": "1970-01-01T00:00:00Z",
        "timeout": "60s",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "containers": [{"image": "i", "env": [{"name": "EMPTY", "value": ""}, {"name": "BARE"}]}],
    }


def test_unknown_protobuf_fields_are_kept():
    """A field or a member that the library does not know is told by its number."""
    known = run_v2.Revision.pb()(name="n")
    bytes_ = (
        known.SerializeToString() + b"\xf8\x3f\x07" + b"\xa0\x01\x63"
    )  # field 1023, and member 99
    message = run_v2.Revision.pb().FromString(bytes_)

    assert to_json(message) == {"name": "n", "field-1023": "7", "executionEnvironment": "99"}


def test_repeated_unknown_protobuf_fields():
    """A field that the library does not know and that comes more than once is kept whole, groups too."""
    repeated = b"\xf8\x3f\x07\xf8\x3f\x08"  # field 1023, twice
    group = b"\xfb\x3f\x08\x01\xfc\x3f"  # field 1023 as a group that holds field 1
    messages = [run_v2.Revision.pb().FromString(b) for b in (repeated, group)]

    assert [to_json(m) for m in messages] == [
        {"field-1023": ["7", "8"]},
        {"field-1023": {"field-1": "1"}},
    ]


def test_protobuf_time_out_of_range():
    """A time that no calendar has refuses the revision, and crashes nothing."""
    message = run_v2.Revision.pb()(name=f"{NAME}/services/api/revisions/api-1")
    message.create_time.seconds = 10**15

    with pytest.raises(Refused, match=r"^wrong-type: createTime is not a time"):
        from_v2(to_json(message))


def test_services_that_are_not_there():
    """A service that is asked for by name and is nowhere is unseen; a glob may match nothing."""
    with playing() as emulator:
        inventory = source(emulator, services=("web", "gone", "x*")).collect()

    assert [(u.where, u.reason) for u in inventory.unseen] == [
        ("service gone", "was asked for and not found")
    ]


def test_service_that_is_gone_at_the_second_look():
    """A service that was asked for by name and is deleted meanwhile is unseen as well."""
    with playing(faults=["Services/GetService:3+:NOT_FOUND"]) as emulator:
        inventory = source(emulator, services=("api", "web")).collect()

    assert inventory.services == ()
    assert [u.where for u in inventory.unseen] == ["service api", "service web"]


def test_missing_service_beside_a_broken_one():
    """A service that could not be read does not hide that another one is not there."""
    with playing(BAD) as emulator:
        inventory = source(emulator, services=("api", "gone")).collect()

    assert "service gone" in [u.where for u in inventory.unseen]


def test_services_where_nobody_could_look():
    """Where a location could not be listed, that is told, and not that a service is missing."""
    with playing(denied=[NAME]) as emulator:
        inventory = source(emulator, services=("gone",)).collect()

    assert [u.where for u in inventory.unseen] == [f"service {NAME}/services/gone"]


def test_number_of_a_project_from_secret_manager():
    """A secret of the project by number is its own, though no URL of the service tells the number."""
    with playing(numbers={"shop": "123456789012"}) as emulator:
        live = source(emulator)
        list(live._secrets.resolve([("shop", "jwt", "3")]))

    assert live._secrets.numbers == {"shop": "123456789012"}
    far = SecretReference(project="123456789012", secret="jwt", version="3")
    one = snapshot({"A": {"project": far.project, "secret": "jwt", "version": "3"}})
    versions = {("shop", "jwt", "3"): Version(3, "enabled")}
    [binding] = with_versions(one, versions, live._secrets.numbers).bindings

    assert binding.source == far.but(project="", resolved=3, version_state="enabled")


READERS = """
numbers: {shop: "123456789012"}
secrets:
  - {project: shop, name: own, versions: {1: enabled}, accessors: ["serviceAccount:api@shop.iam.gserviceaccount.com"]}
  - {project: shop, name: default, versions: {1: enabled}, accessors: ["serviceAccount:123456789012-compute@developer.gserviceaccount.com"]}
  - {project: shop, name: public, versions: {1: enabled}, accessors: [allUsers]}
  - {project: shop, name: bare, versions: {1: enabled}}
services:
  - project: shop
    region: europe-west1
    service: api
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api
        service_account: ACCOUNT
        env:
          OWN: {secret: own, version: "1"}
          DEFAULT: {secret: default, version: "1"}
          PUBLIC: {secret: public, version: "1"}
          BARE: {secret: bare, version: "1"}
          GONE: {secret: gone, version: "1"}
"""


def readable(account, **more):
    """What the policies of secrets say of an account, by key, and what could not be seen."""
    with playing(READERS.replace("ACCOUNT", account), **more) as emulator:
        inventory = source(emulator, secrets="readers").collect()
        asked = [c.method for c in emulator.calls if c.method.endswith("Service/GetIamPolicy")]
    [service] = inventory.services
    told = {b.key: b.source.access for b in service.newest.bindings}
    return told, [u.where for u in inventory.unseen], len(asked)


def test_who_may_read():
    """The policy of a secret says whether the service's account, or everybody, may read it."""
    told, unseen, asked = readable("api@shop.iam.gserviceaccount.com")

    assert told == {
        "OWN": "granted", "DEFAULT": "not-proven", "PUBLIC": "granted", "BARE": "not-proven", "GONE": None,
    }  # fmt: skip
    assert (unseen, asked) == ([], 5)


def test_who_may_read_by_default():
    """A service without an account of its own runs as the default one of its project."""
    told, _, _ = readable("''")

    assert (told["OWN"], told["DEFAULT"]) == ("not-proven", "granted")


def test_policy_that_may_not_be_read():
    """A policy that may not be read is unseen, and says nothing of who may read the secret."""
    told, unseen, _ = readable("api@x", denied=["projects/shop/secrets/own"])

    assert told["OWN"] is None
    assert "readers of secret projects/shop/secrets/own" in unseen


@pytest.mark.parametrize(
    ("invokers", "told"),
    [
        ("[]", "nobody"),
        ("['user:b@x.y', 'allUsers']", "allUsers, user:b@x.y"),
    ],
)
def test_who_may_invoke(invokers, told):
    """Where policies are asked for, who may call a service is one of its settings; else it is not."""
    text = SHOP.replace("    labels: {team: api}", f"    invokers: {invokers}")
    with playing(text) as emulator:
        asked = source(emulator, services=("api",), secrets="readers").collect().services
        not_asked = source(emulator, services=("api",)).collect().services

    found = [
        [s.value for s in one.settings if s.name == "service.invokers"]
        for [one] in (asked, not_asked)
    ]
    assert found == [[told], []]


def test_policy_that_cannot_be_read():
    """A policy that does not answer is unseen, and says whose it is."""
    faults = [Fault("Services/GetIamPolicy", 1, "PERMISSION_DENIED")]
    with Emulator(world(), faults=faults) as emulator:
        [api] = source(emulator, services=("api",), secrets="readers").collect().services

    assert [u.where for u in api.unseen] == [
        "invokers of projects/shop/locations/europe-west1/services/api"
    ]
