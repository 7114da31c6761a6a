"""
The v2 JSON of a world: services, worker pools, their revisions, and jobs, as the API shows them.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

from drift_audit.emulator.annotations import EGRESS, INGRESS
from drift_audit.emulator.deployed import (
    Configured,
    Env,
    Json,
    Parent,
    SecretKey,
    Split,
    Traffic,
    WorldJob,
    WorldPool,
    WorldRevision,
    WorldService,
)
from drift_audit.emulator.world import World

SCALE = "TRAFFIC_TARGET_ALLOCATION_TYPE_"
SPLIT = "INSTANCE_SPLIT_ALLOCATION_TYPE_"


def services(world: World) -> Iterator[tuple[Json, list[Json]]]:
    """Each service and its revisions, newest first."""
    for service in world.services:
        whole = service.whole()
        yield _service(service, whole, world), _revisions(service, service.traffic, whole)


def pools(world: World) -> Iterator[tuple[Json, list[Json]]]:
    """Each worker pool and its revisions, newest first."""
    for pool in world.worker_pools:
        whole = pool.whole()
        yield _pool(pool, whole), _revisions(pool, pool.splits, whole)


def jobs(world: World) -> Iterator[Json]:
    """Each job."""
    return map(_job, world.jobs)


def uid(name: str) -> str:
    """The identifier of a resource: another one for every full name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def etag(name: str, number: int) -> str:
    """What changes with every change of a resource, and is another one for every full name."""
    return f"etag-{name.rpartition('/')[2]}-{number}-{uid(name)[:8]}"


def instant(at: dt.datetime) -> str:
    """A time as the API writes it."""
    return at.isoformat().replace("+00:00", "Z")


def condition(kind: str, good: bool, reason: str = "") -> Json:
    """One condition; `reason` is that of a revision."""
    state = "CONDITION_SUCCEEDED" if good else "CONDITION_FAILED"
    return {"type": kind, "state": state} | ({"revisionReason": reason} if reason else {})


def _parent(parent: WorldService | WorldPool, whole: list[WorldRevision]) -> Json:
    """What services and worker pools have in common."""
    newest = whole[-1]
    client, _, version = (newest.client or "").partition(" ")
    return {
        "name": parent.name,
        "uid": uid(parent.name),
        "generation": str(len(whole)),
        "labels": parent.labels,
        "createTime": instant(whole[0].at),
        "updateTime": instant(newest.at),
        "creator": whole[0].by or "",
        "lastModifier": newest.by or "",
        "client": client,
        "clientVersion": version,
        "observedGeneration": str(len(whole)),
        "terminalCondition": condition("Ready", newest.ready),
        "latestCreatedRevision": f"{parent.name}/revisions/{newest.name}",
        "latestReadyRevision": f"{parent.name}/revisions/{_working(whole).name}",
        "etag": etag(parent.name, len(whole)),
    }


def _working(whole: list[WorldRevision]) -> WorldRevision:
    """The newest revision that is Ready: the one that LATEST means."""
    return next((r for r in reversed(whole) if r.ready), whole[-1])


def _service(service: WorldService, whole: list[WorldRevision], world: World) -> Json:
    """One service."""
    number = world.numbers.get(service.project, "0")
    return {
        **_parent(service, whole),
        "ingress": INGRESS[service.ingress],
        "template": {**_template(whole[-1]), "revision": whole[-1].name},
        "traffic": [_target(t) for t in service.traffic],
        "trafficStatuses": [_target(t) for t in service.traffic],
        "urls": [f"https://{service.service}-{number}.{service.region}.run.app"],
    }


def _pool(pool: WorldPool, whole: list[WorldRevision]) -> Json:
    """One worker pool."""
    return {
        **_parent(pool, whole),
        "template": {**_work(whole[-1]), "revision": whole[-1].name},
        "scaling": {"manualInstanceCount": pool.instances},
        "instanceSplits": [_target(s) for s in pool.splits],
        "instanceSplitStatuses": [_target(s) for s in pool.splits],
    }


def _target(target: Traffic | Split) -> Json:
    """As the API answers: LATEST comes without the name of a revision (`cloud-run-api.md` §0)."""
    found: Json = {"percent": target.percent}
    if isinstance(target, Traffic):
        found["tag"] = target.tag
    scale = SCALE if isinstance(target, Traffic) else SPLIT
    if target.to == "LATEST":
        return found | {"type": scale + "LATEST"}
    return found | {"type": scale + "REVISION", "revision": target.to}


