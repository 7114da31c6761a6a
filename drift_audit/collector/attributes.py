"""
Terraform's attributes of one resource, under the names and in the shape of the API.

The provider writes names with underscores, every block as a list, and what is not set as null or as
zero. The tables in `fields` say what is a block and what is a map, so that what stands in none of
them stays unknown here too. What a plan does not know yet becomes NOT_KNOWN, never nothing.
Sources: Terraform's JSON output format (developer.hashicorp.com/terraform/internals/json-format)
and the schema of the provider hashicorp/google.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from drift_audit.collector import fields, nodes
from drift_audit.collector.nodes import NOT_KNOWN, NOT_YET, NotKnown
from drift_audit.strict import Bare, Node, Path, Refused

Doc = dict[str, Any]

TERRAFORM_ONLY = frozenset(
    """
    autogenerate_revision_name deletion_protection effective_annotations effective_labels id
    location name project terraform_labels timeouts
    """.split()
)
"""Attributes that no field of the API stands for. Identity and effective labels are read apart."""

STATUS = frozenset("conditions reconciling serving_state terminal_condition".split())
"""What Cloud Run says of a service, and Terraform repeats as it was when it looked."""

BEFORE_APPLY = STATUS | frozenset(
    """
    create_time creator etag generation instance_split_statuses last_modifier
    latest_created_revision latest_ready_revision observed_generation resource_version self_link
    status traffic_statuses uid update_time
    """.split()
)
"""What a plan repeats of the state of before, or does not know: the apply makes it anew."""

OPEN = frozenset(
    """
    ingress launchStage metadata scaling traffic instanceSplits
    template.executionEnvironment template.maxInstanceRequestConcurrency template.metadata
    template.parallelism template.scaling template.serviceAccount template.taskCount
    template.timeout
    spec.containerConcurrency spec.serviceAccountName spec.timeoutSeconds
    metadata.annotations metadata.labels metadata.name metadata.namespace
    containers.livenessProbe containers.name containers.ports containers.readinessProbe
    containers.resources containers.startupProbe resources.limits ports.name ports.containerPort
    httpGet.port grpc.port tcpSocket.port
    vpcAccess.egress networkInterfaces.network networkInterfaces.subnetwork
    traffic.percent instanceSplits.percent csi.readOnly
    """.split()
)
"""
What the provider leaves to Cloud Run where it is not set (optional and computed in its schema), by
the block that holds it. A plan calls it unknown, as it does what is set to something unknown.
"""

ESSENTIAL = frozenset(
    """
    template template.containers template.spec template.template template.volumes
    spec.containers spec.volumes traffic traffic.percent instanceSplits instanceSplits.percent
    containers.env containers.name containers.volumeMounts
    env.name volumeMounts.mountPath volumeMounts.name volumeMounts.subPath
    volumes.name volumes.secret secret.defaultMode secret.items items.mode items.path
    """.split()
)
"""Without one of these nobody can tell which keys and files there will be."""

_LISTS = frozenset(
    "args command customAudiences dependsOn instances mountOptions regions tags".split()
)
_MAPS: dict[str, tuple[str, ...]] = {
    "limits": ("cpu", "memory"),
    **dict.fromkeys(("annotations", "environmentVariables", "labels"), (NOT_KNOWN,)),
}
"""Fields that hold lists or maps of scalars; of maps, what stands in for one that is not known."""

_SOURCES = {"value_source": "valueSource", "value_from": "valueFrom"}

UNORDERED = NotKnown("several entries of a set, which has no order")
"""Where a key comes from that stands there more than once."""

_OF_NO_SETTING = frozenset(
    "metadata.annotations metadata.labels metadata.name metadata.namespace containers.name".split()
)
"""What is left to Cloud Run and makes no difference to anybody."""


class NothingToRead(Exception):
    """The plan does not know yet what all else hangs on: `where` names it."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} is not known")
        self.where = where


