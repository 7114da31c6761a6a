"""
The settings of a revision, its containers and its service, from the v2 shape, under canonical
names.

What is absent has its documented default, so that a manifest that leaves a field out equals an
export that spells it. Sources: `cloud-run-api.md` §1 and §2; defaults there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drift_audit import names
from drift_audit.collector import fields, nodes
from drift_audit.collector.fields import NOISY_NAMES, PROVENANCE
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Label, Setting, Value
from drift_audit.strict import Node

Doc = Mapping[str, Any]


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
            at = self._home.at(self._container, setting=self._prefix + name)
            self.add(name, self._sealer.seal(at, *values))

    def sorted(self) -> tuple[Setting, ...]:
        """All settings by container and name."""
        return tuple(setting for _, setting in sorted(self._found.items()))


def revision_settings(template: Doc, ingress: Doc, found: SettingsOf) -> None:
    """What concerns the whole revision."""
    scaling = nodes.mapping(template.get("scaling"), "scaling")
    found.add("scaling.min_instances", nodes.number(scaling.get("minInstanceCount")) or 0)
    found.add("scaling.max_instances", nodes.number(scaling.get("maxInstanceCount")) or 100)
    found.add("service_account", nodes.text(template.get("serviceAccount")) or "default")
    found.add("timeout_seconds", nodes.seconds(template.get("timeout")) or 300)
    found.add("concurrency", _concurrency(template, ingress))
    environment = nodes.word(template.get("executionEnvironment"), fields.EXECUTION_ENVIRONMENT)
    found.add("execution_environment", environment)
    found.add("session_affinity", nodes.flag(template.get("sessionAffinity")) or False)
    found.add("health_check_disabled", nodes.flag(template.get("healthCheckDisabled")) or False)
    if template.get("launchStage"):
        found.add("launch_stage", nodes.word(template["launchStage"], fields.LAUNCH_STAGE))
    if names.is_placeholder(name := nodes.text(template.get("revision"))):
        found.add("revision_name", name)
    mesh = nodes.mapping(template.get("serviceMesh"), "serviceMesh")
    found.add("service_mesh", nodes.text(mesh.get("mesh")))
    selector = nodes.mapping(template.get("nodeSelector"), "nodeSelector")
    found.add("accelerator", nodes.text(selector.get("accelerator")))
    zonal = nodes.flag(template.get("gpuZonalRedundancyDisabled"))
    found.add("gpu_zonal_redundancy_disabled", zonal or False)
    _encryption(template, found)
    _network(template, found)
    resources = nodes.mapping(ingress.get("resources"), "containers", "resources")
    idle = nodes.flag(resources.get("cpuIdle"))
    found.add("cpu_idle", idle if idle is not None else not resources)
    found.add("startup_cpu_boost", nodes.flag(resources.get("startupCpuBoost")) or False)
    labels(template.get("labels"), found, "label")
    labels(template.get("annotations"), found, "annotation")


def _concurrency(template: Doc, ingress: Doc) -> int | str:
    """Unset means 80, or 1 below one CPU."""
    written = nodes.number(template.get("maxInstanceRequestConcurrency"))
    if written:
        return written
    limits = nodes.mapping(nodes.mapping(ingress.get("resources")).get("limits"))
    cpu = nodes.cpu(limits.get("cpu")) or "1"
    return 1 if cpu.startswith("0.") else 80


def _encryption(template: Doc, found: SettingsOf) -> None:
    key = nodes.text(template.get("encryptionKey"))
    found.add("encryption_key", key)
    if key:
        action = nodes.word(template.get("encryptionKeyRevocationAction"), fields.REVOCATION)
        found.add("encryption_key_revocation_action", action)
        shutdown = nodes.seconds(template.get("encryptionKeyShutdownDuration"))
        found.add("encryption_key_shutdown_seconds", shutdown)


def _network(template: Doc, found: SettingsOf) -> None:
    access = nodes.mapping(template.get("vpcAccess"), "vpcAccess")
    connector = nodes.text(access.get("connector")).rpartition("/connectors/")[2]
    found.add("vpc.connector", connector)
    interfaces = nodes.sequence(access.get("networkInterfaces"), "vpcAccess", "networkInterfaces")
    for i, interface in enumerate(interfaces, 1):
        one = nodes.mapping(interface, "vpcAccess", "networkInterfaces")
        suffix = "" if i == 1 else f".{i}"
        found.add(f"vpc.network{suffix}", _short(one.get("network")))
        found.add(f"vpc.subnetwork{suffix}", _short(one.get("subnetwork")))
        tags = sorted(nodes.text(t) for t in nodes.sequence(one.get("tags"), "tags"))
        found.add(f"vpc.tags{suffix}", ", ".join(tags))
    if connector or interfaces:
        found.add("vpc.egress", nodes.word(access.get("egress"), fields.EGRESS))


def _short(node: Node) -> str:
    """A network or subnetwork by its own name, whether it came with its path or not."""
    return nodes.text(node).rpartition("/")[2]


def container_settings(container: Doc, found: SettingsOf, port: int | str, digest: str) -> None:
    """What concerns one container. `port` is the one requests come to, empty in a sidecar."""
    found.add("image", nodes.text(container.get("image")))
    found.add("image_digest", digest)
    found.add("base_image", nodes.text(container.get("baseImageUri")))
    found.add("working_dir", nodes.text(container.get("workingDir")))
    source = nodes.mapping(nodes.mapping(container.get("sourceCode")).get("cloudStorageSource"))
    if source:
        bucket, item = nodes.text(source.get("bucket")), nodes.text(source.get("object"))
        found.add("source", f"gs://{bucket}/{item}#{nodes.text(source.get('generation'))}")
    found.seal("command", *_strings(container, "command"))
    found.seal("args", *_strings(container, "args"))
    found.add("depends_on", ", ".join(sorted(_strings(container, "dependsOn"))))
    found.add("port", port)
    if port:
        ports = nodes.sequence(container.get("ports"), "containers", "ports") or [{}]
        found.add("port_name", nodes.text(nodes.mapping(ports[0]).get("name")) or "http1")
    limits = nodes.mapping(nodes.mapping(container.get("resources")).get("limits"), "limits")
    found.add("cpu", nodes.cpu(limits.get("cpu")) or "1")
    found.add("memory", nodes.memory(limits.get("memory")) or "512Mi")
    for name in limits.keys() - {"cpu", "memory"}:
        found.add("gpu" if name == "nvidia.com/gpu" else f"limit.{name}", nodes.text(limits[name]))
    for kind in ("startup", "liveness", "readiness"):
        _probe(nodes.mapping(container.get(f"{kind}Probe")), f"{kind}_probe", found, port)


def _strings(container: Doc, name: str) -> list[str]:
    items = nodes.sequence(container.get(name), "containers", name)
    return [nodes.value(item, "containers", name) for item in items]


DEFAULT_STARTUP = {"type": "tcp", "initial_delay": 0, "timeout": 240, "period": 240, "failures": 1}
"""What the server writes into a revision that came without a startup probe (§1.2)."""


def _probe(probe: Doc, name: str, found: SettingsOf, port: int | str) -> None:
    if not probe:
        return
    http = nodes.mapping(probe.get("httpGet"))
    grpc = nodes.mapping(probe.get("grpc"))
    action = http or grpc or nodes.mapping(probe.get("tcpSocket"))
    kind = "http" if "httpGet" in probe else "grpc" if "grpc" in probe else "tcp"
    told: dict[str, Value | None] = {
        "type": kind,
        "initial_delay": nodes.number(probe.get("initialDelaySeconds")) or 0,
        "timeout": nodes.number(probe.get("timeoutSeconds")) or 1,
        "period": nodes.number(probe.get("periodSeconds")) or 10,
        "failures": nodes.number(probe.get("failureThreshold")) or 3,
    }
    to = nodes.number(action.get("port")) or port
    if name == "startup_probe" and told == DEFAULT_STARTUP and to == port:
        return
    told |= {"port": to, "service": nodes.text(grpc.get("service"))}
    if kind == "http":
        told["path"] = nodes.text(http.get("path")) or "/"
    for part, value in told.items():
        found.add(f"{name}.{part}", value)
    for header in nodes.sequence(http.get("httpHeaders"), "httpHeaders"):
        one = nodes.mapping(header, "httpHeaders")
        found.seal(f"{name}.header.{nodes.text(one.get('name'))}", nodes.text(one.get("value")))


def service_settings(parent: Doc, found: SettingsOf) -> None:
    """What changes without a new revision."""
    found.add("ingress", nodes.word(parent.get("ingress"), fields.INGRESS))
    found.add("invoker_iam_disabled", nodes.flag(parent.get("invokerIamDisabled")) or False)
    found.add("default_url_disabled", nodes.flag(parent.get("defaultUriDisabled")) or False)
    found.add("iap_enabled", nodes.flag(parent.get("iapEnabled")) or False)
    binary = nodes.mapping(parent.get("binaryAuthorization"), "binaryAuthorization")
    found.add("binary_authorization", nodes.text(binary.get("policy")) or _default(binary))
    if binary.get("breakglassJustification"):
        found.seal("binary_authorization_breakglass", nodes.text(binary["breakglassJustification"]))
    scaling = nodes.mapping(parent.get("scaling"), "scaling")
    found.add("scaling.min_instances", nodes.number(scaling.get("minInstanceCount")) or 0)
    found.add("scaling.max_instances", nodes.number(scaling.get("maxInstanceCount")))
    found.add("scaling.mode", nodes.word(scaling.get("scalingMode"), fields.SCALING_MODE))
    found.add("scaling.manual_instances", nodes.number(scaling.get("manualInstanceCount")))
    for audience in nodes.sequence(parent.get("customAudiences"), "customAudiences"):
        found.add(f"custom_audience.{nodes.text(audience)}", "present")
    regions = nodes.mapping(parent.get("multiRegionSettings"), "multiRegionSettings")
    found.add("regions", ", ".join(sorted(_texts(regions.get("regions")))))
    if parent.get("description"):
        found.seal("description", nodes.text(parent["description"]))
    build = nodes.mapping(nodes.mapping(parent.get("buildConfig")).get("environmentVariables"))
    for name, value in build.items():
        found.seal(f"build_env.{name}", nodes.text(value))
    labels(parent.get("labels"), found, "label")
    labels(parent.get("annotations"), found, "annotation")


def _default(binary: Doc) -> str:
    return "default" if nodes.flag(binary.get("useDefault")) else "off"


def _texts(node: Node) -> list[str]:
    return [nodes.text(item) for item in nodes.sequence(node)]


def labels(node: Node, found: SettingsOf, kind: str) -> None:
    """
    Labels or annotations of the user, sealed: they are free text. System ones are not settings.
    """
    for name, value in nodes.mapping(node, f"{kind}s").items():
        if name not in NOISY_NAMES and not _is_provenance(name, value):
            found.seal(f"{kind}.{name}", nodes.text(value))


def provenance(node: Node) -> tuple[Label, ...]:
    """
    The labels that say what made a revision, where their values look like what they should be.
    """
    pairs = nodes.mapping(node, "labels").items()
    return tuple(Label(name=n, value=v) for n, v in sorted(pairs) if _is_provenance(n, v))


def _is_provenance(name: str, value: Node) -> bool:
    return name in PROVENANCE and bool(PROVENANCE[name].fullmatch(str(value)))


def noisy(node: Node) -> list[str]:
    """The system labels or annotations that are passed over."""
    return [name for name in nodes.mapping(node) if name in NOISY_NAMES]
