"""v1 Knative: kinds, aliases, and the shapes that people really write."""

from __future__ import annotations

import pytest

from drift_audit.binding import LiteralValue, SecretReference, Unreadable
from drift_audit.collector.knative import resource
from drift_audit.strict import Refused, load
from tests.builders import sealer

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: api, namespace: '123'}}
spec:
  template:
    metadata: {metadata}
    spec:
      containers:
      - name: app
        image: i
        {container}
      volumes: {volumes}
"""


def service(container="env: []", metadata="{}", volumes="[]"):
    return resource(
        load(SERVICE.format(container=container, metadata=metadata, volumes=volumes))[0]
    )


def source(env, metadata="{}"):
    [binding] = service(f"env: [{env}]", metadata).snapshot(sealer()).bindings
    return binding.source


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("apiVersion: apps/v1\nkind: Deployment", "a Deployment of apps"),
        ("apiVersion: run.googleapis.com/v1\nkind: Job", "a Job of run.googleapis.com"),
        ("apiVersion: v1\nkind: Service", "a Service of v1"),
        ("apiVersion: ''\nkind: ''", "a document without kind of no API"),
        ("apiVersion: cnryTokenAbc/v1\nkind: cnryTokenAbc", "a resource of another API, not of"),
    ],
)
def test_other_kinds(head, reason):
    """What is no service, revision or worker pool of Cloud Run is refused by its kind."""
    with pytest.raises(Refused, match=f"^wrong-kind: {reason}"):
        resource(load(head)[0])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("kind: Service\nmetadata: {}\nspec: {}", "missing-name"),
        ("kind: Service\nmetadata: x", "wrong-type"),
        ("kind: Revision\nmetadata: {name: api-1}", "missing-name"),
        (
            "kind: Service\nmetadata: {name: a}\nspec: {template: {spec: {containers: 5}}}",
            "wrong-type",
        ),
    ],
)
def test_nameless_and_shapeless(text, rule):
    """A document that does not say what it describes is refused."""
    with pytest.raises(Refused, match=f"^{rule}: "):
        resource(load("apiVersion: serving.knative.dev/v1\n" + text)[0])


def test_namespace_is_the_project_number():
    """Exports name the project by its number; an id, if there is one, is kept apart."""
    number = service().identity
    known = service().named("shop", "europe-west1").identity

    assert (number.project, number.project_number, number.region) == ("123", "123", "-")
    assert (known.project, known.project_number, known.region) == ("shop", "123", "europe-west1")


def test_what_a_file_names_is_kept():
    """A project id and a region that stand in the file are not replaced."""
    text = SERVICE.format(container="env: []", metadata="{}", volumes="[]").replace(
        "'123'", "other"
    )
    text = text.replace("namespace", "labels: {cloud.googleapis.com/location: us-east1}, namespace")
    named = resource(load(text)[0]).named("shop", "europe-west1").identity

    assert (named.project, named.region) == ("other", "us-east1")


ALIASES = "{{annotations: {{run.googleapis.com/secrets: '{}'}}}}"
REF = "{name: A, valueFrom: {secretKeyRef: {name: jwt-k, key: '3'}}}"


@pytest.mark.parametrize(
    ("annotation", "project", "secret"),
    [
        ("jwt-k:projects/9/secrets/jwt", "9", "jwt"),
        ("x:projects/9/secrets/y,jwt-k:projects/other/secrets/jwt", "other", "jwt"),
        (" jwt-k:projects/123/secrets/jwt\\n", "", "jwt"),
        ("x:projects/9/secrets/y", "", "jwt-k"),
    ],
)
def test_aliases(annotation, project, secret):
    """An alias means what the annotation says; a name that is no alias is a secret of the project."""
    metadata = ALIASES.format(annotation).replace("'", '"')

    assert source(REF, metadata) == SecretReference(project=project, secret=secret, version="3")


@pytest.mark.parametrize(
    "entry", ["A=projects/9/secrets/jwt:latest", "jwt-k:secrets/jwt", "jwt-k", ":x"]
)
def test_broken_aliases_are_unseen(entry):
    """An entry that cannot be read leaves open which secret is meant: that is said."""
    one = service(metadata=ALIASES.format(entry)).snapshot(sealer())

    assert [u.where for u in one.seen.unseen] == ["annotation run.googleapis.com/secrets"]


def test_volumes_resolve_aliases():
    """A mounted secret in another project is known by its own name, not by its alias."""
    one = service(
        "volumeMounts: [{name: v, mountPath: /k}]",
        ALIASES.format("jwt-k:projects/9/secrets/jwt"),
        "[{name: v, secret: {secretName: jwt-k}}]",
    ).snapshot(sealer())

    assert [(m.path, str(m.source)) for m in one.mounts] == [
        ("/k/jwt", "projects/9/secrets/jwt@latest")
    ]


def test_env_from_is_unseen():
    """Keys that come from elsewhere are not shown by the file: it is incomplete."""
    one = service("envFrom: [{secretRef: {name: all}}]").snapshot(sealer())

    assert [u.where for u in one.seen.unseen] == ["envFrom of container app"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{name: A, valie: x}", "comes from valie"),
        (
            "{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}",
            "comes from configMapKeyRef",
        ),
        ("{name: A, valueFrom: {fieldRef: {fieldPath: p}}}", "comes from fieldRef"),
    ],
)
def test_other_origins_are_unreadable(entry, reason):
    """A value that comes from where we cannot look is unreadable, a misspelled one too."""
    assert source(entry) == Unreadable(reason=reason)


def test_value_from_nothing():
    """A reference to nothing at all is an empty value, as gcloud reads it."""
    assert source("{name: A, valueFrom: {}}").state == "empty"


def test_known_value_beside_an_unknown_field():
    """An entry with a value is read; the field beside it is told as unknown."""
    one = service("env: [{name: A, value: x, note: y}]").snapshot(sealer())

    assert isinstance(one.bindings[0].source, LiteralValue)
    assert [s.name for s in one.settings if s.name.startswith("unknown")] == [
        "unknown.containers.env.note"
    ]


@pytest.mark.parametrize(
    "annotation",
    [
        "run.googleapis.com/network-interfaces: 'not json'",
        "run.googleapis.com/network-interfaces: '{\"a\": 1}'",
        "run.googleapis.com/container-dependencies: '[[[[['",
        'run.googleapis.com/container-dependencies: \'{"gone": ["app"]}\'',
        'run.googleapis.com/sources: \'{"app": "cnry"}\'',
        "run.googleapis.com/unheard-of: x",
        "run.googleapis.com/cpu: 2",
    ],
)
def test_odd_annotations_stay_annotations(annotation):
    """An annotation that is unknown, or does not parse, is kept sealed and refuses nothing."""
    one = service(metadata=f"{{annotations: {{{annotation}}}}}").snapshot(sealer())

    assert [s.name for s in one.settings if s.name.startswith("annotation.")] == [
        f"annotation.{annotation.split(':')[0]}"
    ]


def test_network_interfaces_from_json():
    """Interfaces stand in an annotation as JSON and are read as such."""
    text = """{annotations: {run.googleapis.com/network-interfaces: '[{"network":"n","subnetwork":"s","tags":["b","a"]}]'}}"""
    one = service(metadata=text).snapshot(sealer())

    assert [one.setting(f"vpc.{n}") for n in ("network", "subnetwork", "tags")] == [
        "n",
        "s",
        "a, b",
    ]


def test_revision_name_of_a_template():
    """The template's own name, else the newest revision; a placeholder is a finding, not a name."""
    named = service(metadata="{name: api-00001-abc}")
    unfilled = service(metadata="{name: 'api-${TAG}'}")

    assert named.identity.revision == "api-00001-abc"
    assert unfilled.identity.revision == ""
    assert unfilled.snapshot(sealer()).setting("revision_name") == "api-${TAG}"


