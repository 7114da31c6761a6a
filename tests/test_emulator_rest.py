"""The emulator over HTTP: v1 as gcloud asks for it, v2, Secret Manager, and one state behind all."""

from __future__ import annotations

import http.client
import json

import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2, secretmanager_v1
from google.protobuf.json_format import MessageToDict

from drift_audit import strict
from drift_audit.collector.connection import Connection
from drift_audit.collector.exports import Files, read
from drift_audit.collector.protobuf import to_json
from drift_audit.emulator import knative, manifest
from drift_audit.emulator.faults import CODES, RETRY_INFO, Fault
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.state import State, message
from drift_audit.errors import CommandError
from tests.builders import sealer
from tests.test_emulator import MORE
from tests.worlds import SHOP, playing, source, world

NAME = "projects/shop/locations/europe-west1"
V1 = "http://europe-west1-run.emulator.test/apis/serving.knative.dev/v1/namespaces/shop"
RUN = "http://run.emulator.test"


class Client:
    """A client of HTTP that is led to the emulator as gcloud is: by a proxy."""

    def __init__(self, emulator: Emulator) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = {"http": f"http://{emulator.rest}"}

    def __call__(self, verb, url, status=200, **more):
        reply = self._session.request(verb, url, timeout=5, **more)
        assert reply.status_code == status, reply.text
        return reply.json()

    def get(self, url, **params):
        return self("GET", url, params=params)

    def error(self, verb, url, status, **more):
        return self(verb, url, status, **more)["error"]


def names(listed):
    """The names of the items of a v1 list."""
    return [item["metadata"]["name"] for item in listed["items"]]


def test_lists_of_v1():
    """Revisions and services are listed by region, by label and by page, as gcloud asks."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        every = client.get(f"{V1}/revisions")
        one = client.get(f"{V1}/revisions", labelSelector="serving.knative.dev/service = web")
        others = client.get(f"{V1}/services", labelSelector="team!=api")
        first = client.get(f"{V1}/services", limit=1)
        second = client.get(
            f"{V1}/services", limit=1, **{"continue": first["metadata"]["continue"]}
        )
        elsewhere = client.get(f"{V1.replace('west1', 'west4')}/revisions")

    assert names(every) == ["api-00003-c", "api-00002-b", "api-00001-a", "web-00001-a"]
    assert (every["kind"], every["metadata"], elsewhere["items"]) == ("RevisionList", {}, [])
    assert (names(one), names(others)) == (["web-00001-a"], ["web"])
    assert [names(page) for page in (first, second)] == [["api"], ["web"]]
    assert second["metadata"] == {}


def test_lists_of_a_project():
    """All regions are listed at once, services and locations alike."""
    with playing(MORE, watched=False, page=1) as emulator:
        client = Client(emulator)
        services = client.get(f"{RUN}/v1/projects/shop/locations/-/services", limit=5)
        locations = client.get(f"{RUN}/v1/projects/123456789012/locations", pageSize=100)

    assert names(services) == ["api"]
    assert services["metadata"]["continue"] == "from-1"
    assert [at["locationId"] for at in locations["locations"]] == []


def test_locations():
    """The regions of a project come in pages."""
    with playing(watched=False, locations={"shop": ["r1", "r2", "r3"]}, page=2) as emulator:
        client = Client(emulator)
        first = client.get(f"{RUN}/v1/projects/shop/locations", pageSize=100)
        second = client.get(f"{RUN}/v1/projects/shop/locations", pageToken=first["nextPageToken"])

    assert [a["locationId"] for p in (first, second) for a in p["locations"]] == ["r1", "r2", "r3"]
    assert second["nextPageToken"] == ""


def test_documents_of_v1():
    """A service and a revision are as the real ones: by number, with status, aliases and digests."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        service = client.get(f"{V1}/services/api")
        revision = client.get(f"{V1}/revisions/api-00001-a")
    notes = revision["metadata"]["annotations"]
    far = next(e for e in revision["spec"]["containers"][0]["env"] if e["name"] == "FAR")
    alias = far["valueFrom"]["secretKeyRef"]["name"]

    assert service["metadata"]["namespace"] == "123456789012"
    assert service["status"]["latestReadyRevisionName"] == "api-00002-b"
    assert [t["revisionName"] for t in service["status"]["traffic"]] == [
        "api-00002-b",
        "api-00003-c",
    ]
    assert notes["run.googleapis.com/secrets"].startswith(f"{alias}:projects/1")
    assert notes["run.googleapis.com/cloudsql-instances"] == "shop:europe-west1:db"
    assert revision["metadata"]["labels"]["serving.knative.dev/configurationGeneration"] == "1"
    assert revision["status"]["imageDigest"].endswith("@sha256:" + "1".zfill(64))
    assert {c["type"]: c["status"] for c in revision["status"]["conditions"]} == {
        "Ready": "True",
        "Active": "False",
    }


