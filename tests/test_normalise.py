"""Normalising: one snapshot for one configuration, whichever shape it came in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drift_audit.binding import LiteralValue, SecretReference, Unreadable
from drift_audit.collector import fields, normalise
from drift_audit.collector.knative import resource
from drift_audit.collector.normalise import DEFAULT_PORT
from drift_audit.collector.resources import from_v2
from drift_audit.differ import compare
from drift_audit.snapshot import Identity
from drift_audit.strict import Refused, load
from tests.builders import sealer

WHO = Identity(project="shop", project_number="123", region="europe-west1", service="api")

V2 = """
labels: {team: shop, commit-sha: 0123abc}
annotations: {note: hello}
scaling: {minInstanceCount: 1, maxInstanceCount: 20}
vpcAccess:
  connector: projects/shop/locations/europe-west1/connectors/c1
  egress: ALL_TRAFFIC
timeout: 60s
serviceAccount: api@shop.iam.gserviceaccount.com
maxInstanceRequestConcurrency: 10
executionEnvironment: EXECUTION_ENVIRONMENT_GEN2
sessionAffinity: true
encryptionKey: projects/shop/locations/eu/keyRings/r/cryptoKeys/k
encryptionKeyRevocationAction: SHUTDOWN
encryptionKeyShutdownDuration: 7200s
serviceMesh: {mesh: projects/shop/locations/global/meshes/m}
nodeSelector: {accelerator: nvidia-l4}
gpuZonalRedundancyDisabled: true
healthCheckDisabled: true
containers:
  - name: app
    image: r/i@sha256:00
    command: [run]
    args: [--x, 'y z']
    workingDir: /srv
    dependsOn: [proxy]
    baseImageUri: base:1
    env:
      - {name: LITERAL, value: 'v'}
      - {name: EMPTY, value: ''}
      - {name: BARE}
      - {name: SECRET, valueSource: {secretKeyRef: {secret: jwt, version: '7'}}}
      - {name: FAR, valueSource: {secretKeyRef: {secret: projects/999/secrets/db, version: latest}}}
    resources: {limits: {cpu: '2', memory: 1Gi, nvidia.com/gpu: '1'}, cpuIdle: false, startupCpuBoost: true}
    ports: [{name: h2c, containerPort: 9000}]
    volumeMounts:
      - {name: key, mountPath: /etc/key}
      - {name: bucket, mountPath: /data}
      - {name: scratch, mountPath: /tmp}
      - {name: share, mountPath: /share}
      - {name: cloudsql, mountPath: /cloudsql}
    livenessProbe: {httpGet: {path: /ok, port: 9000, httpHeaders: [{name: X-Token, value: t}]}, periodSeconds: 5}
    startupProbe: {grpc: {service: s}}
  - name: proxy
    image: r/p
    env: [{name: LITERAL, value: w}]
    resources: {limits: {}, startupCpuBoost: true}
volumes:
  - {name: key, secret: {secret: tls, defaultMode: 256, items: [{path: a.pem, version: '3'}, {path: b.pem, version: latest, mode: 288}]}}
  - {name: bucket, gcs: {bucket: b, readOnly: true, mountOptions: [implicit-dirs]}}
  - {name: scratch, emptyDir: {medium: MEMORY, sizeLimit: 512Mi}}
  - {name: share, nfs: {server: 10.0.0.2, path: /x}}
  - {name: cloudsql, cloudSqlInstance: {instances: ['shop:europe-west1:db']}}
