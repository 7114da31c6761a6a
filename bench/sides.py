"""
The sides of a pair: a task in a process of its own, or a whole program from start to exit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import place
from bench.backend import ROOT, Backend
from bench.record import Record

PATIENCE = 900.0
LAUNCH = Path(__file__).with_name("launch.py")

Facts = Mapping[str, Any]
Checked = Callable[[str, Facts], str]
"""Holds an output against the facts: why it is wrong, or nothing."""


class Side(Protocol):
    """Something that can be timed. `shown` is the command a reader would type."""

    @property
    def shown(self) -> str:
        """What a reader would type."""

    @property
    def remembers(self) -> bool:
        """Whether it is the second of two nights."""

    @property
    def kept(self) -> bool:
        """Whether it asks a store that is there, in which nothing changes."""

    def run(self, backend: Backend, facts: Facts, folder: Path) -> Record:
        """Run once in a folder; a failure is a record that says so."""


LIST = ("revisions", "env", "names")
AUDIT = ("services", "lost")
KEPT = ("services", "revisions", "lost")


@dataclass(frozen=True)
class Task:
    """
    A task of `bench.task`: timed from after its imports. One that asks what is `kept` is asked for
    one of the keys that were lost.
    """

    name: str
    expects: tuple[str, ...] = LIST
    shown: str = ""
    remembers: bool = False
    kept: bool = False

    def run(self, backend: Backend, facts: Facts, folder: Path) -> Record:
        """Run it and hold what it saw against the facts."""
        key = asked(facts) if self.kept else ""
        if self.kept:
            facts = {**facts, "lost": [one for one in facts["lost"] if f" {key} " in one]}
        command = [
            *(sys.executable, "-m", "bench.task", self.name, f"--address={backend.address}"),
            *(f"--project={place.PROJECT}", f"--region={place.REGION}", f"--folder={folder}"),
            f"--key={key}",
            *(f"--{name}={backend.settings.get(name, 0)}" for name in ("quota", "window")),
        ]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(folder),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            return Record(0, 0, 0, wrong=f"exit {done.returncode}: {_last(done.stderr)}")
        told = json.loads(done.stdout)
        sizes = {name: told["saw"][name] for name in ("stored", "canonical", "filtered")}
        return Record.read(
            {**told, **sizes, "wrong": _difference(told["saw"], facts, self.expects)}
        )


@dataclass(frozen=True)
class Whole:
    """A program from start to exit. `scale` stretches one that did only a part of the work."""

    argv: Callable[[Facts], list[str]]
    codes: frozenset[int] = frozenset({0})
    check: Checked = lambda _text, _facts: ""
    shown: str = ""
    gcloud: bool = False
    scale: float = 1.0
    remembers: bool = False
    kept: bool = False

    def run(self, backend: Backend, facts: Facts, folder: Path) -> Record:
        """Run it, timed by the operating system's own account of the child."""
        out, err = folder / "stdout", folder / "stderr"
        more = peer(backend, folder) if self.gcloud else backend.environment
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(out), str(err)]
        done = subprocess.run(
            [*launch, *self.argv(facts)],
            cwd=folder,
            env=environment(folder, more),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        told = json.loads(done.stdout)
        if told["code"] in self.codes:
            wrong = self.check(out.read_text(), facts)
        else:
            wrong = f"exit {told['code']}: {_last(err.read_text())}"
        wall, cpu = told["wall"] * self.scale, told["cpu"] * self.scale
        return Record(wall=wall, cpu=cpu, rss=told["rss"], wrong=wrong)


SEAL_KEY = "YmVuY2gta2V5LXRoYXQtc2VhbHMtbm90aGluZy1yZWFsISE="


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the developer's, and no way to a cloud."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "GRPC_VERBOSITY": "NONE",
        "DRIFT_AUDIT_SEAL_KEY": SEAL_KEY,
        **(more or {}),
    }


def peer(backend: Backend, folder: Path) -> dict[str, str]:
    """What makes the real gcloud talk to the server: an invented host, and the server as proxy."""
    return {
        "CLOUDSDK_CONFIG": str(folder.parent / "gcloud"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.bench.test/",
        "http_proxy": f"http://{backend.web}",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": place.PROJECT,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    }


def asked(facts: Facts) -> str:
    """The key that a store is asked for: one that was lost."""
    key: str = facts["lost"][0].split()[1]
    return key


def _difference(saw: Facts, facts: Facts, expects: tuple[str, ...]) -> str:
    """What a task saw that is not so."""
    for what in expects:
        if saw[what] != facts[what]:
            return f"{what}: saw {_short(saw[what])}, there are {_short(facts[what])}"
    return f"{saw['unseen']} things were not seen" if saw["unseen"] else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:37]}..."


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing was said"