def test_revisions_of_worker_pools_in_v1():
    """They come along with the others, and a label tells them apart."""
    with playing(MORE, watched=False) as emulator:
        listed = Client(emulator).get(
            f"{V1}/revisions", labelSelector="run.googleapis.com/workerPool"
        )

    assert names(listed) == ["mailer-00002-b", "mailer-00001-a"]


RICH = """
metadata:
  name: api-00002-rich
  labels: {team: api, client.knative.dev/nonce: n}
  annotations:
    run.googleapis.com/client-name: gcloud
    run.googleapis.com/client-version: 528.0.0
    run.googleapis.com/execution-environment: gen2
    run.googleapis.com/sessionAffinity: 'true'
    run.googleapis.com/encryption-key: projects/shop/locations/r/keyRings/k/cryptoKeys/c
    run.googleapis.com/post-key-revocation-action-type: shut-down
    run.googleapis.com/encryption-key-shutdown-hours: '2'
    run.googleapis.com/vpc-access-egress: all-traffic
    run.googleapis.com/network-interfaces: '[{"network":"n","subnetwork":"s","tags":["b","a"]}]'
    run.googleapis.com/gpu-zonal-redundancy-disabled: 'True'
    run.googleapis.com/cpu-throttling: 'False'
    run.googleapis.com/startup-cpu-boost: 'True'
    run.googleapis.com/cloudsql-instances: shop:r:one,shop:r:two
    run.googleapis.com/container-dependencies: '{"app":["proxy"]}'
    run.googleapis.com/base-images: '{"app":"python311"}'
    run.googleapis.com/secrets: jwt-k-1:projects/99/secrets/jwt-key
    autoscaling.knative.dev/minScale: '1'
    autoscaling.knative.dev/maxScale: '7'
    example.com/mine: kept
spec:
  containerConcurrency: 10
  timeoutSeconds: 60
  serviceAccountName: api@shop.iam.gserviceaccount.com
  nodeSelector: {run.googleapis.com/accelerator: nvidia-l4}
  containers:
  - name: app
    image: r/api:2
    command: [serve]
    args: [--port, '8080']
    workingDir: /srv
    ports: [{name: h2c, containerPort: 8080}]
    env:
    - {name: LOG, value: info}
    - {name: EMPTY}
    - {name: KEY, valueFrom: {secretKeyRef: {name: jwt-k-1, key: '3'}}}
    - {name: OWN, valueFrom: {secretKeyRef: {name: jwt, key: latest}}}
    resources: {limits: {cpu: '2', memory: 1Gi, nvidia.com/gpu: '1'}}
    startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 240, failureThreshold: 1, timeoutSeconds: 240}
    livenessProbe: {httpGet: {path: /, port: 8080, httpHeaders: [{name: H, value: v}]}, initialDelaySeconds: 3}
    volumeMounts:
    - {name: keys, mountPath: /etc/keys}
    - {name: tmp, mountPath: /tmp/x}
    - {name: files, mountPath: /files, subPath: a}
    - {name: share, mountPath: /share}
  - name: proxy
    image: r/proxy
    readinessProbe: {grpc: {port: 9, service: s}}
  volumes:
  - {name: keys, secret: {secretName: jwt-k-1, defaultMode: 256, items: [{key: '2', path: a, mode: 292}]}}
  - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 10Mi}}
  - name: files
    csi: {driver: gcsfuse.run.googleapis.com, readOnly: true, volumeAttributes: {bucketName: b, mountOptions: 'uid=1,gid=2'}}
  - {name: share, nfs: {server: 10.0.0.1, path: /x, readOnly: true}}
"""