"""

V1 = """
apiVersion: serving.knative.dev/v1
kind: Revision
metadata:
  name: api-00001-abc
  namespace: shop
  labels:
    serving.knative.dev/service: api
    cloud.googleapis.com/location: europe-west1
    team: shop
    commit-sha: 0123abc
  annotations:
    note: hello
    autoscaling.knative.dev/minScale: '1'
    autoscaling.knative.dev/maxScale: '20'
    run.googleapis.com/vpc-access-connector: c1
    run.googleapis.com/vpc-access-egress: all
    run.googleapis.com/execution-environment: gen2
    run.googleapis.com/sessionAffinity: 'True'
    run.googleapis.com/encryption-key: projects/shop/locations/eu/keyRings/r/cryptoKeys/k
    run.googleapis.com/post-key-revocation-action-type: shut-down
    run.googleapis.com/encryption-key-shutdown-hours: '2'
    run.googleapis.com/mesh: projects/shop/locations/global/meshes/m
    run.googleapis.com/gpu-zonal-redundancy-disabled: 'True'
    run.googleapis.com/health-check-disabled: 'true'
    run.googleapis.com/cpu-throttling: 'False'
    run.googleapis.com/startup-cpu-boost: 'True'
    run.googleapis.com/container-dependencies: '{"app":["proxy"]}'
    run.googleapis.com/base-images: '{"app":"base:1"}'
    run.googleapis.com/cloudsql-instances: shop:europe-west1:db
    run.googleapis.com/secrets: far-alias:projects/999/secrets/db
    serving.knative.dev/creator: a@b
spec:
  containerConcurrency: 10
  timeoutSeconds: 60
  serviceAccountName: api@shop.iam.gserviceaccount.com
  nodeSelector: {run.googleapis.com/accelerator: nvidia-l4}
  containers:
    - name: app
      image: r/i@sha256:00
      command: [run]
      args: [--x, 'y z']
      workingDir: /srv
      env:
        - {name: LITERAL, value: 'v'}
        - {name: EMPTY, value: ''}
        - {name: BARE}
        - {name: SECRET, valueFrom: {secretKeyRef: {name: jwt, key: '7'}}}
        - {name: FAR, valueFrom: {secretKeyRef: {name: far-alias, key: latest}}}
      resources: {limits: {cpu: 2000m, memory: 1024Mi, nvidia.com/gpu: '1'}}
      ports: [{name: h2c, containerPort: 9000}]
      volumeMounts:
        - {name: hob-nug, mountPath: /etc/key}
        - {name: x, mountPath: /data}
        - {name: y, mountPath: /tmp}
        - {name: z, mountPath: /share}
      livenessProbe: {httpGet: {path: /ok, port: 9000, httpHeaders: [{name: X-Token, value: t}]}, periodSeconds: 5}
      startupProbe: {grpc: {service: s}}
    - name: proxy
      image: r/p
      env: [{name: LITERAL, value: w}]
  volumes:
    - {name: hob-nug, secret: {secretName: tls, defaultMode: 256, items: [{path: a.pem, key: '3'}, {path: b.pem, key: latest, mode: 288}]}}
    - {name: x, csi: {driver: gcsfuse.run.googleapis.com, readOnly: true, volumeAttributes: {bucketName: b, mountOptions: implicit-dirs}}}
    - {name: y, emptyDir: {medium: Memory, sizeLimit: 0.5Gi}}
    - {name: z, nfs: {server: 10.0.0.2, path: /x}}
