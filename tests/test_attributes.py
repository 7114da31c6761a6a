"""Terraform's attributes and the documents of Cloud Run that they stand for are read alike."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.collector import fields
from drift_audit.collector.attributes import ESSENTIAL, OPEN, field_name
from drift_audit.collector.exports import Files, read
from drift_audit.collector.instance import V1, V1_SHAPE, V2
from drift_audit.snapshot import Seen, Snapshot
from tests.attributes import camel, state
from tests.builders import sealer
from tests.provider import SCHEMA

PLACE = {"name": "api", "location": "europe-west1", "project": "shop"}


def newest(folder: Path, document: Any) -> Snapshot:
    """What a file tells of its one service, without what it passes over."""
    (folder / "file.json").write_text(json.dumps(document))
    [service] = Files([read(str(folder / "file.json"))], sealer()).collect().services
    seen = Seen(unseen=service.newest.seen.unseen)
    return service.newest.but(service=service.settings, seen=seen)


def some(**optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


WORDS = st.sampled_from(["a", "b-c", "é", "x y"])
NAMES = st.sampled_from(["app", "jwt", "key-1"])
TEXTS = st.lists(st.sampled_from(["--a", "", "b"]), min_size=1, max_size=2)
COUNTS = st.integers(1, 9)
FLAGS = st.booleans()
MAPS = st.dictionaries(st.sampled_from(["team", "a_b", "x.io/y"]), st.sampled_from(["", "v"]))
VERSIONS = st.sampled_from(["latest", "7", "prod"])
PORTS = some(port=st.integers(1, 65535))

PROBES = st.one_of(
    st.builds(lambda times, how: {**times, "tcpSocket": how}, some(periodSeconds=COUNTS), PORTS),
    st.builds(lambda times, how: {**times, "grpc": how}, some(failureThreshold=COUNTS), PORTS),
    st.builds(
        lambda path, headers: {"httpGet": {"path": path, "httpHeaders": headers}},
        st.sampled_from(["/", "/healthz", "/h?token=x"]),
        st.lists(st.fixed_dictionaries({"name": NAMES, "value": WORDS}), max_size=2),
    ),
)
SOURCES = st.one_of(
    st.builds(lambda value: {"value": value}, st.sampled_from(["", "x", "é", " "])),
    st.builds(
        lambda secret, version: {"valueSource": {"secretKeyRef": {"secret": secret, **version}}},
        st.sampled_from(["jwt", "projects/other/secrets/db"]),
        some(version=VERSIONS),
    ),
)
ENV = st.dictionaries(st.sampled_from(["A", "B", "JWT_SECRET", "É"]), SOURCES).map(
    lambda found: [{"name": name, **source} for name, source in found.items()]
)
CONTAINERS = some(
    args=TEXTS, command=TEXTS, workingDir=WORDS, baseImageUri=WORDS, env=ENV,
    ports=st.lists(some(containerPort=COUNTS, name=st.just("h2c")), min_size=1, max_size=1),
    resources=st.fixed_dictionaries(
        {"limits": st.sampled_from([{"cpu": "2"}, {"cpu": "1000m", "memory": "1Gi"}])},
        optional={"cpuIdle": FLAGS, "startupCpuBoost": FLAGS},
    ),
    startupProbe=PROBES, livenessProbe=PROBES, readinessProbe=PROBES,
).map(lambda found: {"image": "r/app:1", "name": "app", **found})  # fmt: skip

VOLUMES = st.one_of(
    st.builds(
        lambda secret, items, mode: {"secret": {"secret": secret, "items": items, **mode}},
        NAMES,
        st.lists(
            st.builds(
                lambda version, mode: {"path": "file", **version, **mode},
                some(version=VERSIONS), some(mode=st.just(0o400)),
            ),
            max_size=1,
        ),
        some(defaultMode=st.just(0o440)),
    ),
    st.just({"cloudSqlInstance": {"instances": ["shop:europe-west1:db"]}}),
    st.builds(lambda more: {"emptyDir": more}, some(medium=st.just("MEMORY"), sizeLimit=st.just("1Gi"))),
    st.builds(lambda more: {"gcs": {"bucket": "b", **more}}, some(readOnly=FLAGS, mountOptions=TEXTS)),
    st.builds(lambda more: {"nfs": {"server": "s", "path": "/p", **more}}, some(readOnly=FLAGS)),
)  # fmt: skip
SCALING = some(minInstanceCount=COUNTS, maxInstanceCount=COUNTS)
TEMPLATES = st.builds(
    lambda told, container, volumes: {
        **told,
        "volumes": [{"name": f"v{i}", **volume} for i, volume in enumerate(volumes)],
        "containers": [
            {
                **container,
                "volumeMounts": [
                    {"name": f"v{i}", "mountPath": "/cloudsql" if "cloudSqlInstance" in v else f"/{i}"}
                    for i, v in enumerate(volumes)
                ],
            }
        ],
    },
    some(
        labels=MAPS, annotations=MAPS, encryptionKey=WORDS,
        executionEnvironment=st.just("EXECUTION_ENVIRONMENT_GEN2"), sessionAffinity=FLAGS,
        gpuZonalRedundancyDisabled=FLAGS, healthCheckDisabled=FLAGS,
        maxInstanceRequestConcurrency=COUNTS, timeout=st.just("60s"), scaling=SCALING,
        serviceAccount=st.just("a@shop.iam.gserviceaccount.com"),
        nodeSelector=st.just({"accelerator": "nvidia-l4"}),
        vpcAccess=some(
            connector=st.just("projects/shop/locations/europe-west1/connectors/c"),
            egress=st.just("ALL_TRAFFIC"),
            networkInterfaces=st.just([{"network": "n", "tags": ["t"]}]),
        ),
    ),
    CONTAINERS,
    st.lists(VOLUMES, max_size=2),
)  # fmt: skip
SERVICES = some(
    labels=MAPS, annotations=MAPS, description=WORDS, client=WORDS, clientVersion=WORDS,
    customAudiences=st.just(["https://a"]), defaultUriDisabled=FLAGS, iapEnabled=FLAGS,
    invokerIamDisabled=FLAGS, launchStage=st.sampled_from(["GA", "BETA"]),
    ingress=st.sampled_from(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"]),
    binaryAuthorization=some(useDefault=FLAGS, policy=WORDS, breakglassJustification=WORDS),
    scaling=st.one_of(
        SCALING, st.builds(lambda n: {"scalingMode": "MANUAL", "manualInstanceCount": n}, COUNTS),
    ),
    multiRegionSettings=st.just({"regions": ["europe-west1", "europe-west4"]}),
    traffic=st.lists(
        some(
            type=st.just("TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"), percent=COUNTS,
            revision=st.just("api-1"), tag=NAMES,
        ),
        max_size=2,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@given(SERVICES, TEMPLATES, st.integers())
def test_attributes_are_the_service_they_stand_for(folder, service, template, seed):
    """Whatever a service is set to, its attributes in a state read as its v2 JSON does."""
    zero = random.Random(seed).choice
    place = "projects/shop/locations/europe-west1/services/api"
    document = {**service, "template": template}
    direct = newest(folder, {"name": place, **document})
    kept = state("google_cloud_run_v2_service", document, lambda: zero([True, False]), **PLACE)

    assert newest(folder, kept) == direct


@given(TEMPLATES, st.integers())
def test_attributes_of_jobs_and_worker_pools(folder, template, seed):
    """The same holds for jobs and worker pools, as far as they have these fields."""
    zero = random.Random(seed).choice
    container = {
        k: v for k, v in template["containers"][0].items() if k in ("image", "env", "args")
    }
    inner = {"containers": [container], "volumes": template["volumes"]}
    task = {**inner, "maxRetries": 2}
    kinds = {
        "google_cloud_run_v2_job": ("jobs", {"template": {"taskCount": 2, "template": task}}),
        "google_cloud_run_v2_worker_pool": ("workerPools", {"template": inner}),
    }
    for kind, (plural, document) in kinds.items():
        place = f"projects/shop/locations/europe-west1/{plural}/api"
        kept = state(kind, document, lambda: zero([True, False]), **PLACE)

        assert newest(folder, kept) == newest(folder, {"name": place, **document})


MANIFEST: dict[str, Any] = {
    "metadata": {
        "annotations": {"run.googleapis.com/ingress": "internal", "x": ""},
        "labels": {"team": "api"},
    },
    "template": {
        "metadata": {
            "annotations": {
                "autoscaling.knative.dev/maxScale": "7",
                "run.googleapis.com/cloudsql-instances": "shop:europe-west1:db",
                "run.googleapis.com/secrets": "far:projects/other/secrets/jwt",
                "run.googleapis.com/cpu-throttling": "false",
            },
            "labels": {"commit-sha": "0123456789abcdef"},
        },
        "spec": {
            "containerConcurrency": 5,
            "serviceAccountName": "a@shop.iam.gserviceaccount.com",
            "timeoutSeconds": 60,
            "nodeSelector": {"run.googleapis.com/accelerator": "nvidia-l4"},
            "containers": [
                {
                    "image": "r/app:1",
                    "args": ["--a", ""],
                    "env": [
                        {"name": "A", "value": "x"},
                        {"name": "B", "value": ""},
                        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "far", "key": "7"}}},
                    ],
                    "ports": [{"containerPort": 9000, "name": "h2c"}],
                    "resources": {"limits": {"cpu": "2"}},
                    "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 5},
                    "volumeMounts": [{"name": "v", "mountPath": "/etc/v"}],
                }
            ],
            "volumes": [
                {
                    "name": "v",
                    "secret": {
                        "secretName": "tls",
                        "items": [{"key": "latest", "path": "tls.pem"}],
                    },
                }
            ],
        },
    },
    "traffic": [{"percent": 100, "latestRevision": True}],
}


@pytest.mark.parametrize("zero", [True, False])
def test_attributes_of_v1(folder, zero):
    """The older resource reads as the manifest that it stands for."""
    metadata = {**MANIFEST["metadata"], "name": "api", "namespace": "shop"}
    metadata["labels"] |= {"cloud.googleapis.com/location": "europe-west1"}
    manifest = {
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata,
        "spec": {"template": MANIFEST["template"], "traffic": MANIFEST["traffic"]},
    }  # fmt: skip
    kept = state("google_cloud_run_service", MANIFEST, lambda: zero, **PLACE)

    assert newest(folder, kept) == newest(folder, manifest)


# The tables


def blocks(told: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every attribute and block of the published schema, in the words of the API."""
    for name, inner in told.items():
        if name != "":
            yield (*path, camel(name)), inner
            if not isinstance(inner, str):
                yield from blocks(inner, (*path, camel(name)))