def put_rich(client, **annotations):
    """Replace the service by one with everything that v1 can say."""
    service = client.get(f"{V1}/services/api")
    service["spec"] = {
        "template": strict.plain(strict.load(RICH)[0]),
        "traffic": [{"revisionName": "api-00002-b", "percent": 90}, {"latestRevision": True, "percent": 10, "tag": "new"}],
    }  # fmt: skip
    service["metadata"]["annotations"] |= annotations
    return client("PUT", f"{V1}/services/api", json=service)


SERVICE_LEVEL = {
    "run.googleapis.com/ingress": "internal",
    "run.googleapis.com/minScale": "1",
    "run.googleapis.com/maxScale": "3",
    "run.googleapis.com/scalingMode": "automatic",
    "run.googleapis.com/binary-authorization": "default",
    "run.googleapis.com/invoker-iam-disabled": "true",
    "run.googleapis.com/default-url-disabled": "True",
    "run.googleapis.com/custom-audiences": '["https://a"]',
    "run.googleapis.com/description": "what it is",
    "run.googleapis.com/client-name": "gcloud",
    "run.googleapis.com/client-version": "528.0.0",
}


def test_put_makes_a_revision_on_every_front():
    """What was put through v1 is a new revision, the same in v1, in v2 over HTTP and over gRPC."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        answered = put_rich(client, **SERVICE_LEVEL)
        listed = client.get(f"{V1}/revisions", labelSelector="serving.knative.dev/service=api")
        raw = client.get(f"{V1}/revisions/api-00002-rich")
        v2 = client.get(f"{RUN}/v2/{NAME}/services/api/revisions/api-00002-rich")
        services, revisions, *_ = Connection(emulator.address).cloud_run()
        got = services.get_service(name=f"{NAME}/services/api")
        one = revisions.get_revision(name=got.latest_created_revision)

    assert answered["metadata"]["generation"] == got.generation == 4
    assert answered["status"]["latestCreatedRevisionName"] == "api-00002-rich"
    assert names(listed)[0] == "api-00002-rich"
    assert raw["spec"] == strict.plain(strict.load(RICH)[0])["spec"]
    assert MessageToDict(run_v2.Revision.pb(one)) == v2
    assert (one.creator, got.last_modifier, got.client) == ("caller@example.com",) * 2 + ("gcloud",)
    assert [(t.percent, t.tag, t.revision) for t in got.traffic_statuses] == [
        (90, "", "api-00002-b"),
        (10, "new", ""),
    ]
    assert got.ingress.name == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert (got.invoker_iam_disabled, got.default_uri_disabled) == (True, True)


def test_put_says_the_same_in_v1_and_v2(tmp_path):
    """
    A rich template, read from its v1 document and from v2, is one snapshot: v2 loses nothing.

    Only v1 tells the digest of an image and whether health checks are off, and only v2 the launch
    stage that a revision needs.
    """
    with playing(watched=False) as emulator:
        client = Client(emulator)
        put_rich(client, **SERVICE_LEVEL)
        document = client.get(f"{V1}/revisions/api-00002-rich")
        live = source(emulator, services=("api",)).collect().services[0].revisions[0]
    path = tmp_path / "revision.json"
    path.write_text(json.dumps(document))
    file = read(str(path)).named("shop", "europe-west1")
    [offline] = Files([file], sealer()).collect().services[0].revisions

    here, told = ({(s.container, s.name): s.value for s in r.settings} for r in (live, offline))
    alone = {"image_digest", "health_check_disabled", "launch_stage"}
    assert {k: v for k, v in here.items() if k[1] not in alone} == {
        k: v for k, v in told.items() if k[1] not in alone
    }
    assert {b.key: b.state for b in live.bindings} == {b.key: b.state for b in offline.bindings}
    assert [m.path for m in live.mounts] == [m.path for m in offline.mounts]


@pytest.mark.parametrize("text", [SHOP, MORE])
def test_templates_survive_the_way_to_v1_and_back(text):
    """What v2 shows of a template is what v2 shows of its v1 form: no field is lost on the way."""
    known = world(text)
    state = State(known)
    before, after = [], []
    for held in state.services.values():
        template = knative.part(held, known)["spec"]["template"]
        before.append(MessageToDict(held.message.template))
        again = manifest.template(template, known) | {"revision": template["metadata"]["name"]}
        after.append(MessageToDict(message(run_v2.RevisionTemplate, again)))

    assert before == after


def test_rich_template_survives():
    """The richest template comes back the same as well."""
    known = world()
    shown = manifest.template(strict.plain(strict.load(RICH)[0]), known)
    first = message(run_v2.RevisionTemplate, shown)
    text = json.dumps(to_json(first))
    with playing(watched=False) as emulator:
        put_rich(Client(emulator))
        services = Connection(emulator.address).cloud_run().services
        got = services.get_service(name=f"{NAME}/services/api").template
    again = manifest.template(knative.template_of(to_json(first), "", known), known)

    assert to_json(message(run_v2.RevisionTemplate, again)) == json.loads(text)
    assert to_json(run_v2.RevisionTemplate.pb(got)) == json.loads(text) | {
        "revision": "api-00002-rich"
    }


def test_generated_names():
    """A revision without a name gets one; a template that stays the same makes no revision."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        service = client.get(f"{V1}/services/web")
        same = client("PUT", f"{V1}/services/web", json=service)
        template = same["spec"]["template"]
        del template["metadata"]["name"]
        template["spec"]["containers"][0]["env"].append({"name": "NEW", "value": "1"})
        changed = client("PUT", f"{V1}/services/web", json=same)
        revisions = client.get(f"{V1}/revisions", labelSelector="serving.knative.dev/service=web")
    generations = [
        r["metadata"]["labels"]["serving.knative.dev/configurationGeneration"]
        for r in revisions["items"]
    ]

    assert same["status"]["latestCreatedRevisionName"] == "web-00001-a"
    assert changed["status"]["latestCreatedRevisionName"].startswith("web-00003-")
    assert "name" not in changed["spec"]["template"]["metadata"]
    assert generations == ["3", "1"]
    assert revisions["items"][1]["status"]["conditions"][1] == {
        "type": "Active", "status": "False", "reason": "Retired",
    }  # fmt: skip