"""


def v2(text=V2, **options):
    return normalise.snapshot(load(text)[0], WHO, sealer(), **options)


def v1(text=V1):
    return resource(load(text)[0]).snapshot(sealer())


def only(env="", **more):
    """A template of one container, in the v2 shape."""
    return {"containers": [{"image": "i", "env": load(f"env: [{env}]")[0]["env"], **more}]}


def key(env):
    [binding] = normalise.snapshot(only(env), WHO, sealer()).bindings
    return binding.source


def test_v1_and_v2_of_one_configuration_are_equal():
    """Everything that both APIs can say comes out the same from either."""
    assert compare(v1(), v2()) == ()
    assert v1().containers == v2().containers


def test_nothing_is_unknown():
    """Neither of the two holds a field that the tables do not know."""
    for one in (v1(), v2()):
        assert [s.name for s in one.settings if s.name.startswith("unknown")] == []


def test_settings_have_canonical_names():
    """The whole list, so that no name changes unseen."""
    told = {
        f"{s.container}:{s.name}": "sealed" if isinstance(s.value, LiteralValue) else s.value
        for s in v2().settings
    }

    assert told == {
        ":annotation.note": "sealed",
        ":accelerator": "nvidia-l4",
        ":cloud_sql.shop:europe-west1:db": "attached",
        ":concurrency": 10,
        ":encryption_key": "projects/shop/locations/eu/keyRings/r/cryptoKeys/k",
        ":encryption_key_revocation_action": "shut-down",
        ":encryption_key_shutdown_seconds": 7200,
        ":execution_environment": "gen2",
        ":gpu_zonal_redundancy_disabled": True,
        ":health_check_disabled": True,
        ":label.team": "sealed",
        ":scaling.max_instances": 20,
        ":scaling.min_instances": 1,
        ":service_account": "api@shop.iam.gserviceaccount.com",
        ":service_mesh": "projects/shop/locations/global/meshes/m",
        ":session_affinity": True,
        ":timeout_seconds": 60,
        ":vpc.connector": "c1",
        ":vpc.egress": "all-traffic",
        "app:args": "sealed",
        "app:base_image": "base:1",
        "app:command": "sealed",
        "app:cpu": "2",
        "app:cpu_idle": False,
        "app:depends_on": "proxy",
        "app:gpu": "1",
        "app:image": "r/i@sha256:00",
        "app:liveness_probe.failures": 3,
        "app:liveness_probe.header.X-Token": "sealed",
        "app:liveness_probe.initial_delay": 0,
        "app:liveness_probe.path": "/ok",
        "app:liveness_probe.period": 5,
        "app:liveness_probe.port": 9000,
        "app:liveness_probe.timeout": 1,
        "app:liveness_probe.type": "http",
        "app:memory": "1Gi",
        "app:port": 9000,
        "app:port_name": "h2c",
        "app:startup_probe.failures": 3,
        "app:startup_probe.initial_delay": 0,
        "app:startup_probe.period": 10,
        "app:startup_probe.port": 9000,
        "app:startup_probe.service": "s",
        "app:startup_probe.timeout": 1,
        "app:startup_cpu_boost": True,
        "app:startup_probe.type": "grpc",
        "app:volume./data": "gcs b read-only implicit-dirs",
        "app:volume./share": "nfs 10.0.0.2:/x",
        "app:volume./tmp": "empty-dir memory 512Mi",
        "app:working_dir": "/srv",
        "proxy:cpu": "1",
        "proxy:cpu_idle": False,
        "proxy:image": "r/p",
        "proxy:memory": "512Mi",
        "proxy:startup_cpu_boost": True,
    }


def test_defaults_are_filled_in():
    """A bare manifest equals an export that spells the documented defaults."""
    spelled = """
scaling: {minInstanceCount: 0, maxInstanceCount: 100}
timeout: 300s
maxInstanceRequestConcurrency: 80
executionEnvironment: EXECUTION_ENVIRONMENT_UNSPECIFIED
sessionAffinity: false
containers:
  - image: i
    resources: {limits: {cpu: 1000m, memory: 512Mi}, cpuIdle: true}
    ports: [{name: http1, containerPort: 8080}]
    startupProbe: {timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1, tcpSocket: {port: 8080}}
