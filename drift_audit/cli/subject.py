"""
What a command is about: the policy, the source, and the services and revisions that words name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drift_audit import files
from drift_audit.cli import keys
from drift_audit.cli.options import flat
from drift_audit.cli.progress import Tell
from drift_audit.errors import CommandError, InputError, PolicyError
from drift_audit.finding import NEVER, Severity
from drift_audit.policy import FILE, Policy, read_policy
from drift_audit.rules import RULES
from drift_audit.seal import Sealer, SealKey

if TYPE_CHECKING:
    from drift_audit.audit import Source

PYPROJECT = "pyproject.toml"
TABLE = "tool.drift-audit"


def find_policy(config: str | None, *, no_config: bool) -> Policy:
    """
    The policy of `--config`, of ./drift-audit.toml, or of [tool.drift-audit] in ./pyproject.toml.

    Raises PolicyError.
    """
    if no_config:
        return Policy()
    for path, table in ((config, ""),) if config else ((FILE, ""), (PYPROJECT, TABLE)):
        assert path is not None
        if config or Path(path).exists():
            try:
                text = files.read(path).decode("utf-8")
            except (InputError, UnicodeDecodeError) as error:
                raise PolicyError(f"cannot read the policy: {_reason(error, path)}") from None
            if not table or f"[{table}" in text:
                return read_policy(text, file=path, table=table, rules=RULES)
    return Policy()


def _reason(error: Exception, path: str) -> str:
    return str(error) if isinstance(error, InputError) else f"{path}: not UTF-8"


@dataclass(frozen=True)
class Scope:
    """Where to look, as the command line and the policy say."""

    projects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    impersonate: tuple[str, ...] = ()
    progress: Tell = field(default=lambda *_: None, compare=False)

    @staticmethod
    def given(policy: Policy, flags: Mapping[str, Any], progress: Tell) -> Scope:
        """What the flags say; the policy fills in what they leave out."""
        return Scope(
            projects=flat(flags["project"]) or policy.scope.projects,
            regions=flat(flags["region"]) or policy.scope.regions,
            services=flat(flags["service"]) or policy.scope.services,
            inputs=tuple(flags["inputs"]),
            impersonate=flags["impersonate"],
            progress=progress,
        )

    @property
    def project(self) -> str:
        """The one project that fills in what a file leaves out; none if there are several."""
        return self.projects[0] if len(self.projects) == 1 else ""

    @property
    def region(self) -> str:
        """The one region that fills in what a file leaves out; none if there are several."""
        return self.regions[0] if len(self.regions) == 1 else ""


def threshold(policy: Policy, fail_on: str | None) -> Severity | None:
    """The severity that fails the run: the flag's, else the policy's; None for never."""
    if fail_on is None:
        return policy.fail_on
    return None if fail_on == NEVER else Severity[fail_on.upper()]


def notes(flags: Mapping[str, Any]) -> list[str]:
    """What every report must say of how it was made."""
    left_out = "plain values were left out by choice: changes of them are not seen"
    return [left_out] if flags["without_literals"] else []


def sealer(
    policy: Policy,
    reveal: tuple[tuple[str, ...], ...],
    *,
    without_literals: bool,
    key: SealKey | None = None,
) -> Sealer:
    """What seals the plain values of this run."""
    globs = (*policy.reveal, *flat(reveal))
    return Sealer(key or keys.for_this_run(), reveal=globs, keep=not without_literals)


def open_source(scope: Scope, seal: Sealer) -> Source:
    """
    Files where inputs are given, else the live API. Raises CommandError when neither is named.
    """
    if scope.inputs:
        from drift_audit.collector.exports import Files, read

        documents = [read(path).named(scope.project, scope.region) for path in expand(scope.inputs)]
        return Files(documents, seal, scope.services)
    return _live(scope, seal)


def expand(inputs: Sequence[str]) -> list[str]:
    """The files that are meant: those of a folder, each file once."""
    from drift_audit.collector.exports import SUFFIXES

    found: list[str] = []
    for path in inputs:
        found += files.listing(path, SUFFIXES) if Path(path).is_dir() else [path]
    return list(dict.fromkeys(found))


def _live(scope: Scope, seal: Sealer) -> Source:
    if not scope.projects or not scope.regions:
        raise CommandError(
            "no project and region to look at",
            hint="give --project and --region, or exported files with --input",
        )
    from drift_audit.collector.budget import Budget
    from drift_audit.collector.cloud_run import CloudRun, Location
    from drift_audit.collector.connection import Connection

    return CloudRun(
        [Location(p, r) for p in scope.projects for r in scope.regions],
        scope.services,
        seal,
        Budget(time.monotonic),
        Connection(
            run_emulator=os.environ.get("CLOUD_RUN_EMULATOR_HOST", ""),
            secrets_emulator=os.environ.get("SECRET_MANAGER_EMULATOR_HOST", ""),
            impersonate=scope.impersonate,
        ),
        scope.progress,
    )