def test_stale_write_is_a_conflict():
    """Who writes what has moved on is told both versions, and nothing is written."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        service = client.get(f"{V1}/services/web")
        client("PUT", f"{V1}/services/web", json=service)
        error = client.error("PUT", f"{V1}/services/web", 409, json=service)
        now = client.get(f"{V1}/services/web")

    assert (error["code"], error["status"]) == (409, "ABORTED")
    assert error["message"] == (
        f"Conflict for resource 'web': version '{service['metadata']['resourceVersion']}' was"
        f" specified but current version is '{now['metadata']['resourceVersion']}'."
    )
    assert now["metadata"]["generation"] == 2


def with_web(client, change):
    """The document of the service web, changed."""
    service = client.get(f"{V1}/services/web")
    change(service)
    return service


def named(name):
    def change(service):
        service["spec"]["template"]["metadata"]["name"] = name
        service["spec"]["template"]["spec"]["containers"][0]["image"] = "r/other"

    return change


REFUSED = {
    "a name that is taken": (named("web-00001-a"), 409),
    "a name of another service": (named("api-00009-x"), 400),
    "no containers": (lambda s: s["spec"]["template"]["spec"].pop("containers"), 400),
    "no spec": (lambda s: s.pop("spec"), 400),
    "another name": (lambda s: s["metadata"].update(name="api"), 400),
    "no such revision": (lambda s: s["spec"].update(traffic=[{"revisionName": "web-9"}]), 400),
    "a bad annotation": (
        lambda s: s["spec"]["template"]["metadata"]["annotations"].update(
            {"autoscaling.knative.dev/maxScale": "many"}
        ),
        400,
    ),
    "a bad cpu": (
        lambda s: s["spec"]["template"]["metadata"]["annotations"].update(
            {"run.googleapis.com/cpu-throttling": "off"}
        ),
        400,
    ),
    "a bad map": (
        lambda s: s["spec"]["template"]["metadata"]["annotations"].update(
            {"run.googleapis.com/sources": "{"}
        ),
        400,
    ),
    "a bad field": (
        lambda s: s["spec"]["template"]["spec"].update(containerConcurrency="many"),
        400,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_writes(what):
    """What Cloud Run would refuse is refused, and changes nothing."""
    change, status = REFUSED[what]
    with playing(watched=False) as emulator:
        client = Client(emulator)
        service = with_web(client, change)
        error = client.error("PUT", f"{V1}/services/web", status, json=service)
        after = client.get(f"{V1}/services/web")

    assert error["code"] == status
    assert after["metadata"]["generation"] == 1


def test_create():
    """A new service is created in the region of the host, once."""
    new = {
        "metadata": {"name": "fresh", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"image": "r/fresh"}]}}},
    }
    with playing(watched=False) as emulator:
        client = Client(emulator)
        created = client("POST", f"{V1}/services", json=new)
        again = client.error("POST", f"{V1}/services", 409, json=new)
        nowhere = client.error("POST", V1.replace("europe-west1-", "") + "/services", 400, json=new)
        nameless = client.error("POST", f"{V1}/services", 400, json={})
        services = Connection(emulator.address).cloud_run().services
        got = services.get_service(name=f"{NAME}/services/fresh")

    assert created["status"]["latestReadyRevisionName"].startswith("fresh-00001-")
    assert (again["status"], nowhere["code"], nameless["code"]) == ("ALREADY_EXISTS", 400, 400)
    assert (got.generation, got.traffic_statuses[0].percent) == (1, 100)


def test_deploy_moves_on_what_was_put():
    """A service that was put through v1 can move on by itself, and keeps what v1 alone says."""
    with Emulator(world(), faults=[Fault("Services/GetService", 1, "generation-bump")]) as emulator:
        client = Client(emulator)
        put_rich(client)
        client.get(f"{RUN}/v2/{NAME}/services/api")
        after = client.get(f"{V1}/services/api")
        newest = client.get(f"{V1}/revisions/{after['status']['latestCreatedRevisionName']}")

    assert after["metadata"]["generation"] == 5
    assert (
        after["spec"]["template"]["metadata"]["annotations"]["run.googleapis.com/client-name"]
        == "gcloud"
    )
    assert newest["metadata"]["labels"]["serving.knative.dev/configurationGeneration"] == "5"
    assert newest["metadata"]["name"].startswith("api-00005-")


def rest(kind, emulator):
    """One of google's clients, over its HTTP transport."""
    options = {"api_endpoint": f"http://{emulator.rest}"}
    return kind(transport="rest", credentials=AnonymousCredentials(), client_options=options)