"""

    assert compare(v2("containers: [{image: i}]"), v2(spelled)) == ()


@pytest.mark.parametrize(
    ("limits", "concurrency"),
    [({"cpu": "0.5"}, 1), ({"cpu": "1"}, 80), ({"cpu": "250m"}, 1), ({}, 80)],
)
def test_default_concurrency_goes_by_cpu(limits, concurrency):
    """Below one CPU the default concurrency is one."""
    one = normalise.snapshot(only(resources={"limits": limits}), WHO, sealer())

    assert one.setting("concurrency") == concurrency


def test_cpu_idle_once_resources_are_given():
    """Where resources are set, a missing cpuIdle means false; where they are not, true."""
    given, missing = only(resources={"limits": {"cpu": "1"}}), only()

    assert [normalise.snapshot(t, WHO, sealer()).setting("cpu_idle") for t in (given, missing)] == [
        False,
        True,
    ]


def test_five_states():
    """Each way of writing a variable has its state."""
    assert key("{name: A, value: ''}").state == "empty"
    assert key("{name: A}").state == "empty"
    assert key("{name: A, value: x}").state == "literal"
    assert (
        key("{name: A, valueSource: {secretKeyRef: {secret: s, version: latest}}}").state
        == "secret"
    )
    assert key("{name: A, valueSource: {other: x}}") == Unreadable(reason="comes from other")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{name: A, field-7: x}", "comes from field-7"),
        ("{name: A, valueSource: {field-7: x}}", "comes from field-7"),
        ("{name: A, valueSource: {}}", "comes from a source that is not told"),
    ],
)
def test_sources_of_tomorrow(entry, reason):
    """A value that comes from where no known field says is unreadable, never empty."""
    assert key(entry) == Unreadable(reason=reason)


def test_unreadable_is_unseen():
    """A key that comes from where we cannot look makes the snapshot incomplete."""
    one = normalise.snapshot(only("{name: A, valueSource: {configMapKeyRef: {}}}"), WHO, sealer())

    assert [u.where for u in one.seen.unseen] == ["key A"]


def test_last_of_repeated_keys_wins():
    """Earlier entries of a name are kept as shadowed, in order."""
    [binding] = normalise.snapshot(
        only("{name: A, value: '1'}, {name: A}, {name: A, value: '2'}"), WHO, sealer()
    ).bindings

    assert [s.state for s in (*binding.shadowed, binding.source)] == ["literal", "empty", "literal"]


@pytest.mark.parametrize(
    ("secret", "project"),
    [
        ("jwt", ""),
        ("projects/shop/secrets/jwt", ""),
        ("projects/123/secrets/jwt", ""),
        ("projects/9/secrets/jwt", "9"),
    ],
)
def test_own_project_by_any_name(secret, project):
    """A secret of the service's own project is the same, by id, by number, or unnamed."""
    source = key(f"{{name: A, valueSource: {{secretKeyRef: {{secret: {secret}, version: '1'}}}}}}")

    assert source == SecretReference(project=project, secret="jwt", version="1")


def test_version_that_is_missing():
    """No version at all means latest, and is told apart from one that was written."""
    source = key("{name: A, valueSource: {secretKeyRef: {secret: s}}}")

    assert (source.version, source.asked) == ("", "latest")


@pytest.mark.parametrize(
    ("env", "rule"),
    [
        ("{name: A, value: 5}", "not-a-string"),
        ("{name: A, value: ~}", "not-a-string"),
        ("{name: A, value: [x]}", "not-a-string"),
        ("{name: 5, value: x}", "not-a-string"),
        ("{value: x}", "not-a-string"),
        ("{name: ''}", "bad-name"),
        (
            "{name: A, value: x, valueSource: {secretKeyRef: {secret: s, version: '1'}}}",
            "value-and-reference",
        ),
        ("{name: A, valueSource: {secretKeyRef: {secret: ../s, version: '1'}}}", "bad-secret-name"),
        ("{name: A, valueSource: {secretKeyRef: {secret: s, version: ''}}}", "bad-version"),
        ("{name: A, valueSource: {secretKeyRef: {secret: s, version: 5}}}", "not-a-string"),
        ("{name: A, valueSource: x}", "wrong-type"),
        ("x", "wrong-type"),
    ],
)
def test_refused_variables(env, rule):
    """What Cloud Run cannot have taken is refused by rule, without the value."""
    with pytest.raises(Refused, match=f"^{rule}: "):
        key(env)


