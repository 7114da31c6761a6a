"""
Asks pydantic-settings itself whether a list of required keys is right: a process of its own, with
whatever version it finds.

    python settings_oracle.py schema_export.py < descriptions of settings classes, one on each line

It makes each class for real, lets the script list its keys, and sets variables: what is listed as
required must be enough, and nothing of it can be left out. It answers with what is wrong, a list on
each line. A description is {config, fields}, a field {name, kind, default, alias, fields}.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
import warnings
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings

UNKNOWN = "ZZ"
DEFAULTS = {"none": None, "empty": "", "set": "d"}


def alias_of(given):
    if isinstance(given, dict):
        return AliasPath(*given["path"])
    if isinstance(given, list):
        return AliasChoices(*map(alias_of, given))
    return given


def model_of(told, base):
    """The class that a description is about."""
    names = {"model_config": {**told["config"], "protected_namespaces": ()}, "__module__": __name__}
    annotations: dict[str, Any] = {}
    for field in told["fields"]:
        kind: Any = {"str": str, "secret": SecretStr, "dict": dict[str, str]}.get(field["kind"])
        default: Any = ... if field["default"] == "required" else DEFAULTS.get(field["default"])
        if field["kind"] == "model":
            kind = model_of(
                {"config": field.get("config", {}), "fields": field["fields"]}, BaseModel
            )
        more = {"default": default}
        if field["default"] == "factory":
            more = {"default_factory": kind}
        elif default is None:
            kind = kind | None
        elif field["kind"] == "dict" and default is not ...:
            more = {"default": {}}
        annotations[field["name"]] = kind
        names[field["name"]] = Field(validation_alias=alias_of(field.get("alias")), **more)
    return type(base)("Described", (base,), {**names, "__annotations__": annotations})


def spellings(field):
    """The ways in which a field is named, as paths: its aliases, then its own name."""
    alias = field.get("alias")
    choices = alias if isinstance(alias, list) else [alias] if alias else []
    return [c["path"] if isinstance(c, dict) else [c] for c in choices] + [[field["name"]]]


def put(path, value):
    for part in reversed(path):
        value = {part: value} if isinstance(part, str) else [value] * (part + 1)
    return value


def full(field, value=None):
    """A value for a field: what is required in it, or with a value of its own all that there is."""
    if field["kind"] == "model":
        found: dict[str, Any] = {}
        for inner in field["fields"]:
            if value or inner["default"] in ("required", "factory"):
                found.update(put(spellings(inner)[0], full(inner, value)))
        return found
    value = value or "x"
    return {"k": value} if field["kind"] == "dict" else value


class Oracle:
    """One settings class, and what was listed of it."""

    def __init__(self, told, listing):
        self.told, self.cls = told, model_of(told, BaseSettings)
        self.keys = listing(self.cls).keys
        self.config = told["config"]

    def fields(self, where):
        """The fields on the way to one, by their names."""
        below, found = self.told["fields"], []
        for name in where.split("."):
            found.append(next(f for f in below if f["name"] == name))
            below = found[-1].get("fields", [])
        return found

    def value(self, key, name, value=None):
        """What a variable of that name must hold to give a key."""
        way = self.fields(key["field"])
        delimiter = self.config.get("env_nested_delimiter")
        for depth in range(len(way), 0, -1):
            for field, path in ((way[depth - 1], p) for p in spellings(way[depth - 1])):
                last = name.split(delimiter)[-1] if delimiter and depth > 1 else name
                heads = (path[0], (self.config.get("env_prefix") or "") + path[0])
                if last.lower() in [h.lower() for h in heads]:
                    whole = put(path[1:], full(field, value))
                    return whole if isinstance(whole, str) else json.dumps(whole)
        return value or "x"

    def ends(self, environment):
        """The settings in an environment, None where there are none."""
        os.environ.clear()
        os.environ.update(environment)
        try:
            return self.cls(_env_file=None)
        except Exception:  # noqa: BLE001  # old versions fail in many ways
            return None

    def enough(self, *more):
        """What is said to be enough, and some variables more."""
        found = dict(more)
        left = [k for k in self.keys if k["required"] == "yes"]
        while asked := [k for k in left if self.asks(k, found)]:
            found = {k["names"][0]: self.value(k, k["names"][0]) for k in asked} | found
            left = [k for k in left if k not in asked]
        return found

    def asks(self, key, environment):
        when = tuple(map(self.fold, key.get("when", ())))
        return not when or any(self.fold(name).startswith(when) for name in environment)

    def fold(self, name):
        return name if self.config.get("case_sensitive") else name.lower()

    def read(self):
        """Every variable that is listed, folded."""
        return {self.fold(n) for k in self.keys for n in (*k["names"], *k.get("held_by", ()))}

    def complaints(self):
        """What is wrong with the list."""
        base = self.enough()
        if self.ends(base) is None:
            return [f"not enough: {sorted(base)}"]
        listed = {key["field"].partition(".")[0] for key in self.keys}
        names = [field["name"] for field in self.told["fields"]]
        found = [f"{name} is not listed" for name in names if name not in listed]
        for key in self.keys:
            beginnings = [(begin + UNKNOWN, "v") for begin in key.get("when", ())]
            around = self.enough(*beginnings)
            if key["required"] == "yes":
                found += self.needed(key, around, bool(key.get("when")))
            else:
                found += self.given(key)
        return found

    def needed(self, key, around, conditional):
        """Complaints about a required key: it can be left out, or its names are not right."""
        without = {n: v for n, v in around.items() if n != key["names"][0]}
        shared = [k for k in self.keys if k is not key and k["names"][0] == key["names"][0]]
        where = key["field"]
        if self.ends(around) is None:
            return [f"not enough around {where}: {sorted(around)}"]
        if without.keys() & set(key.get("held_by", ())):
            return []  # a document that another key asks for holds this one too
        if self.ends(without) is not None and not shared:
            return [f"{where} is not needed: {sorted(without)}"]
        found = []
        for name in self.others(key) if not shared else ():
            instead = self.instead(key, name, without)
            spelled = [name] if self.config.get("case_sensitive") else [name, name.lower()]
            for one in spelled:
                value = self.value(key, name, "v") if self.fold(name) in self.read() else "v"
                if self.ends({**instead, one: value}) is None:
                    found.append(f"{where} is not read from {one}")
        guesses = self.guesses(key) if not shared and not conditional else ()
        read = (n for n in guesses if self.ends({**without, n: self.value(key, n)}) is not None)
        return found + [f"{where} is read from {name}, which is not listed" for name in read]

    def others(self, key):
        """Every variable that is said to do."""
        return (*key["names"], *key.get("held_by", ()), *(p + "k" for p in key.get("prefixes", ())))

    def instead(self, key, name, environment):
        """
        The other variables, where one of the others takes the place of the first name: nothing of
        what a document holds is given beside it, and a model goes by one of its names.
        """
        delimiter = self.config.get("env_nested_delimiter") or "__"
        if name in key.get("held_by", ()):
            level = [h for h in key["held_by"] if h.count(delimiter) == name.count(delimiter)]
            below = tuple(held + delimiter for held in level)
            return {n: v for n, v in environment.items() if not n.startswith(below)}
        first, parent = (n.rpartition(delimiter)[0] for n in (key["names"][0], name))
        if name not in key["names"] or not parent:
            return environment
        return {
            parent + n.removeprefix(first) if n.startswith(first + delimiter) else n: v
            for n, v in environment.items()
        }

    def guesses(self, key):
        """Names under which somebody might look for a key, and which are not listed."""
        way, prefix = self.fields(key["field"]), self.config.get("env_prefix") or ""
        delimiter = self.config.get("env_nested_delimiter") or "__"
        parts = [[p[0] for p in spellings(field)] for field in way]
        joined = [delimiter.join(names) for names in itertools.product(*parts)]
        spelled = {
            f(p + name)
            for name in joined
            for p in ("", prefix)
            for f in (str, str.upper, str.lower)
        }
        begun = tuple(self.fold(p) for k in self.keys for p in k.get("prefixes", ()))
        fresh = {n for n in spelled if self.fold(n) not in self.read()}
        return sorted(n for n in fresh if not (begun and self.fold(n).startswith(begun)))

    def given(self, key):
        """Complaints about a key that is not required: its names set nothing."""
        found = []
        for name in key["names"]:
            value = self.value(key, name, "other")
            around = self.instead(key, name, self.enough((name, value)))
            around = {n: v for n, v in around.items() if n not in key.get("held_by", ())}
            settings, bare = self.ends({**around, name: value}), self.ends(self.enough())
            if settings is None or settings == bare:
                found.append(f"{key['field']} is not read from {name}")
        return found


def script(path):
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("schema_export", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(path):
    warnings.simplefilter("ignore")
    listing = script(path).Listing
    for line in sys.stdin:
        sys.stdout.write(json.dumps(Oracle(json.loads(line), listing).complaints()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