def test_v2_and_secrets_over_google_rest():
    """Google's own HTTP clients read what the gRPC clients read."""
    with playing(MORE, watched=False, page=1) as emulator:
        services, revisions, *_ = Connection(emulator.address).cloud_run()
        secrets = Connection(secrets_emulator=emulator.address).secret_manager()
        pools = rest(run_v2.WorkerPoolsClient, emulator)
        jobs = rest(run_v2.JobsClient, emulator)
        over = rest(run_v2.RevisionsClient, emulator)
        other = rest(secretmanager_v1.SecretManagerServiceClient, emulator)
        one = "projects/shop/secrets/jwt"
        pairs = [
            (rest(run_v2.ServicesClient, emulator).get_service(name=f"{NAME}/services/api"), services.get_service(name=f"{NAME}/services/api")),
            (list(over.list_revisions(parent=f"{NAME}/services/-")), list(revisions.list_revisions(parent=f"{NAME}/services/-"))),
            (list(over.list_revisions(parent=f"{NAME}/workerPools/mailer")), list(revisions.list_revisions(parent=f"{NAME}/workerPools/mailer"))),
            (list(other.list_secrets(parent="projects/shop")), list(secrets.list_secrets(parent="projects/shop"))),
            (list(other.list_secret_versions(parent=one)), list(secrets.list_secret_versions(parent=one))),
            (other.get_secret_version(name=f"{one}/versions/latest"), secrets.get_secret_version(name=f"{one}/versions/latest")),
            (other.get_iam_policy(request={"resource": one}), secrets.get_iam_policy(request={"resource": one})),
        ]  # fmt: skip
        asked = {"resource": one, "permissions": ["secretmanager.versions.get", "x"]}
        held = other.test_iam_permissions(request=asked)
        pool, job = (
            next(iter(pools.list_worker_pools(parent=NAME))),
            jobs.get_job(name=f"{NAME}/jobs/nightly"),
        )
        with pytest.raises(exceptions.Forbidden):
            other.access_secret_version(name=f"{one}/versions/1")
        with pytest.raises(exceptions.NotFound):
            other.get_secret(name="projects/shop/secrets/x")
        kinds = {c.kind for c in emulator.calls if c.deadline is None}

    assert [a == b for a, b in pairs] == [True] * len(pairs)
    assert (pool.scaling.manual_instance_count, job.template.task_count) == (3, 5)
    assert list(held.permissions) == ["secretmanager.versions.get"]
    assert kinds == {"read", "payload"}