def test_half_a_character_in_a_name():
    """A lone surrogate in a name is refused; in a value it is sealed."""
    with pytest.raises(Refused, match=r"^encoding: "):
        normalise.snapshot(
            {"containers": [{"env": [{"name": "A\ud800", "value": "x"}]}]}, WHO, sealer()
        )
    assert normalise.snapshot(
        {"containers": [{"env": [{"name": "A", "value": "\ud800"}]}]}, WHO, sealer()
    )


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        ({}, "no-containers"),
        ({"containers": []}, "no-containers"),
        ({"containers": "x"}, "wrong-type"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, "bad-name"),
        ({"containers": [{"env": [{}] * 10_001}]}, "too-many"),
        ({"containers": [{"image": {"x": "y"}}]}, "wrong-type"),
        ({"containers": [{"name": f"c{i}"} for i in range(101)]}, "too-many"),
        ({"containers": [{}], **{f"f{i}": 1 for i in range(1_001)}}, "too-many"),
        ({"containers": [{}], "volumes": [{"name": str(i)} for i in range(1_001)]}, "too-many"),
        ({"containers": [{}], "volumes": [{"name": "v"}, {"name": "v"}]}, "bad-name"),
        ({"containers": [{}], "volumes": [{"name": "v", "x": "y" * 65_536}]}, "too-many"),
        (
            {"containers": [{}], "volumes": [{"cloudSqlInstance": {"instances": ["i"] * 1_001}}]},
            "too-many",
        ),
        ({"containers": [{"volumeMounts": [{"mountPath": "/m"}] * 1_001}]}, "too-many"),
        (
            {
                "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/m"}]}],
                "volumes": [
                    {
                        "name": "v",
                        "secret": {
                            "secret": "s",
                            "items": [{"path": str(i)} for i in range(10_001)],
                        },
                    }
                ],
            },
            "too-many",
        ),
        (
            {
                "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/m"}]}],
                "volumes": [{"name": "v", "secret": {"secret": "s", "defaultMode": "rw"}}],
            },
            "wrong-type",
        ),
    ],
)
def test_refused_templates(template, rule):
    """A template of which nothing can be told is refused."""
    with pytest.raises(Refused, match=f"^{rule}: "):
        normalise.snapshot(template, WHO, sealer())


@pytest.mark.parametrize(
    ("field", "name", "rule"),
    [
        ("service", "../x", "bad-name"),
        ("service", "${SERVICE}", "unfilled-placeholder"),
        ("project", "PROJECT_ID", "unfilled-placeholder"),
        ("region", "%REGION%", "unfilled-placeholder"),
        ("revision", "-rf", "bad-name"),
    ],
)
def test_refused_names(field, name, rule):
    """Names that identify a service fit their grammar, or the file is refused."""
    with pytest.raises(Refused, match=f"^{rule}: "):
        normalise.snapshot(only(), WHO.but(**{field: name}), sealer())


def test_a_mapping_is_a_list_of_one():
    """An object where a list belongs is taken as gcloud takes it."""
    assert normalise.snapshot({"containers": {"image": "i"}}, WHO, sealer()).containers


def test_unnamed_containers_get_names():
    """Several containers without names are told apart by their order."""
    template = {"containers": [{"image": "a"}, {"image": "b", "ports": [{"containerPort": "80"}]}]}
    one = normalise.snapshot(template, WHO, sealer())

    assert [(c.name, c.ingress) for c in one.containers] == [
        ("container-1", False),
        ("container-2", True),
    ]
    assert one.setting("port", "container-2") == 80


def test_first_container_when_none_has_a_port():
    """Without any port the first container gets the default one."""
    template = {"containers": [{"name": "a"}, {"name": "b"}]}

    assert normalise.snapshot(template, WHO, sealer()).setting("port", "a") == DEFAULT_PORT


