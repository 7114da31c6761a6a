"""Finds the files of this repository that findings belong to: baselines, and the policy."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drift_audit import files, names
from drift_audit.cli.subject import policy_file
from drift_audit.errors import InputError
from drift_audit.renderer.anchor import Anchor
from drift_audit.snapshot import Address

STORE = "baselines"
"""Where baselines lie for a command whose flags name no store."""

Lines = Mapping[str, list[int]]
"""Where the lines of a file stand, and the words in them: fleets have thousands of findings."""

_WORD = re.compile(r"[\w./-]+")


class Checkout:
    """
    The repository that the command was started in. Called with an address, it tells the file that
    stands for it: the baseline of the service, else the policy, at the line that names the key or
    setting. A file outside of the repository stands for nothing.
    """

    def __init__(self, policy: str | None, store: str) -> None:
        self._policy, self._store = policy, store
        self._root = _root()
        self._anchors: dict[str, Anchor | None] = {}
        self._lines: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def __call__(self, at: Address) -> Anchor | None:
        """The anchor of an address; None where no file stands for it."""
        if (baseline := _baseline(self._store, at)) and (anchor := self._at(baseline)):
            return anchor._replace(line=_line_of_baseline(self._lines[baseline], at))
        if self._policy and (anchor := self._at(self._policy)):
            return anchor._replace(line=_line_of_policy(self._lines[self._policy], at))
        return None

    def _at(self, path: str) -> Anchor | None:
        """The first line of a file that lies in the repository and can be read. It is read once."""
        if path not in self._anchors:
            self._anchors[path] = self._found(path)
        return self._anchors[path]

    def _found(self, path: str) -> Anchor | None:
        if path == files.STDIN:
            return None
        try:
            inside = Path(os.path.realpath(path)).relative_to(self._root)
            text = files.read(path).decode(errors="replace")
        except (ValueError, OSError, InputError):
            return None
        for number, line in enumerate(text.splitlines(), 1):
            self._lines[path][line.strip().rstrip(",")].append(number)
            for word in _WORD.findall(line.partition("#")[0]):
                self._lines[path][word].append(number)
        return Anchor(inside.as_posix())


def _root() -> Path:
    """Where the repository begins; outside of one, where the command was started."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path()  # below which nothing lies
    inside = (one for one in (here, *here.parents) if files.is_there(str(one / ".git")))
    return next(inside, here)


def checkout(flags: Mapping[str, Any]) -> Checkout:
    """The repository, with the policy and the store that the flags of a command name."""
    policy = None if flags.get("no_config") else policy_file(flags.get("config"))
    return Checkout(policy, flags.get("store") or STORE)


def _baseline(store: str, at: Address) -> str | None:
    """Where the baseline of a service lies; None in a bucket, and for what is no name of one."""
    shapes = (at.project, names.PROJECT), (at.region, names.SERVICE), (at.service, names.PLACE)
    if "://" in store or not all(shape.fullmatch(name) for name, shape in shapes):
        return None
    return str(Path(store) / at.project / at.region / f"{at.service}.json")


def _line_of_baseline(lines: Lines, at: Address) -> int:
    """The line of a key, mount or setting in the canonical form: that of its container, if any."""
    fields = (("key", at.key), ("path", at.mount), ("name", at.setting))
    told = [f'"{field}": {json.dumps(name)}' for field, name in fields if name is not None]
    found = [number for line in told for number in lines.get(line, ())]
    containers = set(lines.get(f'"container": {json.dumps(at.container)}', ()))
    of_container = [number for number in found if number - 1 in containers]
    return next(iter(of_container or found), 1)


def _line_of_policy(lines: Lines, at: Address) -> int:
    """The first line that sets or names the key, setting or service; else the first of all."""
    called = filter(None, (at.key, at.mount, at.setting, at.service))
    found = (lines[name][0] for name in called if name in lines)
    return next(found, 1)