def test_json_of_v2():
    """Numbers of 64 bits are text, and enumerations are names, or numbers for who asks for them."""
    with playing(watched=False) as emulator:
        client = Client(emulator)
        plain = client.get(f"{RUN}/v2/{NAME}/services/api")
        numbers = client.get(f"{RUN}/v2/{NAME}/services/api?$alt=json;enum-encoding=int")

    assert (plain["generation"], plain["ingress"]) == ("3", "INGRESS_TRAFFIC_ALL")
    assert (numbers["generation"], numbers["ingress"]) == ("3", 1)


def test_permissions_of_a_project():
    """Which permissions the caller has in a project can be asked by anyone."""
    url = "http://cloudresourcemanager.emulator.test/v1/projects/shop:testIamPermissions"
    asked = {"permissions": ["run.services.list", "secretmanager.versions.access"]}
    with playing(watched=False) as emulator:
        plain = Client(emulator)("POST", url, json=asked)
    with playing(watched=False, permissions={"shop": asked["permissions"]}) as emulator:
        more = Client(emulator)("POST", url, json=asked)
    with playing(watched=False, denied=["projects/shop"]) as emulator:
        none = Client(emulator)("POST", url, json=asked)

    assert [r["permissions"] for r in (plain, more, none)] == [
        ["run.services.list"],
        asked["permissions"],
        [],
    ]