def test_unknown_fields_are_sealed_and_compared():
    """A field that nobody knows is kept as a whole, at any depth, and told of its container."""
    template = only(name="a", futureField={"x": "cnry"})
    template["containers"].append({"name": "b", "futureField": {"x": "z"}})
    template["alsoNew"] = ["a"]
    one = normalise.snapshot(template, WHO, sealer())
    template["alsoNew"] = ["b"]
    template["containers"][1]["futureField"] = "other"
    two = normalise.snapshot(template, WHO, sealer())

    assert [(s.container, s.name) for s in one.settings if s.name.startswith("unknown")] == [
        ("", "unknown.alsoNew"),
        ("a", "unknown.containers.futureField"),
        ("b", "unknown.containers.futureField"),
    ]
    assert [(c.at.container, c.at.setting) for c in compare(one, two)] == [
        ("", "unknown.alsoNew"),
        ("b", "unknown.containers.futureField"),
    ]


@pytest.mark.parametrize(
    ("mounts", "volume", "paths"),
    [
        ("[{name: v, mountPath: /etc}]", "{name: v, secret: {secret: s}}", ["/etc/s"]),
        (
            "[{name: v, mountPath: /etc}]",
            "{name: v, secret: {secret: s, items: [{path: a/b, version: '1'}]}}",
            ["/etc/a/b"],
        ),
        (
            "[{name: v, mountPath: /etc/k, subPath: k}]",
            "{name: v, secret: {secret: s, items: [{path: k, version: '1'}]}}",
            ["/etc/k"],
        ),
        (
            "[{name: v, mountPath: /a}, {name: v, mountPath: /b}]",
            "{name: v, secret: {secret: s}}",
            ["/a/s", "/b/s"],
        ),
        ("[]", "{name: v, secret: {secret: s}}", []),
    ],
)
def test_secret_files(mounts, volume, paths):
    """Mounted secrets are known by the full path of each file, never by the name of their volume."""
    one = v2(f"containers: [{{image: i, volumeMounts: {mounts}}}]\nvolumes: [{volume}]")

    assert [m.path for m in one.mounts] == paths


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        ("{name: v, configMap: {name: c}}", "unsupported configMap"),
        ("{name: v, persistentVolumeClaim: {claimName: c}}", "unsupported persistentVolumeClaim"),
        ("{name: v, cloudSqlInstance: {instances: [b, a]}}", "cloud-sql a, b"),
        ("{name: other}", "no such volume"),
        ("{name: v, nfs: {server: s, path: /p, readOnly: true}}", "nfs s:/p read-only"),
    ],
)
def test_other_volumes(volume, told):
    """What is mounted where is a setting of its container."""
    one = v2(
        f"containers: [{{image: i, volumeMounts: [{{name: v, mountPath: /m}}]}}]\nvolumes: [{volume}]"
    )

    assert one.setting("volume./m") == told


def test_network_interfaces():
    """Direct VPC egress is told by network and subnetwork, tags and interfaces sorted."""
    one = v2(
        "containers: [{image: i}]\nvpcAccess: {networkInterfaces: "
        "[{network: projects/shop/global/networks/n, subnetwork: s, tags: [b, a]}, {network: m}]}"
    )

    told = {s.name: s.value for s in one.settings if s.name.startswith("vpc")}
    assert told == {
        "vpc.egress": "private-ranges-only", "vpc.network": "m", "vpc.network.2": "n",
        "vpc.subnetwork.2": "s", "vpc.tags.2": "a, b",
    }  # fmt: skip


