"""
The settings of a revision, its containers and its service, from the v2 shape, under canonical
names.

What is absent has its documented default, so that a manifest that leaves a field out equals an
export that spells it. Sources: `cloud-run-api.md` §1 and §2; defaults there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from drift_audit import names
from drift_audit.collector import fields, nodes
from drift_audit.collector.fields import NOISY_NAMES, PROVENANCE
from drift_audit.collector.nodes import Object
from drift_audit.names import INVOKERS, NOBODY
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Identity, Label, Setting, Value
from drift_audit.strict import Node


class SettingsOf:
    """
    Collects the settings of one revision or service; values that can hold a secret are sealed.
    """

    def __init__(self, home: Address, sealer: Sealer, prefix: str = "") -> None:
        self._home, self._sealer, self._prefix = home, sealer, prefix
        self._found: dict[tuple[str, str], Setting] = {}
        self._container = ""

    def inside(self, container: str) -> SettingsOf:
        """The same collection, for settings of one container."""
        inner = SettingsOf(self._home, self._sealer, self._prefix)
        inner._found, inner._container = self._found, container
        return inner

    def add(self, name: str, value: Value | None) -> None:
        """Add a setting; None and the empty text mean that there is none."""
        if value is None or value == "":
            return
        name = self._prefix + name
        self._found[self._container, name] = Setting(
            container=self._container, name=name, value=value
        )

    def seal(self, name: str, *values: str) -> None:
        """Add a setting that may hold a secret."""
        if values:
            full = self._prefix + name
            sealed = self._sealer.seal_at(self._home, self._container, "setting", full, *values)
            self.add(name, sealed)

    def sorted(self) -> tuple[Setting, ...]:
        """All settings by container and name."""
        return tuple(setting for _, setting in sorted(self._found.items()))


def revision_settings(one: Object, main: Object, found: SettingsOf, identity: Identity) -> None:
    """What concerns the whole revision. `main` is the container that requests reach."""
    if identity.kind == "job":
        _tasks(one, found)
    else:
        _instances(one, main, found)
    found.add("service_account", _service_account(one.text("serviceAccount"), identity))
    found.add(
        "execution_environment", one.word("executionEnvironment", fields.EXECUTION_ENVIRONMENT)
    )
    if "healthCheckDisabled" in one.doc:  # a v2 Revision cannot tell (§1.1)
        found.add("health_check_disabled", one.flag("healthCheckDisabled"))
    if one.doc.get("launchStage"):
        found.add("launch_stage", one.word("launchStage", fields.LAUNCH_STAGE))
    if names.is_placeholder(name := one.text("revision")):
        found.add("revision_name", name)
    found.add("service_mesh", one.inside("serviceMesh").text("mesh"))
    found.add("accelerator", one.inside("nodeSelector").text("accelerator"))
    found.add("gpu_zonal_redundancy_disabled", one.flag("gpuZonalRedundancyDisabled"))
    _encryption(one, found)
    _network(one.inside("vpcAccess"), found, identity)
    _labels(one, found, "label")
    _labels(one, found, "annotation")


def _instances(one: Object, main: Object, found: SettingsOf) -> None:
    """How a service or worker pool runs."""
    scaling = one.inside("scaling")
    found.add("scaling.min_instances", scaling.number("minInstanceCount") or 0)
    found.add("scaling.max_instances", scaling.number("maxInstanceCount") or 100)
    found.add("timeout_seconds", one.seconds("timeout") or 300)
    found.add("concurrency", _concurrency(one, main))
    found.add("session_affinity", one.flag("sessionAffinity"))


def _tasks(one: Object, found: SettingsOf) -> None:
    """
    How a job runs. Unset means one task of ten minutes that is tried again three times
    (`ux-ecosystem.md` §7).
    """
    found.add("tasks", one.number("taskCount") or 1)
    found.add("parallelism", one.number("parallelism") or 0)
    retries = one.number("maxRetries")
    found.add("max_retries", 3 if retries in (None, "") else retries)
    found.add("timeout_seconds", one.seconds("timeout") or 600)


def _service_account(account: str, identity: Identity) -> str:
    """Unset means the default account of Compute Engine, which can be spelled too (§1.1)."""
    number = identity.project_number
    default = f"{number}-compute@developer.gserviceaccount.com" if number else ""
    return "default" if account in ("", default) else account


def _concurrency(one: Object, main: Object) -> int | str:
    """Unset means 80, or 1 below one CPU."""
    written = one.number("maxInstanceRequestConcurrency")
    if written:
        return written
    return 1 if main.inside("resources").inside("limits").cpu("cpu").startswith("0.") else 80


def _encryption(one: Object, found: SettingsOf) -> None:
    key = one.text("encryptionKey")
    found.add("encryption_key", key)
    if key or one.doc.get("encryptionKeyRevocationAction"):
        action = one.word("encryptionKeyRevocationAction", fields.REVOCATION)
        found.add("encryption_key_revocation_action", action)
    shutdown = one.seconds("encryptionKeyShutdownDuration")
    found.add("encryption_key_shutdown_seconds", shutdown)


def _network(access: Object, found: SettingsOf, identity: Identity) -> None:
    connector = _near(access.text("connector"), identity)
    found.add("vpc.connector", connector)
    interfaces = sorted(
        (
            _near(one.text("network"), identity),
            _near(one.text("subnetwork"), identity),
            ", ".join(sorted(one.texts("tags"))),
        )
        for one in access.objects("networkInterfaces")
    )
    for i, (network, subnetwork, tags) in enumerate(interfaces, 1):
        suffix = "" if i == 1 else f".{i}"
        found.add(f"vpc.network{suffix}", network)
        found.add(f"vpc.subnetwork{suffix}", subnetwork)
        found.add(f"vpc.tags{suffix}", tags)
    if connector or interfaces:
        found.add("vpc.egress", access.word("egress", fields.EGRESS))


_PLACE = re.compile(
    r"(?:https://www\.googleapis\.com/compute/v1/)?projects/(?P<project>[^/]+)/"
    r"(?:global|(?:locations|regions)/(?P<region>[^/]+))"
    r"/(?:connectors|networks|subnetworks)/(?P<name>[^/]+)"
)


def _near(written: str, identity: Identity) -> str:
    """
    A connector, network or subnetwork: by its own name in the service's own project and region,
    else with its path.
    """
    place = _PLACE.fullmatch(written)
    if place is None or place["project"] not in (identity.project, identity.project_number):
        return written
    return place["name"] if place["region"] in (None, identity.region) else written


def container_settings(one: Object, found: SettingsOf, port: int | str) -> None:
    """What concerns one container. `port` is the one requests come to unless it says another."""
    found.add("image", one.text("image"))
    found.add("base_image", one.text("baseImageUri"))
    found.add("working_dir", one.text("workingDir"))
    source = one.inside("sourceCode").inside("cloudStorageSource")
    if source.doc:
        item = f"{source.text('bucket')}/{source.text('object')}"
        found.add("source", f"gs://{item}#{source.text('generation')}")
    found.seal("command", *one.values("command"))
    found.seal("args", *one.values("args"))
    found.add("depends_on", ", ".join(sorted(one.texts("dependsOn"))))
    port = _ports(one, found, port)
    _resources(one.inside("resources"), found)
    for kind in ("startup", "liveness", "readiness"):
        _probe(one.inside(f"{kind}Probe"), f"{kind}_probe", found, port)


def _ports(one: Object, found: SettingsOf, port: int | str) -> int | str:
    """Add the ports; gives back the first, which requests come to."""
    listed = one.objects("ports") or ([Object({}, one.path)] if port else [])
    numbers = [given.number("containerPort") or port for given in listed]
    for i, (given, number) in enumerate(zip(listed, numbers, strict=True), 1):
        suffix = "" if i == 1 else f".{i}"
        found.add(f"port{suffix}", number)
        found.add(f"port_name{suffix}", given.text("name") or "http1")
    return next(iter(numbers), port)


def _resources(resources: Object, found: SettingsOf) -> None:
    limits = resources.inside("limits")
    found.add("cpu", limits.cpu("cpu") or "1")
    found.add("memory", limits.memory("memory") or "512Mi")
    for name in limits.doc.keys() - {"cpu", "memory"}:
        found.add("gpu" if name == "nvidia.com/gpu" else f"limit.{name}", limits.text(name))
    unset = resources.doc.get("cpuIdle") in (None, "")
    found.add("cpu_idle", not resources.doc if unset else resources.flag("cpuIdle"))
    found.add("startup_cpu_boost", resources.flag("startupCpuBoost"))


DEFAULT_STARTUP = {"type": "tcp", "initial_delay": 0, "timeout": 240, "period": 240, "failures": 1}
"""What the server writes into a revision that came without a startup probe (§1.2)."""


def _probe(probe: Object, name: str, found: SettingsOf, port: int | str) -> None:
    """A probe of one kind. What a header or a query holds may be a token and is sealed."""
    if not probe.doc:
        return
    kind = next((k for k in ("httpGet", "grpc") if k in probe.doc), "tcpSocket")
    action = probe.inside(kind)
    told: dict[str, Value | None] = {
        "type": {"httpGet": "http", "tcpSocket": "tcp"}.get(kind, kind),
        "initial_delay": probe.number("initialDelaySeconds") or 0,
        "timeout": probe.number("timeoutSeconds") or 1,
        "period": probe.number("periodSeconds") or 10,
        "failures": probe.number("failureThreshold") or 3,
    }
    to = action.number("port") or port
    if name == "startup_probe" and told == DEFAULT_STARTUP and to == port:
        return
    told |= {"port": to, "service": action.text("service") if kind == "grpc" else ""}
    for part, value in told.items():
        found.add(f"{name}.{part}", value)
    if kind == "httpGet":
        path, mark, query = action.text("path").partition("?")
        found.add(f"{name}.path", path or "/")
        found.seal(f"{name}.query", *([query] if mark else []))
        headers: dict[str, list[str]] = {}
        for header in action.objects("httpHeaders"):
            headers.setdefault(header.text("name"), []).append(header.text("value"))
        for header_name, values in headers.items():
            found.seal(f"{name}.header.{header_name}", *values)


def service_settings(one: Object, found: SettingsOf) -> None:
    """What changes without a new revision."""
    found.add("launch_stage", one.word("launchStage", fields.LAUNCH_STAGE))
    binary = one.inside("binaryAuthorization")
    default = "default" if binary.flag("useDefault") else "off"
    found.add("binary_authorization", binary.text("policy") or default)
    if justification := binary.text("breakglassJustification"):
        found.seal("binary_authorization_breakglass", justification)
    _labels(one, found, "label")
    _labels(one, found, "annotation")


def serving_settings(one: Object, found: SettingsOf) -> None:
    """What changes without a new revision, of what answers requests or runs on its own."""
    found.add("ingress", one.word("ingress", fields.INGRESS))
    found.add("health_check_disabled", one.flag("healthCheckDisabled"))
    found.add("invoker_iam_disabled", one.flag("invokerIamDisabled"))
    found.add("default_url_disabled", one.flag("defaultUriDisabled"))
    found.add("iap_enabled", one.flag("iapEnabled"))
    scaling = one.inside("scaling")
    found.add("scaling.min_instances", scaling.number("minInstanceCount") or 0)
    found.add("scaling.max_instances", scaling.number("maxInstanceCount"))
    found.add("scaling.mode", scaling.word("scalingMode", fields.SCALING_MODE))
    found.add("scaling.manual_instances", scaling.number("manualInstanceCount"))
    for audience in one.texts("customAudiences"):
        found.add(f"custom_audience.{audience}", "present")
    several = one.inside("multiRegionSettings")
    found.add("regions", ", ".join(sorted(several.texts("regions"))))
    found.add("multi_region_id", several.text("multiRegionId"))
    if description := one.text("description"):
        found.seal("description", description)
    build = one.inside("buildConfig")
    found.add("build_service_account", build.text("serviceAccount"))
    found.add("build_worker_pool", build.text("workerPool"))
    variables = build.inside("environmentVariables")
    for name in variables.doc:
        found.seal(f"build_env.{name}", variables.text(name))


def _labels(one: Object, found: SettingsOf, kind: str) -> None:
    """
    Labels or annotations of the user, sealed: they are free text. System ones are not settings.
    """
    written = one.inside(f"{kind}s")
    for name, value in written.doc.items():
        if name not in NOISY_NAMES and not _is_provenance(name, value):
            found.seal(f"{kind}.{name}", written.text(name))


def provenance(node: Node) -> tuple[Label, ...]:
    """
    The labels that say what made a revision, where their values look like what they should be.
    """
    pairs = nodes.mapping(node, "labels").items()
    return tuple(Label(name=n, value=v) for n, v in sorted(pairs) if _is_provenance(n, v))


def _is_provenance(name: str, value: Node) -> bool:
    return name in PROVENANCE and bool(PROVENANCE[name].fullmatch(str(value)))


def noisy(doc: Mapping[str, Any]) -> list[str]:
    """The system labels and annotations of something, which are passed over."""
    told = (name for kind in ("labels", "annotations") for name in nodes.mapping(doc.get(kind)))
    return [name for name in told if name in NOISY_NAMES]


def with_invokers(settings: Sequence[Setting], members: Collection[str]) -> tuple[Setting, ...]:
    """The settings of a service, with the members that its own policy lets invoke it."""
    told = ", ".join(sorted(members)) or NOBODY
    invokers = Setting(name=INVOKERS, value=told)
    others = (s for s in settings if s.name != invokers.name)
    return tuple(sorted((*others, invokers), key=lambda s: (s.container, s.name)))