ERRORS = {
    "an unknown URL": ("GET", f"{RUN}/v3/nothing", 404, "NOT_FOUND"),
    "an unknown service": ("GET", f"{V1}/services/x", 404, "NOT_FOUND"),
    "an unknown revision": ("GET", f"{V1}/revisions/x", 404, "NOT_FOUND"),
    "a write to nothing": ("PUT", f"{V1}/services/x", 404, "NOT_FOUND"),
    "an invented token": ("GET", f"{V1}/services?continue=mine", 400, "INVALID_ARGUMENT"),
    "a size that is none": ("GET", f"{V1}/services?limit=all", 400, "INVALID_ARGUMENT"),
    "a selector that is none": ("GET", f"{V1}/services?labelSelector=a>b", 400, "INVALID_ARGUMENT"),
    "a wildcard in v2": ("GET", f"{RUN}/v2/projects/shop/locations/-/services", 400, "INVALID_ARGUMENT"),
    "a deletion": ("DELETE", f"{V1}/services/api", 403, "PERMISSION_DENIED"),
    "a deletion in v2": ("DELETE", f"{RUN}/v2/{NAME}/services/api", 403, "PERMISSION_DENIED"),
    "a payload": ("GET", "http://sm.test/v1/projects/shop/secrets/jwt/versions/3:access", 403, "PERMISSION_DENIED"),
}  # fmt: skip


@pytest.mark.parametrize("what", ERRORS)
def test_errors(what):
    """Errors have the body of Google's APIs: code, message and status."""
    verb, url, code, status = ERRORS[what]
    with playing(watched=False) as emulator:
        error = Client(emulator).error(verb, url, code)

    assert (error["code"], error["status"]) == (code, status)
    assert error["message"]


def test_calls_that_nothing_answers_are_counted():
    """Who tries to write where nothing is served is found out."""
    with playing(watched=False) as emulator:
        Client(emulator).error("POST", f"{RUN}/v2/{NAME}/jobs/nightly:run", 404)
        calls = [(c.method, c.kind) for c in emulator.calls]

    assert calls == [(f"POST /v2/{NAME}/jobs/nightly:run", "write")]


def test_bad_bodies():
    """A body that is not JSON, not the right message, or too large is refused."""
    iam = "http://sm.test/v1/projects/shop/secrets/jwt:testIamPermissions"
    with playing(watched=False) as emulator:
        client = Client(emulator)
        broken = client.error("PUT", f"{V1}/services/api", 400, data=b"{")
        wrong = client.error("POST", iam, 400, json={"permissions": 5})
        connection = http.client.HTTPConnection(emulator.rest)
        connection.putrequest("PUT", "/x")
        connection.putheader("Content-Length", str(2**30))
        connection.endheaders()
        large = connection.getresponse()
        large.read()
        connection.close()

    assert (broken["message"], wrong["code"]) == ("the body is not JSON", 400)
    assert large.status == 400


def test_denied_over_http():
    """What the world denies is denied on every front."""
    with playing(watched=False, denied=[f"{NAME}/services/api"]) as emulator:
        client = Client(emulator)
        codes = [
            client.error("GET", url, 403)["status"]
            for url in (f"{V1}/services/api", f"{RUN}/v2/{NAME}/services/api/revisions")
        ]

    assert codes == ["PERMISSION_DENIED"] * 2


def test_one_connection_serves_many_calls():
    """Connections are kept: a client of many calls opens one."""
    with playing(watched=False) as emulator:
        connection = http.client.HTTPConnection(emulator.rest, timeout=5)
        statuses, sockets = [], set()
        for _ in range(3):
            connection.request("GET", f"/v2/{NAME}/services/api")
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
            sockets.add(id(connection.sock))
        connection.close()

    assert (statuses, len(sockets)) == ([200] * 3, 1)


def test_rest_port_in_use():
    """A port for HTTP that another server has is one line as well."""
    with playing(watched=False) as emulator, pytest.raises(CommandError, match="in use"):
        Emulator(world(), rest_port=int(emulator.rest.rpartition(":")[2]))


LIST = "v1.Services/ListServices"