REVISION = """
apiVersion: serving.knative.dev/v1
kind: Revision
metadata:
  name: api-00001-abc
  uid: u
  creationTimestamp: '2026-01-01T00:00:00.123456Z'
  resourceVersion: r
  labels: {serving.knative.dev/service: api, serving.knative.dev/configurationGeneration: '7', client.knative.dev/nonce: n}
  annotations:
    serving.knative.dev/creator: a@b
    run.googleapis.com/client-name: gcloud
    run.googleapis.com/client-version: 528.0.0
    run.googleapis.com/operation-id: o
spec: {containers: [{image: i}]}
status:
  imageDigest: r/i@sha256:00
  conditions: [{type: Ready, status: 'True', reason: Retired}, {type: Active, status: 'False'}, {type: X, status: Unknown}]
"""


def test_revision_says_who_made_it():
    """Creator, claimed client, time and generation are identity; system noise is passed over by name."""
    one = resource(load(REVISION)[0])
    who, found = one.identity, one.snapshot(sealer())

    assert (who.creator, who.client, who.client_version, who.generation) == (
        "a@b",
        "gcloud",
        "528.0.0",
        7,
    )
    assert who.create_time.isoformat() == "2026-01-01T00:00:00.123456+00:00"
    assert (found.status.ready, found.status.ready_reason, found.status.active) == (
        True,
        "Retired",
        False,
    )
    assert found.setting("image_digest") == "sha256:00"
    assert {
        "client.knative.dev/nonce",
        "metadata.resourceVersion",
        "run.googleapis.com/operation-id",
    } <= set(found.seen.ignored)