class Attributes:
    """
    Maps the attributes of one resource and keeps what was met on the way: `unknown` is what is set
    and not known yet, `left` what is left to Cloud Run, `ignored` what was passed over by rule.
    """

    def __init__(self, *, passed_over: frozenset[str], configured: bool) -> None:
        self._passed_over = TERRAFORM_ONLY | STATUS | passed_over
        self._configured = configured
        self.unknown: list[str] = []
        self.left: list[str] = []
        self.ignored: set[str] = set()

    def block(
        self,
        values: Mapping[str, Any],
        mask: Node,
        config: Mapping[str, Any] | None,
        shape: fields.Shape,
        path: Path = (),
    ) -> Doc:
        """
        One block. `mask` says what in it is not known, `config` which attributes are set, None
        where that cannot be told, as in what a dynamic block makes.

        Raises NothingToRead, and Refused for what no provider writes.
        """
        masks = mask if isinstance(mask, dict) else {}
        found: Doc = {}
        for name in [*values, *(n for n in masks if n not in values)]:
            if self._is_passed_over(name, path):
                self.ignored |= set() if _is_unset(values.get(name)) else {name}
                continue
            field = field_name(name)
            where = (*path, field)
            inner = shape.get(field) if isinstance(shape, dict) else None
            if _is_true(masks.get(name)):
                if inner != fields.NOISE and not self._is_left(name, inner, config, where):
                    found[field] = self._not_known(field, inner, where)
                continue
            node = self._field(values.get(name), masks.get(name), _in(config, name), inner, where)
            if not (_is_unset(node) or (inner is None and _is_zero(node))):
                found[field] = node
        return found

    def _is_passed_over(self, name: str, path: Path) -> bool:
        """By rule: at the top, and in the metadata of v1, where much of it stands again."""
        if path[-1:] == ("metadata",):
            return name in self._passed_over and name != "name"
        return name in (STATUS if path else self._passed_over)

    def _field(
        self, value: Node, mask: Node, config: Node, shape: fields.Shape, where: Path
    ) -> Node:
        if where[-2:] == ("containers", "env"):
            return list(self._variables(value, mask, where))
        if isinstance(shape, list):
            return self._blocks(value, mask, config, shape[0], where)
        if isinstance(shape, dict) and isinstance(value, list):
            blocks = self._blocks(value, mask, config, shape, where)
            if len(blocks) > 1:
                raise Refused("wrong-type", f"{where[-1]} is there more than once")
            return blocks[0] if blocks else None
        if isinstance(shape, dict) and value is not None:
            return self.block(nodes.mapping(value, *where), mask, None, shape, where)
        return self._plain(value, mask, where)

    def _blocks(
        self, value: Node, mask: Node, config: Node, shape: fields.Shape, where: Path
    ) -> list[Doc]:
        items = nodes.sequence(value, *where)
        set_ = config if isinstance(config, list) and len(config) == len(items) else []
        found = []
        for item, one, here in zip_longest(items, _beside(items, mask), set_):
            if _is_true(one):
                raise NothingToRead(_dotted(where))
            inside = here if isinstance(here, dict) else None
            found.append(self.block(nodes.mapping(item, *where), one, inside, shape, where))
        if where[-1] == "volumes" and any(map(_is_nameless, found)):
            raise NothingToRead(_dotted((*where, "secret")))
        return found

    def _variables(self, value: Node, mask: Node, where: Path) -> Iterator[Doc]:
        """
        The variables of a container, by name: they are a set, and a set has no order. Of two
        entries of one name nobody can say which will win.
        """
        entries = nodes.sequence(value, *where)
        found: dict[str, list[Doc]] = {}
        for item, one in zip_longest(entries, _beside(entries, mask)):
            entry = nodes.mapping(item, *where)
            unknown: Doc = one if isinstance(one, dict) else {}
            if _is_true(one) or _is_true(unknown.get("name")):
                raise NothingToRead(_dotted((*where, "name")))
            name = nodes.string(entry.get("name"), *where, "name")
            found.setdefault(name, []).append(_variable(entry, unknown))
        for name, same in sorted(found.items()):
            yield same[0] if len(same) == 1 else {"name": name, "value": UNORDERED}

    def _is_left(
        self, name: str, shape: fields.Shape, config: Mapping[str, Any] | None, where: Path
    ) -> bool:
        """
        Whether something unknown is not set, so that Cloud Run decides. Blocks that are made
        dynamically do not stand in the configuration: of those only what the provider computes.
        """
        if not self._configured or (config is not None and name in config):
            return False
        is_block = isinstance(shape, (dict, list))
        place = _dotted(where[-2:])
        if place not in OPEN and (config is None or is_block):
            return False
        self.left += [] if place in _OF_NO_SETTING else [_dotted(where)]
        return True

    def _not_known(self, field: str, shape: fields.Shape, where: Path) -> Node:
        if _dotted(where[-2:]) in ESSENTIAL:
            raise NothingToRead(_dotted(where))
        self.unknown.append(_dotted(where))
        return _stand_in(field, shape)

    def _plain(self, value: Node, mask: Node, where: Path) -> Node:
        """A scalar, a list or a map of them, or blocks that no table describes."""
        if isinstance(value, list):
            pairs = zip_longest(value, _beside(value, mask))
            return [self._item(item, unknown, where) for item, unknown in pairs]
        if not isinstance(value, dict):
            return value
        masks = mask if isinstance(mask, dict) else {}
        keys = [*value, *(key for key in masks if key not in value)]
        found = {key: self._item(value.get(key), masks.get(key), (*where, key)) for key in keys}
        return {key: item for key, item in found.items() if item is not None}

    def _item(self, value: Node, mask: Node, where: Path) -> Node:
        if _is_true(mask):
            self.unknown.append(_dotted(where))
            return NOT_KNOWN
        found = self._plain(value, mask, where)
        return {field_name(k): v for k, v in found.items()} if isinstance(found, dict) else found


