"""
A stand-in for Terraform's provider of Google Cloud: the real terraform plans with it, offline.

It speaks the plugin protocol, version 5, and has the attributes of the published schema
(`tests/provider.yaml`, `tests/provider_deploy.yaml`). What a plan leaves to Cloud Run it calls
unknown, as the real one does; it reaches nothing, and applies nothing.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import yaml

UNKNOWN = object()
"""What is known after the apply."""


def _read(page: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / page).read_text())
    return found


SCHEMA = _read("provider.yaml")
"""What the auditor reads of plans."""

DEPLOYED = SCHEMA | _read("provider_deploy.yaml")
"""That, and the other resources that a deployment of the auditor is made of."""


# Protocol buffers: numbers of fields, as in tfplugin5.proto


def message(*fields: tuple[int, Any]) -> bytes:
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, (bool, int)):
        return _varint(number << 3) + _varint(int(value))
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def parts(data: bytes) -> dict[int, bytes]:
    """The fields of a message that hold bytes, the last of each number."""
    found: dict[int, bytes] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        length = varint()
        if key & 7 == 2:
            found[key >> 3] = data[at : at + length]
            at += length
    return found


# MessagePack, as far as terraform writes it


def pack(value: Any) -> bytes:
    if value is UNKNOWN:
        return b"\xd4\x00\x00"
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, (int, float)):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    items = b"".join(pack(k) + pack(v) for k, v in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + items


class Unpacker:
    """Reads one value."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, code: str) -> Any:
        return struct.unpack(f">{code}", self._take(struct.calcsize(code)))[0]

    def value(self) -> Any:
        mark = self._take(1)[0]
        if mark < 0x80 or mark >= 0xE0:
            return mark if mark < 0x80 else mark - 256
        if mark < 0xC0:
            return self._sized(mark >> 4, mark & (0x1F if mark >= 0xA0 else 0x0F))
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if mark in simple:
            return simple[mark]
        if mark in (0xD4, 0xC7):  # an unknown value, with or without what is known of it
            self._take(2 if mark == 0xD4 else self._number("B") + 1)
            return UNKNOWN
        numbers = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q"}
        numbers |= {0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
        if mark in numbers:
            return self._number(numbers[mark])
        kind, code = {
            0xD9: (10, "B"), 0xDA: (10, "H"), 0xDB: (10, "I"),
            0xDC: (9, "H"), 0xDD: (9, "I"), 0xDE: (8, "H"), 0xDF: (8, "I"),
        }[mark]  # fmt: skip
        return self._sized(kind, self._number(code))

    def _sized(self, kind: int, size: int) -> Any:
        if kind == 8:
            return {self.value(): self.value() for _ in range(size)}
        if kind == 9:
            return [self.value() for _ in range(size)]
        return self._take(size).decode()


def dynamic(value: Any) -> bytes:
    return message((1, pack(value)))


def given(data: bytes) -> Any:
    """A value that terraform sent."""
    return Unpacker(parts(data)[1]).value()


# The schema


def flags(told: str) -> set[str]:
    return set(told.split())


def kind_of(told: str) -> Any:
    """The type of an attribute: `string`, `number`, `bool`, or one of `list`, `set`, `map`."""
    words = told.split()
    plain = next((w for w in words if w in ("number", "bool")), "string")
    outer = next((w for w in words if w in ("list", "set", "map")), None)
    return [outer, plain] if outer else "dynamic" if "dynamic" in words else plain


def block(told: Mapping[str, Any]) -> bytes:
    """A block: attributes are text, blocks are mappings with `nesting` under an empty key."""
    found = []
    for name, inner in told.items():
        if name == "":
            continue
        if isinstance(inner, str):
            words = flags(inner)
            required, computed = "required" in words, "computed" in words
            only = computed and "optional" not in words
            attribute = message(
                (1, name), (2, json.dumps(kind_of(inner))), (4, required),
                (5, not required and not only), (6, computed),
            )  # fmt: skip
            found.append((2, attribute))
        else:
            nesting = 3 if "set" in inner.get("", "") else 2
            found.append((3, message((1, name), (2, block(inner)), (3, nesting))))
    return message(*found)


def planned(told: Mapping[str, Any], prior: Any, config: Any, proposed: Any) -> Any:
    """
    What a plan makes of what is proposed: what Cloud Run decides stays as it was, or is unknown where
    it was not. Nothing and zero are one to the library that the provider is made with.
    """
    found = dict(proposed)
    for name, inner in told.items():
        if name == "":
            continue
        words = flags(inner if isinstance(inner, str) else inner.get("", ""))
        was, mine, value = ((one or {}).get(name) for one in (prior, config, proposed))
        if value in (None, []) and mine in (None, []):
            if "computed" in words:
                found[name] = UNKNOWN if prior is None else was
            elif not was:
                found[name] = value if prior is None else was
        elif isinstance(inner, Mapping) and isinstance(value, list):
            triples = zip(_beside(was, value), _beside(mine, value), value, strict=True)
            found[name] = [v if v is UNKNOWN else planned(inner, w, c, v) for w, c, v in triples]
            if "set" in words:  # what is not set in an element of a set is empty there
                found[name] = [_without_nulls(inner, v) for v in found[name]]
    return found


def _beside(other: Any, value: list[Any]) -> list[Any]:
    return other if isinstance(other, list) and len(other) == len(value) else [None] * len(value)


def _without_nulls(told: Mapping[str, Any], element: Any) -> Any:
    texts = {n for n, inner in told.items() if isinstance(inner, str)}
    return {n: "" if v is None and n in texts else v for n, v in element.items()}


def shaped(told: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """A stored value with all that the schema has: null for attributes, no block for blocks."""
    found: dict[str, Any] = {}
    for name, inner in told.items():
        if name == "":
            continue
        if isinstance(inner, str):
            found[name] = value.get(name)
        else:
            found[name] = [shaped(inner, one) for one in value.get(name) or []]
    return found


MINE = {"goog-terraform-provisioned": "true"}


def with_effective(prior: Any, after: dict[str, Any]) -> dict[str, Any]:
    """Labels and annotations as they will stand there: those of others stay."""
    found = dict(after)
    for what, mine in (("labels", MINE), ("annotations", {})):
        if f"effective_{what}" in after and after[what] is not UNKNOWN:
            wanted = {**(after[what] or {}), **mine}
            there = (prior or {}).get(f"effective_{what}") or {}
            dropped = ((prior or {}).get(what) or {}).keys() - wanted.keys()
            kept = {k: v for k, v in there.items() if k not in dropped}
            found[f"effective_{what}"] = {**kept, **wanted}
            if f"terraform_{what}" in after:
                found[f"terraform_{what}"] = wanted
    metadata = after.get("metadata")
    if isinstance(metadata, list) and metadata:
        before = next(iter((prior or {}).get("metadata") or []), None)
        found["metadata"] = [with_effective(before, metadata[0])]
    return found


def get_schema(_: bytes) -> bytes:
    resources = (
        (2, message((1, name), (2, message((1, 0), (2, block(told))))))
        for name, told in DEPLOYED.items()
    )
    return message((1, message((2, b""))), *resources)


def prepare_provider_config(request: bytes) -> bytes:
    return message((1, parts(request)[1]))


def upgrade_resource_state(request: bytes) -> bytes:
    sent = parts(request)
    stored = json.loads(parts(sent[3])[1])
    return message((1, dynamic(shaped(DEPLOYED[sent[1].decode()], stored))))


def read_resource(request: bytes) -> bytes:
    return message((1, parts(request)[2]))


def plan_resource_change(request: bytes) -> bytes:
    sent = parts(request)
    prior, proposed, config = (given(sent[number]) for number in (2, 3, 4))
    if proposed is None:
        return message((1, dynamic(None)), (5, True))
    told = DEPLOYED[sent[1].decode()]
    after = with_effective(prior, planned(told, prior, config, proposed))
    anew = [
        (2, message((1, message((1, name)))))
        for name in ("name", "location", "project")
        if prior is not None and prior.get(name) != after.get(name)
    ]
    return message((1, dynamic(after)), *anew, (5, True))


CALLS = {
    "GetSchema": get_schema,
    "PrepareProviderConfig": prepare_provider_config,
    "UpgradeResourceState": upgrade_resource_state,
    "ReadResource": read_resource,
    "PlanResourceChange": plan_resource_change,
}
"""The calls of a plan that need an answer; the others, which validate, get an empty one."""


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, calls: Mapping[str, Callable[[bytes], bytes]]) -> None:
        self._calls = calls

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, name = details.method.strip("/").partition("/")
        if service != "tfplugin5.Provider":
            return None
        answer = self._calls.get(name, lambda _: b"")
        return grpc.unary_unary_rpc_method_handler(lambda request, _: answer(request))


@contextmanager
def serving(calls: Mapping[str, Callable[[bytes], bytes]] = CALLS) -> Iterator[dict[str, str]]:
    """The environment in which terraform finds the provider."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Handler(calls)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
        attached = {
            "Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True,
            "Addr": address,
        }  # fmt: skip
        source = "registry.terraform.io/hashicorp/google"
        yield {"TF_REATTACH_PROVIDERS": json.dumps({source: attached})}
    finally:
        server.stop(None).wait()
