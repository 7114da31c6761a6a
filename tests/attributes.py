"""Documents of Cloud Run as Terraform's provider would keep them, by its published schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.provider import SCHEMA, kind_of

ZEROS = {"string": "", "number": 0, "bool": False, "map": {}, "list": [], "set": []}


def as_attributes(
    document: Mapping[str, Any], told: Mapping[str, Any], zero: Callable[[], bool]
) -> dict[str, Any]:
    """One block: what is not set is null or, where `zero` says so, nothing of its type."""
    found: dict[str, Any] = {}
    for name, inner in told.items():
        if name == "":
            continue
        kept_as = name.removeprefix("effective_").removeprefix("terraform_")
        value = document.get(camel(kept_as))
        if isinstance(inner, Mapping):
            blocks = value if isinstance(value, list) else [] if value is None else [value]
            found[name] = [as_attributes(one, inner, zero) for one in blocks]
        elif value is None and "computed" not in inner.split() and zero():
            kind = kind_of(inner)
            found[name] = ZEROS[kind if isinstance(kind, str) else kind[0]]
        else:
            found[name] = value
    return found


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(map(str.capitalize, tail))


def state(kind: str, document: Mapping[str, Any], zero: Callable[[], bool], **more: Any) -> Any:
    """A state, as terraform shows it, with one resource."""
    values = as_attributes(document, SCHEMA[kind], zero) | more
    resource = {
        "address": f"{kind}.it", "mode": "managed", "type": kind, "name": "it", "values": values,
    }  # fmt: skip
    return {"format_version": "1.0", "values": {"root_module": {"resources": [resource]}}}
