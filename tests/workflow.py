"""
A small interpreter of Workflows, as much of it as `deploys.workflow.yaml` uses: assignments, switches,
calls and expressions, by https://cloud.google.com/workflows/docs/reference/syntax. What it does not
know ends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any


class Map(dict[str, Any]):
    """A map whose keys are members too; one that is not there raises KeyError."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def mapped(value: Any) -> Any:
    """A document as expressions see it."""
    if isinstance(value, Mapping):
        return Map({k: mapped(v) for k, v in value.items()})
    return [mapped(v) for v in value] if isinstance(value, list) else value


def _get(node: Any, keys: Any) -> Any:
    for key in [keys] if isinstance(keys, str) else keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


class Workflow:
    """A workflow, its variables of the environment, and what carries out its calls."""

    def __init__(
        self,
        document: Mapping[str, Any],
        environment: Mapping[str, str],
        calls: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        self._main = document["main"]
        self._calls = calls
        self._known: dict[str, Any] = {
            "sys": SimpleNamespace(get_env=environment.__getitem__),
            "map": SimpleNamespace(get=_get),
            "list": SimpleNamespace(concat=lambda items, one: [*items, one]),
            "json": SimpleNamespace(decode=json.loads),
            "default": lambda value, other: other if value is None else value,
            "true": True,
            "false": False,
        }

    def run(self, event: Mapping[str, Any]) -> Any:
        """What the workflow returns for an event."""
        names = {self._main["params"][0]: mapped(event)}
        for step in self._main["steps"]:
            [told] = step.values()
            if not {*told} <= {"assign", "switch", "call", "args", "result", "return"}:
                raise NotImplementedError(str(told))
            for assignment in told.get("assign", ()):
                [(name, value)] = assignment.items()
                names[name] = self._value(value, names)
            for case in told.get("switch", ()):
                if self._value(case["condition"], names):
                    return self._value(case["return"], names)
            if "call" in told:
                done = self._calls[told["call"]](self._value(told["args"], names))
                names[told.get("result", "_")] = mapped(done)
            if "return" in told:
                return self._value(told["return"], names)
        return None

    def _value(self, told: Any, names: Mapping[str, Any]) -> Any:
        if isinstance(told, Mapping):
            return {k: self._value(v, names) for k, v in told.items()}
        if isinstance(told, list):
            return [self._value(v, names) for v in told]
        expression = re.fullmatch(r"\$\{(.*)\}", told) if isinstance(told, str) else None
        if expression is None:
            return told
        return eval(expression[1], {"__builtins__": {}}, {**self._known, **names})