PLACES = [
    ("projects/shop/locations/europe-west1/connectors/c", "c"),
    ("projects/123/locations/europe-west1/connectors/c", "c"),
    ("projects/shop/global/networks/n", "n"),
    ("https://www.googleapis.com/compute/v1/projects/shop/regions/europe-west1/subnetworks/s", "s"),
    ("c", "c"),
    *((far, far) for far in (
        "projects/other/locations/europe-west1/connectors/c",
        "projects/shop/locations/us-east1/connectors/c",
        "projects/other/global/networks/n",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("written", "told"), PLACES)
def test_networks_elsewhere(written, told):
    """A connector of another project or region is told with its path: it is another one."""
    one = normalise.snapshot({**only(), "vpcAccess": {"connector": written}}, WHO, sealer())

    assert one.setting("vpc.connector") == told


def test_nothing_of_a_template_is_dropped():
    """Further ports, and volumes that nobody mounts, are settings too."""
    one = v2(
        "containers: [{image: i, ports: [{containerPort: 80}, {containerPort: 90, name: h2c}]}]\n"
        "volumes: [{name: a, secret: {secret: projects/123/secrets/s}}, {name: b, nfs: {server: s, path: /p}},"
        " {name: c, other: {x: cnry}}, {name: d, cloudSqlInstance: {instances: [p:r:i]}}]"
    )
    told = {s.name: s.value for s in one.settings}

    assert [told[n] for n in ("port", "port_name", "port.2", "port_name.2")] == [
        80,
        "http1",
        90,
        "h2c",
    ]
    assert told["unmounted_volumes"] == "cloud-sql p:r:i; nfs s:/p; secret s; unsupported other"
    assert isinstance(told["unmounted_volumes.details"], LiteralValue)


ATTACHED = """
containers:
  - {{name: app, image: i, ports: [{{containerPort: 80}}], volumeMounts: {app}}}
  - {{name: job, image: j, volumeMounts: {job}}}
volumes: [{{name: sql, cloudSqlInstance: {{instances: [p:r:i]}}}}]
"""
SQL = "[{name: sql, mountPath: /cloudsql/}]"


def attached(app="[]", job="[]"):
    return v2(ATTACHED.format(app=app, job=job))


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ({"app": SQL}, {}, [("", "cloud_sql.p:r:i"), ("", "unmounted_volumes")]),
        ({"app": SQL, "job": SQL}, {"app": SQL}, [("job", "cloud_sql.p:r:i")]),
        ({"app": SQL, "job": SQL}, {"job": SQL}, [("", "cloud_sql.p:r:i")]),
        (
            {"app": SQL},
            {"app": "[{name: sql, mountPath: /sql}]"},
            [("", "cloud_sql.p:r:i"), ("app", "volume./sql")],
        ),
    ],
)
def test_cloud_sql_is_attached_where_it_is_mounted(before, after, lost):
    """An instance that is no longer mounted is lost, in each container, though the volume stays."""
    changes = compare(attached(**before), attached(**after))

    assert [(c.at.container, c.at.setting) for c in changes] == lost


@pytest.mark.parametrize(
    ("before", "after", "setting"),
    [
        (
            "mount: {name: v, mountPath: /m, subPath: a}",
            "mount: {name: v, mountPath: /m}",
            "volume./m.sub_path",
        ),
        (
            "volume: {name: v, configMap: {name: a}}",
            "volume: {name: v, configMap: {name: b}}",
            "volume./m.details",
        ),
        (
            "volume: {name: v, csi: {driver: x, readOnly: true}}",
            "volume: {name: v, csi: {driver: y, readOnly: true}}",
            "volume./m.details",
        ),
    ],
)
def test_details_of_volumes(before, after, setting):
    """What a volume is and which part of it is mounted is compared, also where it has no words."""
    sides = []
    for text in (before, after):
        parts = {"mount": {"name": "v", "mountPath": "/m"}, "volume": {"name": "v", "gcs": {}}}
        parts |= load(text)[0]
        template = {**only(volumeMounts=[parts["mount"]]), "volumes": [parts["volume"]]}
        sides.append(normalise.snapshot(template, WHO, sealer()))

    assert setting in [c.at.setting for c in compare(*sides)]