EVERYTHING = {kind: dict(blocks(told)) for kind, told in SCHEMA.items() if "secret" not in kind}
PLACES = {".".join(path[-2:]) for found in EVERYTHING.values() for path in found}


def test_tables_speak_of_what_there_is():
    """What is open, and what all hangs on, are attributes of the provider."""
    of_lists = {"volumes.secret", "instanceSplits.percent", "csi.readOnly"}

    assert OPEN - PLACES - of_lists == set()
    assert ESSENTIAL - PLACES - of_lists == set()


def computed(inner: Any) -> bool:
    words = inner if isinstance(inner, str) else inner.get("", "")
    return "computed" in words.split() and (not isinstance(inner, str) or "optional" in words)


def test_what_the_provider_computes_is_open():
    """Each attribute that can be set and is computed where it is not stands in the table."""
    apart = {"id", "project", "iapEnabled"}
    found = {
        ".".join(path[-2:])
        for everything in EVERYTHING.values()
        for path, inner in everything.items()
        if computed(inner)
    }

    assert {"ingress", "template.timeout", "containers.resources"} <= found
    assert found - OPEN - apart == set()


def known(shape: fields.Shape, path: tuple[str, ...]) -> bool:
    for step in path:
        shape = shape[0] if isinstance(shape, list) else shape
        if not isinstance(shape, dict):
            return True
        if step not in shape:
            return False
        shape = shape[step]
    return True


def test_every_attribute_is_known():
    """All that the provider publishes stands in a table, or is passed over by name."""
    shapes = {V1: V1_SHAPE} | {kind: shape for kind, (_, _, shape) in V2.items()}
    apart = {
        "autogenerateRevisionName", "deletionProtection", "effectiveAnnotations", "effectiveLabels",
        "id", "location", "name", "project", "terraformLabels", "servingState", "timeouts",
    }  # fmt: skip
    unknown = {
        (kind, ".".join(path))
        for kind, everything in EVERYTHING.items()
        for path in everything
        if path[-1] not in apart and not known(shapes[kind], path)
    }

    assert unknown == {
        (V1, "template.spec.containers.resources.requests"),
        *(("google_cloud_run_v2_worker_pool", f"scaling.{field}") for field in (
            "maxInstanceCount", "minInstanceCount", "scalingMode",
        )),
    }  # fmt: skip


def test_names():
    """An attribute is its field with other letters; what is no attribute stays as it is."""
    names = ["cpu_idle", "max_instance_request_concurrency", "nfs", "x.io/a-b"]

    assert [field_name(name) for name in names] == [
        "cpuIdle", "maxInstanceRequestConcurrency", "nfs", "x.io/a-b",
    ]  # fmt: skip
