"""
The real terraform, with a stand-in for its provider, and what it wrote: `tests/plans/NAME.json`.

A folder `tests/plans/NAME` holds a configuration and, where there is something already, a state.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drift_audit.collector.exports import Documents, Files, read
from drift_audit.inventory import Inventory, Service
from drift_audit.snapshot import Snapshot
from tests.builders import sealer
from tests.provider import CALLS, serving

TERRAFORM = shutil.which("terraform")
PLANS = Path(__file__).parent / "plans"
NAMES = sorted(folder.name for folder in PLANS.iterdir() if folder.is_dir())


def stored(name: str) -> dict[str, Any]:
    """What terraform wrote once."""
    return json.loads((PLANS / f"{name}.json").read_text())


def lost(change=(), **after):
    """The plan of the incident with some attributes of the service, or of its change, replaced."""
    plan = stored("lost")
    [one] = plan["resource_changes"]
    one["change"]["after"] |= after
    one["change"] |= dict(change)
    return plan


def cut(plan, *names):
    return {name: value for name, value in plan.items() if name not in names}


def documents(folder, document) -> Documents:
    path = folder / "plan.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read(str(path))


def collected(folder, document) -> Inventory:
    return Files([documents(folder, document)], sealer()).collect()


def services(inventory: Inventory) -> dict[str, Service]:
    return {service.address.service: service for service in inventory.services}


def newest(inventory: Inventory, name: str) -> Snapshot:
    """The newest revision of a service, with the settings of the service itself."""
    service = services(inventory)[name]
    return service.newest.but(service=service.settings)


def unseen(inventory: Inventory) -> dict[str, str]:
    """Everything that is not seen, of the file and of the revisions in it."""
    of_revisions = (u for s in inventory.services for r in s.revisions for u in r.seen.unseen)
    return {missed.where: missed.reason for missed in (*inventory.unseen, *of_revisions)}


class Terraform:
    """terraform in a folder of its own, which finds no provider but ours."""

    def __init__(self, folder: Path, name: str) -> None:
        shutil.copytree(PLANS / name, folder, dirs_exist_ok=True)
        self._folder = folder

    def run(self, *words: str, provider: Mapping[str, str]) -> str:
        """What a command prints, whether it succeeds or not: a plan may be meant to fail."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
            **provider,
        }
        done = subprocess.run(
            [str(TERRAFORM), *words], cwd=self._folder, env=env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        return done.stdout

    def plan(self, calls: Mapping[str, Callable[[bytes], bytes]] = CALLS) -> dict[str, Any]:
        """A plan, saved as `saved.tfplan`, logged to `log.json`, and shown."""
        with serving(calls) as provider:
            self.run("init", "-input=false", provider=provider)
            planned = ("plan", "-input=false", "-lock=false")
            log = self.run(*planned, "-json", "-out=saved.tfplan", provider=provider)
            shown = json.loads(self.run("show", "-json", "saved.tfplan", provider=provider))
        (self._folder / "log.json").write_text(log)
        shown.pop("timestamp", None)
        return shown

    def state(self) -> dict[str, Any]:
        """The state, shown."""
        with serving() as provider:
            self.run("init", "-input=false", provider=provider)
            return json.loads(self.run("show", "-json", provider=provider))