def test_digest_per_container():
    """Newer exports name the digest of each container."""
    text = REVISION.replace(
        "imageDigest: r/i@sha256:00", "containerStatuses: [{name: app, imageDigest: r/i@sha256:11}]"
    )
    found = resource(
        load(text.replace("[{image: i}]", "[{name: app, image: i}, {name: b, image: j}]"))[0]
    ).snapshot(sealer())

    assert (found.setting("image_digest", "app"), found.setting("image_digest", "b")) == (
        "sha256:11",
        None,
    )


def test_worker_pool():
    """A worker pool has splits instead of traffic, and revisions of its own."""
    text = """
apiVersion: run.googleapis.com/v1
kind: WorkerPool
metadata: {name: jobs, namespace: shop}
spec:
  instanceSplits: [{latestRevision: true, percent: 100}]
  template: {spec: {containers: [{image: i}]}}
status: {instanceSplits: [{revisionName: jobs-1, percent: 100}], latestCreatedRevisionName: jobs-1}
"""
    one = resource(load(text)[0])

    assert (one.identity.kind, one.identity.revision) == ("worker-pool", "jobs-1")
    assert [(t.revision, t.percent) for t in one.traffic] == [("jobs-1", 100)]


def test_revision_of_a_worker_pool():
    """Its revisions name it by another label."""
    text = REVISION.replace(
        "serving.knative.dev/service: api", "run.googleapis.com/workerPool: jobs"
    )
    who = resource(load(text)[0]).identity

    assert (who.kind, who.service) == ("worker-pool", "jobs")


def told(container="env: []", metadata="{}", volumes="[]"):
    """The settings of a template by name, those of its container included."""
    found = service(container, metadata, volumes).snapshot(sealer())
    return {s.name: s.value for s in found.settings}


def annotated(text):
    return told(metadata=f"{{annotations: {{{text}}}}}")


def test_sources():
    """Where code was deployed from stands in an annotation, by container."""
    text = 'run.googleapis.com/sources: \'{"app": "gs://b/o/x.zip#3"}\''

    assert annotated(text)["source"] == "gs://b/o/x.zip#3"
    assert not [n for n in annotated(text) if n.startswith("annotation.")]


@pytest.mark.parametrize(
    ("written", "idle"),
    [("", True), ("''", True), ("'True'", True), ("'no'", False), ("off", False), ("yes", True)],
)
def test_cpu_throttling(written, idle):
    """Nothing means the default; every spelling of a boolean is read."""
    assert annotated(f"run.googleapis.com/cpu-throttling: {written}")["cpu_idle"] is idle


