"""
One instance of a resource of Terraform, as the API would show it.

The attributes of `google_cloud_run_v2_*` go to the v2 shape, those of `google_cloud_run_service` to
v1, so that what they mean is decided where it is for everything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from drift_audit.collector import attributes, fields, knative, nodes
from drift_audit.collector.attributes import Attributes, NothingToRead
from drift_audit.collector.resources import Resource, from_v2
from drift_audit.names import Kind
from drift_audit.snapshot import UNKNOWN, Identity, Unseen
from drift_audit.strict import Node, Path, Refused

Doc = Mapping[str, Any]

V1 = "google_cloud_run_service"
V2: dict[str, tuple[Kind, str, fields.Shape]] = {
    "google_cloud_run_v2_service": ("service", "services", fields.SERVICE),
    "google_cloud_run_v2_worker_pool": ("worker-pool", "workerPools", fields.WORKER_POOL),
    "google_cloud_run_v2_job": ("job", "jobs", fields.JOB),
}

V1_SHAPE: fields.Shape = {
    "metadata": fields.V1_METADATA,
    "template": fields.V1_TEMPLATE,
    "traffic": fields.V1_SERVICE["spec"]["traffic"],
    "status": fields.V1_SERVICE["status"],
}


class Withheld(NamedTuple):
    """A service that the document speaks of and does not show, and why."""

    identity: Identity
    unseen: Unseen


def is_ours(one: Doc) -> bool:
    """Data sources tell what is there, not what will be."""
    kind = one.get("type")
    return one.get("mode", "managed") == "managed" and (kind == V1 or kind in V2)


_KEY = re.compile(r'\["(?:[^"\\]|\\.)*+"\]|\[[0-9]+\]')
"""The key of one of several that `count` or `for_each` makes: it may be any text."""


def without_keys(address: str) -> str:
    """An address of Terraform as the configuration has it, whatever instance it is of."""
    return _KEY.sub("", address)


_ADDRESS = re.compile(r"[A-Za-z0-9_.-]{1,300}")


class Instance:
    """One instance of a resource, with all that the document says of its attributes."""

    def __init__(
        self,
        one: Doc,
        values: Doc,
        path: Path,
        *,
        unknown: Node = None,
        config: Doc | None = None,
        planned: bool = False,
    ) -> None:
        self._type = str(one.get("type"))
        self._values, self._unknown = _with_effective(values, unknown)
        self._path, self._config = path, config
        self._planned = planned
        passed_over = attributes.BEFORE_APPLY if planned else frozenset[str]()
        self._read = Attributes(passed_over=passed_over, configured=config is not None)
        address = without_keys(nodes.text(one.get("address")))
        self.address = address if _ADDRESS.fullmatch(address) else self._type

    @property
    def left(self) -> list[str]:
        """What is left to Cloud Run."""
        return list(dict.fromkeys(self._read.left))

    @property
    def name(self) -> str:
        """The service by its kind and name, as far as that is known."""
        who = self.identity
        return f"{who.kind} {who.service}" if who.service != UNKNOWN else f"a {who.kind}"

    def withheld(self, reason: str) -> Withheld:
        """That the document does not show it, and why."""
        unseen = Unseen(where=self.name, reason=f"{reason} ({self.address})")
        return Withheld(self.identity, unseen)

    def resource(self) -> Resource:
        """The resource as the API would show it. Raises NothingToRead and Refused."""
        if self.identity.service == UNKNOWN:
            if self._unknown:
                raise NothingToRead("its name")
            raise Refused("missing-name", f"{self.address} has no name", path=self._path)
        try:
            found = self._v1() if self._type == V1 else self._v2()
        except Refused as refused:
            refused.path = refused.path if refused.path[:1] == self._path[:1] else self._path
            raise
        name = found.identity.service
        unseen = (
            Unseen(where=f"{where} of {name}", reason="the plan does not know it yet")
            for where in dict.fromkeys(self._read.unknown)
        )
        beside = found.beside
        ignored, missed = [*beside.ignored, *self._read.ignored], [*beside.unseen, *unseen]
        who = found.identity
        return replace(
            found,
            identity=who.but(revision="", planned=True) if self._planned else who,
            beside=replace(beside, ignored=ignored, unseen=missed),
        )

    def _v2(self) -> Resource:
        kind, plural, shape = V2[self._type]
        doc = self._read.block(self._values, self._unknown, self._config, shape)
        if kind == "service":
            _scaled(doc.get("scaling", {}))
            if self._planned:  # v2 calls it unspecified only where nothing is deployed (§1.4)
                doc.setdefault("ingress", "all")
        who = self.identity
        place = f"projects/{who.project}/locations/{who.region}/{plural}/{who.service}"
        return from_v2({**doc, "name": place}, self._path)

    def _v1(self) -> Resource:
        doc = self._read.block(self._values, self._unknown, self._config, V1_SHAPE)
        who = self.identity
        metadata, template = doc.pop("metadata", {}), doc.pop("template", {})
        labels = {**metadata.get("labels", {})}
        if who.region != UNKNOWN:
            labels[knative.LOCATION] = who.region
        project = who.project if who.project != UNKNOWN else None
        spec = {"template": template, "traffic": doc.pop("traffic", None)}
        whole = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {**metadata, "name": who.service, "namespace": project, "labels": labels},
            "spec": spec,
            **doc,
        }
        return knative.resource(whole, self._path)

    @property
    def identity(self) -> Identity:
        """Which service it is; what is not known yet is left open."""
        kind: Kind = "service" if self._type == V1 else V2[self._type][0]
        told = {
            name: nodes.text(self._values.get(name), *self._path, name) or UNKNOWN
            for name in ("project", "location", "name")
        }
        return Identity(
            project=told["project"],
            region=told["location"],
            kind=kind,
            service=told["name"].rpartition("/")[2],
        )


def _scaled(scaling: dict[str, Any]) -> None:
    """Drop the zeros of a service's scaling that mean nothing: the provider has no other way."""
    for count in ("maxInstanceCount", "manualInstanceCount"):
        manual = count.startswith("manual") and scaling.get("scalingMode") == "MANUAL"
        if nodes.number(scaling.get(count)) == 0 and not manual:
            del scaling[count]


def _with_effective(values: Doc, unknown: Node) -> tuple[Doc, Node]:
    """
    Labels and annotations as they will stand on the resource: with those of the provider, and those
    that others have put there. Since version 5 the provider tells them apart.
    """
    masks = dict(unknown) if isinstance(unknown, dict) else {}
    found = dict(values)
    for what in ("labels", "annotations"):
        for name in (f"effective_{what}", f"terraform_{what}"):
            if values.get(name) is not None:
                found[what], masks[what] = values[name], masks.get(name)
                break
    metadata = values.get("metadata")
    if isinstance(metadata, list) and len(metadata) == 1 and isinstance(metadata[0], dict):
        [mask] = masks["metadata"] if _is_one(masks.get("metadata")) else [None]
        inside, mask = _with_effective(metadata[0], mask)
        found["metadata"], masks["metadata"] = [inside], [mask]
    return found, masks


def _is_one(mask: Node) -> bool:
    return isinstance(mask, list) and len(mask) == 1
