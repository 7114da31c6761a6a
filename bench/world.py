"""
The project that every side reads: services, revisions and secrets, made up but always the same.

Everything follows from a size. A revision is made from the one before it, so a service can be
deployed once more at any time, and that too gives the same bytes every time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from zlib import crc32

from google.cloud import run_v2

from bench.place import LOCATION, NUMBER, PROJECT, REGION, fingerprint

KEYS = 40
SECRET_KEYS = 10
VERSIONS = 10
"""Of every secret."""
SHOWN = 5
"""Services whose last two revisions are told by name."""
VOLATILE = 2
"""The keys that every deploy changes: GIT_SHA and APP_VERSION."""

_BEGUN = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
_PERIOD = dt.timedelta(hours=7)
_WHAT = "DATABASE CACHE QUEUE SEARCH PAYMENT MAIL SESSION METRICS STORAGE CATALOG".split()
_WHICH = "HOST_NAME TIMEOUT_SECONDS POOL_SIZE FEATURE_SET".split()
_PLAIN = [f"{what}_{which}" for which in _WHICH for what in _WHAT][: KEYS - SECRET_KEYS - VOLATILE]
_SECRET = [f"{what}_API_KEY" for what in _WHAT][:SECRET_KEYS]

Message = Any
"""A raw protobuf message; google's own types are not known to type checkers."""

_Revision = run_v2.Revision.pb()


@dataclass(frozen=True)
class Size:
    """How much there is. `drifted` is the share of services whose newest revision lost a key."""

    services: int = 1_000
    revisions: int = 20
    drifted: float = 0.01
    secrets: int = 500

    @property
    def losses(self) -> int:
        """How many services lost a key: at least one, or there would be nothing to find."""
        return max(1, round(self.services * self.drifted))


@dataclass(frozen=True)
class Loss:
    """A key that is gone: from which revision on, and the one before, which still serves."""

    key: str
    serving: str
    first: str


@dataclass(frozen=True)
class Chain:
    """A service and its revisions, serialised, oldest first, with the newest one as a message."""

    name: str
    revisions: tuple[bytes, ...]
    names: tuple[str, ...]
    keys: tuple[int, ...]
    newest: Message
    secrets: frozenset[str]
    loss: Loss | None = None

    @property
    def path(self) -> str:
        """The full resource name."""
        return f"{LOCATION}/services/{self.name}"

    def deployed(self, *, without: str = "") -> Chain:
        """The same service after one more deploy, in which it may lose a key."""
        number = len(self.names) + 1
        made = _deploy(self.newest, self.name, number, without)
        return replace(
            self,
            revisions=(*self.revisions, made.SerializeToString(deterministic=True)),
            names=(*self.names, made.name.rpartition("/")[2]),
            keys=(*self.keys, len(made.containers[0].env)),
            newest=made,
        )

    def service(self) -> bytes:
        """The service itself: its template is the newest revision."""
        found: bytes = _service(self).SerializeToString(deterministic=True)
        return found


@dataclass(frozen=True)
class Facts:
    """What a right answer must say; `latest` are some services with their last two revisions."""

    services: int
    revisions: int
    env: int
    names: int
    lost: tuple[str, ...]
    secrets: int
    latest: tuple[tuple[str, str, str], ...]
    touched: int = 0