def test_cloud_sql_annotation():
    """Cloud Run mounts what the annotation lists; a comma at its end means nothing."""
    found = annotated("run.googleapis.com/cloudsql-instances: 'p:r:a, p:r:b,'")

    assert [n for n in found if n.startswith(("cloud_sql", "volume"))] == [
        "cloud_sql.p:r:a",
        "cloud_sql.p:r:b",
    ]


def test_nothing_to_attach_to():
    """A template without containers is refused for that, Cloud SQL or not."""
    bare = resource(
        load(
            "apiVersion: serving.knative.dev/v1\nkind: Revision\nspec: {}\n"
            "metadata: {name: api-1, labels: {serving.knative.dev/service: api},"
            " annotations: {run.googleapis.com/cloudsql-instances: 'p:r:a'}}"
        )[0]
    )

    with pytest.raises(Refused, match=r"^no-containers: "):
        bare.snapshot(sealer())


def test_shutdown_hours_that_are_no_number():
    """Hours that are no number are shown as they stand."""
    found = annotated("run.googleapis.com/encryption-key-shutdown-hours: '%HOURS%'")

    assert found["encryption_key_shutdown_seconds"] == "%HOURS%"


def test_other_drivers():
    """A bucket is what gcsfuse mounts; another driver is told as one that Cloud Run does not have."""
    mount = "volumeMounts: [{name: v, mountPath: /m}]"
    ours = told(mount, volumes="[{name: v, csi: {driver: gcsfuse.run.googleapis.com}}]")
    other = told(mount, volumes="[{name: v, csi: {driver: cnry.example.com}}]")

    assert ours["volume./m"] == "gcs"
    assert other["volume./m"] == "unsupported csi"
    assert isinstance(other["volume./m.details"], LiteralValue)


@pytest.mark.parametrize("kind", ["Service", "Revision"])
def test_unknown_fields_have_one_name(kind):
    """A field that nobody knows is called the same in a service and in its revision."""
    spec = "{foo: x, nodeSelector: {zone: z}, containers: [{image: i, bar: y}]}"
    labels = "{serving.knative.dev/service: api}"
    body = f"spec: {{template: {{spec: {spec}}}}}" if kind == "Service" else f"spec: {spec}"
    one = resource(
        load(
            f"apiVersion: serving.knative.dev/v1\nkind: {kind}\n"
            f"metadata: {{name: api-1, labels: {labels}}}\n{body}"
        )[0]
    ).snapshot(sealer())

    assert [s.name for s in one.settings if s.name.startswith("unknown")] == [
        "unknown.containers.bar",
        "unknown.foo",
        "unknown.nodeSelector.zone",
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        "annotations: {run.googleapis.com/urls: '[\"https://api-123.europe-west1.run.app\"]'}",
        "annotations: {x: y}",
    ],
)
def test_project_number_from_the_urls(metadata):
    """A service that is named by project id gives its number away in its URLs."""
    one = load(
        f"apiVersion: serving.knative.dev/v1\nkind: Service\n"
        f"metadata: {{name: api, namespace: shop, {metadata}}}\n"
        "spec: {template: {spec: {containers: [{image: i}]}}}\n"
    )[0]
    if "urls" not in metadata:
        one["status"] = {"url": "https://api-123.europe-west1.run.app"}
    who = resource(one).identity

    assert (who.project, who.project_number) == ("shop", "123")


def test_annotation_that_is_no_scalar():
    """An annotation that is an object is refused at its own place."""
    with pytest.raises(Refused, match=r"^wrong-type: ") as error:
        service(metadata="{annotations: {run.googleapis.com/mesh: {x: y}}}")
    assert error.value.path[-2:] == ("annotations", "run.googleapis.com/mesh")


@pytest.mark.parametrize("other", ["configMapKeyRef", "fieldRef", "resourceFieldRef"])
def test_two_sources_of_one_key(other):
    """A key that names a secret and something else is refused: none of the two is passed over."""
    env = f"{{name: A, valueFrom: {{secretKeyRef: {{name: jwt, key: '7'}}, {other}: {{name: x}}}}}}"

    with pytest.raises(Refused, match="value-and-reference: a key that comes from several places"):
        source(env)
