"""Finds the files of this repository that findings belong to: baselines, and the policy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drift_audit import files, names
from drift_audit.cli.subject import policy_file
from drift_audit.errors import InputError
from drift_audit.renderer.anchor import Anchor
from drift_audit.snapshot import Address

STORE = "baselines"
"""Where baselines lie unless a flag says otherwise; `render` has no such flag."""

Lines = list[str]


class Checkout:
    """
    The repository that the command was started in. Called with an address, it tells the file that
    stands for it: the baseline of the service, else the policy, at the line that names the key or
    setting. A file outside of the repository stands for nothing.
    """

    def __init__(self, policy: str | None, store: str) -> None:
        self._policy, self._store = policy, store
        here = Path.cwd().resolve()
        inside = (p for p in (here, *here.parents) if (p / ".git").exists())
        self._root = next(inside, here)
        self._read: dict[str, Lines | None] = {}

    def __call__(self, at: Address) -> Anchor | None:
        """The anchor of an address; None where no file stands for it."""
        baseline = _baseline(self._store, at)
        return self._at(baseline, at, _line_of_baseline) or self._at(
            self._policy, at, _line_of_policy
        )

    def _at(
        self, path: str | None, at: Address, line: Callable[[Lines, Address], int]
    ) -> Anchor | None:
        lines = self._lines(path) if path else None
        if path is None or lines is None:
            return None
        try:
            inside = Path(path).resolve().relative_to(self._root)
        except ValueError:
            return None
        return Anchor(inside.as_posix(), line(lines, at))

    def _lines(self, path: str) -> Lines | None:
        """The lines of a file; None where it cannot be read. A file is read once."""
        if path not in self._read:
            try:
                text = files.read(path).decode(errors="replace") if Path(path).is_file() else None
            except InputError:
                text = None
            self._read[path] = None if text is None else text.splitlines()
        return self._read[path]


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
    container = f'"container": {json.dumps(at.container)},'
    fields = (("key", at.key), ("path", at.mount), ("name", at.setting))
    told = {f'"{field}": {json.dumps(name)}' for field, name in fields if name is not None}
    found = [n for n, line in enumerate(lines, 1) if line.strip().rstrip(",") in told]
    of_container = [n for n in found if lines[n - 2].strip() == container]
    return next(iter(of_container or found), 1)


def _line_of_policy(lines: Lines, at: Address) -> int:
    """The first line that sets or names the key, setting or service; else the first of all."""
    for name in filter(None, (at.key, at.mount, at.setting, at.service)):
        word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
        for number, line in enumerate(lines, 1):
            if word.search(line.partition("#")[0]):
                return number
    return 1