def test_a_slash_at_the_end_of_a_mount():
    """A mount path with a slash at its end is the same path."""
    one, two = (
        normalise.snapshot(
            {
                **only(volumeMounts=[{"name": "v", "mountPath": path}]),
                "volumes": [{"name": "v", "nfs": {}}],
            },
            WHO,
            sealer(),
        )
        for path in ("/t/", "/t")
    )

    assert compare(one, two) == ()


def test_probe_that_could_hold_a_token():
    """Headers of one name are sealed together, in order, and so is the query of a path."""

    def probed(*values, query=""):
        headers = [{"name": "X", "value": v} for v in values]
        check = {"httpGet": {"path": f"/ok{query}", "httpHeaders": headers}}
        return normalise.snapshot(only(livenessProbe=check), WHO, sealer())

    [query] = compare(probed(query="?t=cnry"), probed(query="?t=other"))

    assert query.at.setting == "liveness_probe.query"
    assert probed(query="?t=cnry").setting("liveness_probe.path") == "/ok"
    assert "cnry" not in probed("cnry", query="?t=cnry").model_dump_json()
    assert [c.at.setting for c in compare(probed("a", "b"), probed("z", "b"))] == [
        "liveness_probe.header.X"
    ]


def test_default_service_account():
    """The default account of the service's own project is the default one, spelled or not."""

    def account(name):
        template = {**only(), "serviceAccount": name}
        return normalise.snapshot(template, WHO, sealer()).setting("service_account")

    assert account("") == "default"
    assert account("123-compute@developer.gserviceaccount.com") == "default"
    assert account("9-compute@developer.gserviceaccount.com") != "default"


def test_worker_pools_have_no_ingress():
    """No request reaches a worker pool: no container is marked, none has a port by default."""
    one = normalise.snapshot(only(), WHO.but(kind="worker-pool"), sealer())

    assert [c.ingress for c in one.containers] == [False]
    assert (one.setting("port"), one.setting("port_name"), one.ingress) == (None, None, "")


@pytest.mark.parametrize(
    ("mode", "read"), [("0440", 0o440), ("0o440", 0o440), ("288", 0o440), ('"288"', 0o440)]
)
def test_modes(mode, read):
    """A mode is read as YAML has it: octal where it begins with a zero."""
    one = v2(
        "containers: [{image: i, volumeMounts: [{name: v, mountPath: /m}]}]\n"
        f"volumes: [{{name: v, secret: {{secret: s, defaultMode: {mode}}}}}]"
    )

    assert one.mounts[0].mode == read


def test_source_code():
    """Where code was deployed from is told."""
    one = normalise.snapshot(
        only(sourceCode={"cloudStorageSource": {"bucket": "b", "object": "o", "generation": "3"}}),
        WHO,
        sealer(),
    )

    assert one.setting("source") == "gs://b/o#3"


def test_placeholder_in_a_revision_name():
    """A revision name that a template will fill in is shown, not refused."""
    one = normalise.snapshot({**only(), "revision": "api-${TAG}"}, WHO, sealer())

    assert one.setting("revision_name") == "api-${TAG}"


def test_recorded_services():
    """Services as the real API answered them are read without anything unknown."""
    recorded = Path(__file__).parent / "real/gemmahou__k8s-config-connector/v2-services.json"
    for document in json.loads(recorded.read_text()):
        one = from_v2(document)
        found = one.snapshot(sealer())

        assert not [s for s in found.settings if s.name.startswith("unknown")]
        assert one.identity.project == "shop"
        assert found.setting("execution_environment") == "gen2"
        assert one.traffic


def test_shape_of_reads():
    """Noise is passed over by rule and named, on every level."""
    template = {
        **only(buildInfo={"functionTarget": "f"}),
        "labels": {"goog-managed-by": "x"},
        "etag": "e",
    }
    one = normalise.snapshot(template, WHO, sealer(), shape=fields.REVISION)

    assert one.seen.ignored == ("containers.buildInfo", "etag", "goog-managed-by")