def _revisions(
    parent: WorldService | WorldPool,
    targets: tuple[Traffic, ...] | tuple[Split, ...],
    whole: list[WorldRevision],
) -> list[Json]:
    addressed = {t.to for t in targets}
    if "LATEST" in addressed:
        addressed.add(_working(whole).name)
    return [_revision(parent, r, active=r.name in addressed) for r in reversed(whole)]


def _revision(parent: Parent, revision: WorldRevision, *, active: bool) -> Json:
    """One revision: no client, no digest."""
    assert isinstance(parent, WorldService | WorldPool)
    name = f"{parent.name}/revisions/{revision.name}"
    return {
        **(_template(revision) if isinstance(parent, WorldService) else _work(revision)),
        "name": name,
        "uid": uid(name),
        "generation": "1",
        "createTime": instant(revision.at),
        "updateTime": instant(revision.at),
        "service": parent.name.rpartition("/")[2],
        "creator": revision.by or "",
        "launchStage": "GA",
        "conditions": [
            condition("Ready", revision.ready),
            condition("Active", active, "" if active else "RETIRED"),
        ],
        "etag": etag(name, 1),
    }


def _job(job: WorldJob) -> Json:
    """One job."""
    client, _, version = (job.client or "").partition(" ")
    return {
        "name": job.name,
        "uid": uid(job.name),
        "generation": "1",
        "labels": {k: v for k, v in job.labels.items() if v is not None},
        "createTime": instant(job.at),
        "updateTime": instant(job.at),
        "creator": job.by or "",
        "lastModifier": job.by or "",
        "client": client,
        "clientVersion": version,
        "launchStage": "GA",
        "template": {
            "parallelism": job.parallelism,
            "taskCount": job.tasks,
            "template": {
                **_common(job),
                "maxRetries": job.max_retries,
                "timeout": f"{job.timeout or 600}s",
            },
        },
        "observedGeneration": "1",
        "terminalCondition": condition("Ready", True),
        "etag": etag(job.name, 1),
    }


def _template(revision: WorldRevision) -> Json:
    """The configuration of a service's revision: that of a pool's, and how it takes requests."""
    template = _work(revision)
    main = template["containers"][0]
    main["ports"] = [{"name": "http1", "containerPort": 8080}]
    main["resources"]["cpuIdle"] = True
    return template | {
        "scaling": {
            "minInstanceCount": revision.min_instances or 0,
            "maxInstanceCount": revision.max_instances or 100,
        },
        "timeout": f"{revision.timeout or 300}s",
        "maxInstanceRequestConcurrency": revision.concurrency or 80,
    }


def _work(revision: WorldRevision) -> Json:
    """The configuration of a worker pool's revision: no port, no scaling, no requests."""
    labels = {k: v for k, v in revision.labels.items() if v is not None}
    return _common(revision) | {"labels": labels}


def _common(configured: Configured) -> Json:
    """What services, worker pools and jobs alike are configured with."""
    main: Json = {
        "name": configured.container or "",
        "image": configured.image or "",
        "args": list(configured.args or ()),
        "env": _env(configured.env),
        "resources": {
            "limits": {"cpu": configured.cpu or "1000m", "memory": configured.memory or "512Mi"},
        },
    }
    beside = [
        {"name": s.name, "image": s.image, "env": _env(s.env)} for s in configured.sidecars or ()
    ]
    volumes = [_volume(path, source, main) for path, source in configured.files.items() if source]
    if configured.cloud_sql:
        instances = {"instances": list(configured.cloud_sql)}
        volumes.append({"name": "cloudsql", "cloudSqlInstance": instances})
        main.setdefault("volumeMounts", []).append({"name": "cloudsql", "mountPath": "/cloudsql"})
    connector, egress = configured.connector, EGRESS.get(configured.egress or "")
    return {
        "vpcAccess": {"connector": connector, "egress": egress} if connector else None,
        "serviceAccount": configured.service_account or "",
        "containers": [main, *beside],
        "volumes": volumes,
    }


def _env(env: Env) -> list[Json]:
    return [
        {"name": key, "valueSource": {"secretKeyRef": value.v2()}}
        if isinstance(value, SecretKey)
        else {"name": key, "value": value}
        for key, value in env.items()
        if value is not None
    ]


def _volume(path: str, source: SecretKey, main: Json) -> Json:
    folder, _, file = path.rpartition("/")
    name = f"secret-{len(main.setdefault('volumeMounts', []))}"
    main["volumeMounts"].append({"name": name, "mountPath": folder})
    items: list[Any] = [{"path": file, "version": source.version}]
    return {"name": name, "secret": {"secret": source.v2()["secret"], "items": items}}