@dataclass(frozen=True)
class World:
    """All services of one project and region."""

    size: Size
    chains: tuple[Chain, ...]
    touched: int = field(default=0)

    def after(self, touched: int) -> World:
        """The same after so many services, evenly spread, were deployed once more."""
        sound = [i for i, chain in enumerate(self.chains) if chain.loss is None]
        chosen = {sound[i * len(sound) // touched] for i in range(touched)} if touched else set()
        chains = (c.deployed() if i in chosen else c for i, c in enumerate(self.chains))
        return World(self.size, tuple(chains), touched)

    def facts(self) -> Facts:
        """What is there, told without looking at what the server sends."""
        return Facts(
            services=len(self.chains),
            revisions=sum(len(c.names) for c in self.chains),
            env=sum(sum(c.keys) for c in self.chains),
            names=fingerprint(f"{c.path}/revisions/{n}" for c in self.chains for n in c.names),
            lost=tuple(
                sorted(f"{c.name} {c.loss.key} {c.loss.first}" for c in self.chains if c.loss)
            ),
            secrets=len(frozenset().union(*(c.secrets for c in self.chains))),
            latest=tuple((c.name, c.names[-2], c.names[-1]) for c in self.chains[:SHOWN]),
            touched=self.touched,
        )


def build(size: Size) -> World:
    """The world of a size."""
    every = max(1, size.services // size.losses)
    lossy = {i * every for i in range(size.losses)}
    return World(size, tuple(_chain(i, size, lossy=i in lossy) for i in range(size.services)))


def secret_names(size: Size) -> list[str]:
    """The secrets of the project, by their short names."""
    return [f"shop-secret-{i:05d}" for i in range(size.secrets)]


def _chain(index: int, size: Size, *, lossy: bool) -> Chain:
    name = f"service-{index:05d}"
    random = Random(name)
    first = _first(name, size, random)
    env = first.containers[0].env
    chain = Chain(
        name=name,
        revisions=(first.SerializeToString(deterministic=True),),
        names=(first.name.rpartition("/")[2],),
        keys=(len(env),),
        newest=first,
        secrets=frozenset(e.value_source.secret_key_ref.secret for e in env if not e.value) - {""},
    )
    key = random.choice(_SECRET)
    lost_at = max(2, size.revisions - random.randint(1, 5))
    for number in range(2, size.revisions + 1):
        chain = chain.deployed(without=key if lossy and number == lost_at else "")
    if lossy and size.revisions > 1:
        loss = Loss(key, serving=chain.names[lost_at - 2], first=chain.names[lost_at - 1])
        chain = replace(chain, loss=loss)
    return chain


def _revision_name(service: str, number: int) -> str:
    return f"{service}-{number:05d}-{Random(f'{service}/{number}').randrange(36**3):03x}"


def _made(service: str, number: int) -> dt.datetime:
    start = dt.timedelta(seconds=crc32(service.encode()) % 20_000)
    return _BEGUN + start + _PERIOD * number


def _hex(random: Random, digits: int) -> str:
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def _stamp(message: Message, service: str, number: int) -> None:
    """What every revision has of its own: name, uid, times, conditions."""
    random = Random(f"{service}#{number}")
    name, when = _revision_name(service, number), _made(service, number)
    message.name = f"{LOCATION}/services/{service}/revisions/{name}"
    parts = [_hex(random, digits) for digits in (8, 4, 4, 4, 12)]
    message.uid, message.etag = "-".join(parts), f'"{_hex(random, 28)}"'
    message.create_time.FromDatetime(when)
    message.update_time.FromDatetime(when + dt.timedelta(seconds=19))
    message.log_uri = (
        f"https://console.cloud.google.com/logs/viewer?project={PROJECT}"
        f"&resource=cloud_run_revision/revision_name/{name}&advancedFilter=severity%3E%3DDEFAULT"
    )
    for seconds, condition in enumerate(message.conditions):
        condition.last_transition_time.FromDatetime(when + dt.timedelta(seconds=seconds))
    env = message.containers[0].env
    env[0].value, env[1].value = _hex(random, 40), f"2026.{number}.{random.randrange(100)}"
    message.containers[
        0
    ].image = f"{REGION}-docker.pkg.dev/{PROJECT}/apps/{service}@sha256:{_hex(random, 64)}"


def _deploy(before: Message, service: str, number: int, without: str) -> Message:
    """The next revision: new stamps, none to two edits of variables, and perhaps one lost."""
    made = _Revision()
    made.CopyFrom(before)
    env = made.containers[0].env
    for i, entry in enumerate(env):
        if entry.name == without:
            del env[i]
            break
    random = Random(f"{service}@{number}")
    for _ in range(random.randint(0, 2)):
        entry = env[random.randrange(VOLATILE, len(env))]
        if entry.HasField("value_source"):
            entry.value_source.secret_key_ref.version = _version(random)
        else:
            entry.value = _value(random)
    _stamp(made, service, number)
    return made


def _value(random: Random) -> str:
    return f"{random.choice(_WHAT).lower()}-{random.randrange(1000)}.svc.internal.shop.example:8080"


def _version(random: Random) -> str:
    """Mostly the newest of a secret's versions, or one of the last few."""
    return str(VERSIONS - min(int(random.expovariate(0.8)), VERSIONS - 1))


def _first(service: str, size: Size, random: Random) -> Message:
    secrets = random.sample(secret_names(size), min(SECRET_KEYS, size.secrets))
    env: list[dict[str, Any]] = [
        {"name": "GIT_SHA", "value": "0"},
        {"name": "APP_VERSION", "value": "0"},
    ]
    env += [{"name": key, "value": _value(random)} for key in _PLAIN]
    for key, secret in zip(_SECRET, secrets, strict=False):
        ref = {"secret": secret, "version": _version(random)}
        env.append({"name": key, "value_source": {"secret_key_ref": ref}})
    made: Message = run_v2.Revision.pb(run_v2.Revision({**_FIXED, "service": service}))
    made.service_account = f"{service}@{PROJECT}.iam.gserviceaccount.com"
    container = made.containers.add()
    container.CopyFrom(run_v2.Container.pb(run_v2.Container({**_CONTAINER, "env": env})))
    container.name = f"{service}-1"
    for label in ("team", "cost-center", "environment", "managed-by", "data-class"):
        made.labels[label] = random.choice(("checkout", "logistics", "search", "platform"))
    made.annotations["shop.example/owner"] = f"{random.choice(_WHAT).lower()}@shop.example"
    _stamp(made, service, 1)
    return made


_STATE = run_v2.Condition.State.CONDITION_SUCCEEDED
_FIXED: dict[str, Any] = {
    "generation": 1,
    "launch_stage": 4,
    "scaling": {"min_instance_count": 1, "max_instance_count": 20},
    "vpc_access": {
        "connector": f"{LOCATION}/connectors/shop-connector",
        "egress": run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY,
    },
    "max_instance_request_concurrency": 80,
    "timeout": {"seconds": 300},
    "execution_environment": run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2,
    "volumes": [
        {
            "name": "cloudsql",
            "cloud_sql_instance": {"instances": [f"{PROJECT}:{REGION}:shop-main"]},
        },
        {"name": "scratch", "empty_dir": {"medium": 1, "size_limit": "128Mi"}},
    ],
    "conditions": [
        {"type_": kind, "state": _STATE}
        for kind in ("Ready", "Active", "ContainerHealthy", "ContainerReady", "ResourcesAvailable")
    ],
    "observed_generation": 1,
    "creator": f"deployer@{PROJECT}.iam.gserviceaccount.com",
}
_CONTAINER: dict[str, Any] = {
    "command": ["/app/server"],
    "args": ["--port=8080", "--log-format=json"],
    "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}, "cpu_idle": True},
    "ports": [{"name": "http1", "container_port": 8080}],
    "volume_mounts": [
        {"name": "cloudsql", "mount_path": "/cloudsql"},
        {"name": "scratch", "mount_path": "/scratch"},
    ],
    "startup_probe": {
        "timeout_seconds": 240,
        "period_seconds": 240,
        "failure_threshold": 1,
        "tcp_socket": {"port": 8080},
    },
    "liveness_probe": {"period_seconds": 10, "http_get": {"path": "/healthz", "port": 8080}},
}
_SHARED = (
    "labels annotations scaling vpc_access timeout service_account containers volumes"
    " execution_environment max_instance_request_concurrency"
).split()


def _service(chain: Chain) -> Message:
    """A service whose newest revision serves, unless it lost a key: then the last one before."""
    newest, number = chain.newest, len(chain.names)
    random = Random(f"{chain.path}/{number}")
    made = run_v2.Service.pb()(
        name=chain.path,
        uid=f"{crc32(chain.path.encode()):08x}-0000-4000-8000-{crc32(chain.name.encode()):012x}",
        generation=number,
        observed_generation=number,
        etag=f'"{_hex(random, 28)}"',
        creator=newest.creator,
        last_modifier=newest.creator,
        client="gcloud",
        client_version="528.0.0",
        ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
        launch_stage=4,
        uri=f"https://{chain.name}-{NUMBER}.{REGION}.run.app",
        urls=[f"https://{chain.name}-{NUMBER}.{REGION}.run.app"],
        latest_ready_revision=newest.name,
        latest_created_revision=newest.name,
    )
    made.create_time.FromDatetime(_made(chain.name, 1))
    made.update_time.FromDatetime(_made(chain.name, number) + dt.timedelta(seconds=30))
    made.terminal_condition.CopyFrom(newest.conditions[0])
    made.template.revision = chain.names[-1]
    for name in _SHARED:
        _copy(getattr(newest, name), made.template, name)
    kind = run_v2.TrafficTargetAllocationType
    latest = kind.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
    fixed = kind.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
    for targets in (made.traffic, made.traffic_statuses):
        serving = chain.loss.serving if chain.loss else ""
        targets.add(type_=fixed if serving else latest, revision=serving, percent=100)
    return made


def _copy(value: Message, into: Message, name: str) -> None:
    """One field from a revision to the template of the same name."""
    if isinstance(value, (str, int)):
        setattr(into, name, value)
    else:
        getattr(into, name).MergeFrom(value)