@pytest.mark.parametrize("code", sorted(CODES))
def test_codes_over_http(code):
    """Every status has its HTTP code, and the body names it."""
    with Emulator(world(), faults=[Fault(LIST, 1, code)]) as emulator:
        reply = requests.get(
            f"http://{emulator.rest}/v1/projects/shop/locations/-/services", timeout=5
        )

    assert reply.status_code >= 400
    assert reply.json()["error"]["status"] == code


def test_retry_info_over_http():
    """A quota that is used up says how long to wait."""
    with Emulator(world(), faults=[Fault(LIST, 1, RETRY_INFO)]) as emulator:
        error = Client(emulator).error("GET", f"{V1}/services", 429)

    assert error["details"][0]["retryDelay"] == "0.2s"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset", requests.ConnectionError),
        ("reset-midway", requests.exceptions.ChunkedEncodingError),
        ("hang", requests.Timeout),
        ("truncated", requests.exceptions.JSONDecodeError),
    ],
)
def test_ways_that_fail_over_http(kind, error):
    """A connection that fails, hangs or ends too early is that for a client of HTTP too."""
    url = f"{V1}/services"
    with Emulator(world(), faults=[Fault(LIST, 1, kind)]) as emulator:
        proxies = {"http": f"http://{emulator.rest}"}
        with pytest.raises(error):
            requests.get(url, timeout=0.3, proxies=proxies).json()
        again = requests.get(url, timeout=5, proxies=proxies).json()

    assert names(again) == ["api", "web"]
    assert [f.kind for f in emulator.fired] == [kind]


@pytest.mark.parametrize("kind", ["slow-drip", "oversize", "unknown-field"])
def test_ways_that_work_over_http(kind):
    """An answer that comes slowly, is large, or says more than is known has the same content."""
    with Emulator(
        world(), faults=[Fault(LIST, 1, kind), Fault("Services/ListServices", 1, kind)]
    ) as emulator:
        client = Client(emulator)
        found = [client.get(f"{V1}/services"), client.get(f"{RUN}/v2/{NAME}/services")]

    assert names(found[0]) == ["api", "web"]
    assert [s["name"] for s in found[1]["services"]] == [
        f"{NAME}/services/{s}" for s in ("api", "web")
    ]
    assert [("field1023" in json.dumps(f)) for f in found] == [kind == "unknown-field"] * 2
    assert len(emulator.fired) == 2


def test_locations_go_wrong():
    """The list of locations can go wrong like any other."""
    rpc = "Locations/ListLocations"
    with Emulator(world(MORE, page=1), faults=[Fault(rpc, 1, "changed-duplicate")]) as emulator:
        client, url, found, token = Client(emulator), f"{RUN}/v1/projects/shop/locations", [], ""
        for _ in range(3):
            page = client.get(url, pageToken=token)
            found += [at["displayName"] for at in page["locations"]]
            token = page["nextPageToken"]

    assert found == ["europe-west1-before", "europe-west1", "europe-west4"]


def test_lists_go_wrong_over_http():
    """Faults of lists are the same on every front; an unreachable region loses its services."""
    faults = [Fault(LIST, 1, "unreachable"), Fault(LIST, 2, "changed-duplicate"), Fault("v1.Revisions/ListRevisions", 1, "early-end")]  # fmt: skip
    with Emulator(world(MORE, page=5), faults=faults) as emulator:
        client = Client(emulator)
        url = f"{RUN}/v1/projects/shop/locations/-/services"
        partial, before, after = client.get(url), client.get(url), client.get(url)
        cut = client.get(f"{V1}/revisions", limit=1)

    assert (partial["unreachable"], len(partial["items"])) == (["europe-west4"], 1)
    assert before["items"][1]["metadata"]["resourceVersion"].endswith("-before")
    assert after["unreachable"] == []
    assert cut["metadata"] == {}
    assert len(emulator.fired) == 3