def field_name(name: str) -> str:
    """The field of the API that an attribute stands for: `cpu_idle` is `cpuIdle`."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _variable(entry: Doc, unknown: Mapping[str, Node]) -> Doc:
    """One variable. The provider writes an empty value beside the secret that fills it."""
    name = {"name": entry["name"]}
    attribute = next((a for a in _SOURCES if a in entry or a in unknown), "value_source")
    field, value = _SOURCES[attribute], entry.get("value")
    if _is_true(unknown.get("value")) or _any_true(unknown.get(attribute)):
        return {**name, "value": NOT_YET}
    sources = nodes.sequence(entry.get(attribute), "env", attribute)
    if not sources:
        return {**name, "value": "" if value is None else value}
    inside = nodes.mapping(sources[0], "env", attribute)
    source = {field_name(kind): _only(ref) for kind, ref in inside.items() if ref not in (None, [])}
    return {**name, field: source, **({} if value in (None, "") else {"value": value})}


def _is_nameless(volume: Doc) -> bool:
    """Whether a volume is of a secret that is not known, with one file named after that."""
    secret = volume.get("secret", {})
    name = secret.get("secret", secret.get("secretName"))
    return isinstance(name, NotKnown) and not secret.get("items")


def _only(reference: Node) -> Node:
    """The reference inside a block, without what is not set in it."""
    [first, *_] = nodes.sequence(reference, "env") or [{}]
    return {k: v for k, v in nodes.mapping(first, "env").items() if not _is_unset(v)}


def _stand_in(field: str, shape: fields.Shape) -> Node:
    """What takes the place of something that is not known: every field of a block, if it is one."""
    if isinstance(shape, list):
        return [_stand_in(field, shape[0])]
    if isinstance(shape, dict):
        return {k: _stand_in(k, inner) for k, inner in shape.items() if inner != fields.NOISE}
    if field in _MAPS:
        return dict.fromkeys(_MAPS[field], NOT_KNOWN)
    return [NOT_KNOWN] if field in _LISTS else NOT_KNOWN


def _beside(items: Sequence[Node], mask: Node) -> Sequence[Node]:
    """What of each item is not known: Terraform lists both in one order, also of sets."""
    return mask[: len(items)] if isinstance(mask, list) else ()


def _in(config: Node, name: str) -> Node:
    return config.get(name) if isinstance(config, dict) else None


def _is_true(mask: Node) -> bool:
    return mask is True or (isinstance(mask, Bare) and mask == "true")


def _any_true(mask: Node) -> bool:
    """Whether anything below is not known."""
    if isinstance(mask, (dict, list)):
        return any(map(_any_true, mask.values() if isinstance(mask, dict) else mask))
    return _is_true(mask)


def _is_unset(node: Node) -> bool:
    """Null, the empty text, or no block: the provider's ways to say nothing."""
    return node is None or node in ("", [])


def _is_zero(node: Node) -> bool:
    """Nothing but zeros below: how the provider keeps what is not set."""
    if isinstance(node, (dict, list)):
        return all(map(_is_zero, node.values() if isinstance(node, dict) else node))
    return _is_unset(node) or node is False or (isinstance(node, Bare) and node in ("0", "false"))


def _dotted(where: Path) -> str:
    return ".".join(map(str, where))
