"""What a command is about: the policy, the scope, the source, and what seals what it reads."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from drift_audit import files, inventory, names, quiet
from drift_audit.app_schema import AppSchema, read_schema
from drift_audit.cli import keys
from drift_audit.cli.connection import connection
from drift_audit.cli.options import flat
from drift_audit.cli.progress import Tell
from drift_audit.collector.exports import SUFFIXES, Documents, Files, read
from drift_audit.errors import CommandError, InputError, PolicyError
from drift_audit.finding import NEVER, Severity
from drift_audit.names import KINDS, Kind, Paced
from drift_audit.part import Shard
from drift_audit.patterns import Patterns, load
from drift_audit.policy import FILE, LIMIT, Policy, read_policy
from drift_audit.rules import RULES
from drift_audit.seal import Sealer, SealKey

MOST_NAMED = 5
"""Files of a folder that were passed over are named up to here."""

if TYPE_CHECKING:
    from drift_audit.audit import Source
    from drift_audit.collector.budget import Budget
    from drift_audit.collector.cloud_run import Depth
    from drift_audit.collector.limits import LimitReader
    from drift_audit.store.archive import Archive

PYPROJECT = "pyproject.toml"
TABLE = "tool.drift-audit"

GCLOUD_PROJECT = ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT")
GCLOUD_REGION = ("CLOUDSDK_RUN_REGION",)
"""What gcloud's own variables say stands behind the policy: they are there on every machine."""


def find_policy(config: str | None, *, no_config: bool) -> Policy:
    """
    The policy of `--config`, of ./drift-audit.toml, or of [tool.drift-audit] in ./pyproject.toml.

    Raises PolicyError, and CommandError for flags that contradict each other.
    """
    if no_config:
        source = click.get_current_context().get_parameter_source("config")
        if source is ParameterSource.COMMANDLINE:
            raise CommandError("--config and --no-config exclude each other")
        return Policy()
    found = policy_file(config)
    if found is None:
        return Policy()
    # a file that was named may be a link, as a mounted one is; one that lies there may not
    follow = config and os.path.islink(found)  # noqa: PTH114  # pathlib raises for a long name
    lies = os.path.realpath(found) if follow else found
    return read_policy(
        _policy_text(lies),
        file=found,
        table=TABLE if PurePath(found).name == PYPROJECT else "",
        rules=RULES,
        demanded=bool(config),
        schemas=lambda path: _beside(lies, path),
    )


def _beside(policy: str, path: str) -> AppSchema:
    """What an application requires, from a file whose path goes from the folder of the policy."""
    if path == files.STDIN:
        raise InputError(f"{path}: not-a-file: a policy names files")
    return schema_file(str(Path(policy).parent / path))


def schema_file(path: str) -> AppSchema:
    """What an application requires, from a file, or standard input for `-`. Raises InputError."""
    return read_schema(files.read(path), path)


def policy_file(config: str | None) -> str | None:
    """The file that holds the policy: the one that is named, else one that lies here, if any."""
    return config or next((name for name in (FILE, PYPROJECT) if os.path.lexists(name)), None)


def _policy_text(path: str) -> str:
    try:
        return files.read(path, limit=LIMIT).decode("utf-8-sig")
    except InputError as error:
        raise PolicyError(f"cannot read the policy: {error}") from None
    except UnicodeDecodeError:
        raise PolicyError(f"cannot read the policy: {path}: not UTF-8") from None


class Reader:
    """Reads each file once: standard input can be read no second time."""

    def __init__(self) -> None:
        self._found: dict[str, Documents] = {}

    def read(self, path: str) -> Documents:
        """What a file holds. Raises InputError."""
        if path not in self._found:
            self._found[path] = read(path)
        return self._found[path]


@dataclass(frozen=True)
class Scope:
    """
    Where to look, as the command line, the policy and the environment say.

    `asked` is what the command line alone says: files are narrowed by nothing else. `shard` is the
    part of the `run` that falls to this process.
    """

    projects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    inputs: tuple[str, ...] = ()
    timeout: int = 900
    pace: Mapping[Paced, int] = field(default_factory=dict)
    impersonate: tuple[str, ...] = ()
    asked: inventory.Scope = field(default_factory=inventory.Scope)
    shard: Shard = field(default_factory=Shard)
    run: str = ""
    progress: Tell = field(default=lambda *_: None, compare=False)
    reader: Reader = field(default_factory=Reader, compare=False)

    @staticmethod
    def given(policy: Policy, flags: Mapping[str, Any], progress: Tell) -> Scope:
        """What the flags say; the policy fills in what they leave out, then gcloud's variables."""
        listed = projects_in(flags["projects_file"]) if flags["projects_file"] else ()
        asked = inventory.Scope(
            projects=tuple(dict.fromkeys((*flat(flags["project"]), *listed))),
            regions=flat(flags["region"]),
            services=flat(flags["service"]),
            kinds=tuple(dict.fromkeys(flags["kinds"])),
        )
        return Scope(
            projects=asked.projects or policy.scope.projects or _environment(GCLOUD_PROJECT),
            regions=asked.regions or policy.scope.regions or _environment(GCLOUD_REGION),
            services=asked.services or policy.scope.services,
            kinds=asked.kinds or policy.scope.kinds or KINDS,
            timeout=flags["timeout"],
            pace={**policy.pace, **dict(flags["pace"])},
            inputs=tuple(flags["inputs"]),
            impersonate=flags["impersonate"],
            asked=asked,
            progress=progress,
        )

    @cached_property
    def budget(self) -> Budget:
        """What the run may spend, for all that it asks; its time begins when it is asked for."""
        from drift_audit.collector.budget import Budget
        from drift_audit.collector.pace import Pace

        return Budget(time.monotonic, self.timeout, pace=Pace(time.monotonic, self.pace))

    @property
    def project(self) -> str:
        """The one project that fills in what a file leaves out; none if there are several."""
        return self.projects[0] if len(self.projects) == 1 else ""

    @property
    def region(self) -> str:
        """The one region that fills in what a file leaves out; none if there are several."""
        return self.regions[0] if len(self.regions) == 1 else ""

    @property
    def told(self) -> list[str]:
        """What a report must say of where the services of the input files come from."""
        return [note for one in self.documents for note in one.within(self.asked).notes]

    @property
    def documents(self) -> list[Documents]:
        """What the input files hold. Raises InputError."""
        paths = expand(self.inputs)
        return [self.reader.read(path).named(self.project, self.region) for path in paths]

    def of(self, *services: str) -> Scope:
        """The same, narrowed to services by name."""
        return replace(self, services=services, asked=self.asked.but(services=services))


def projects_in(path: str) -> tuple[str, ...]:
    """
    The projects that a file, or standard input for `-`, lists one on each line; `#` begins a
    comment. Raises InputError.
    """
    try:
        lines = files.read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    found: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        project = line.partition("#")[0].strip()
        if project and not names.PROJECT.fullmatch(project):
            raise InputError(f"{path}:{number}: not the id of a project")
        found |= {project: None} if project else {}
    if not found:
        hint = 'gcloud projects list --format="value(projectId)"'
        raise InputError(f"{path}: lists no projects", hint=hint)
    return tuple(found)


def _environment(variables: Sequence[str]) -> tuple[str, ...]:
    """What the first of the variables that is set says, alone."""
    return tuple(value for name in variables if (value := os.environ.get(name)))[:1]


def threshold(policy: Policy, fail_on: str | None) -> Severity | None:
    """The severity that fails the run: the flag's, else the policy's; None for never."""
    if fail_on is None:
        return policy.fail_on
    return None if fail_on == NEVER else Severity[fail_on.upper()]


def notes(flags: Mapping[str, Any], patterns: Patterns | None) -> list[str]:
    """What every report must say of how it was made."""
    left_out = "plain values were left out by choice: changes of them are not seen"
    told = [left_out] if flags["without_literals"] else []
    told += [f"plain values were held against the patterns of {patterns}"] if patterns else []
    for folder in (path for path in flags["inputs"] if files.is_folder(path)):
        if others := files.listing(folder, SUFFIXES)[1]:
            more = ", ..." if len(others) > MOST_NAMED else ""
            told.append(f"{folder}: passed over {', '.join(others[:MOST_NAMED])}{more}")
    return told


def sealer(
    policy: Policy,
    reveal: tuple[tuple[str, ...], ...],
    *,
    without_literals: bool,
    key: SealKey | None = None,
    patterns: Patterns | None = None,
    numbers: tuple[str, ...] = (),
) -> Sealer:
    """What seals the plain values of this run. `numbers` come to those that the policy asks for."""
    globs = (*policy.reveal, *flat(reveal))
    return Sealer(
        key or keys.for_this_run(),
        reveal=globs,
        numbers=dict.fromkeys((*policy.numbers, *numbers)),
        keep=not without_literals,
        patterns=patterns,
    )


def find_patterns(policy: Policy, *, detect: bool) -> Patterns | None:
    """
    The patterns to hold plain values against, where the flag or the policy asks for them. Raises
    CommandError where the library is not installed.
    """
    if not (detect or policy.detect):
        return None
    found = load()
    quiet.hush()  # a library that sees values was loaded
    return found


def secret_depth(flags: Mapping[str, Any]) -> Depth:
    """How far the secrets are looked at: as far as who may read them, where that is asked for."""
    return "readers" if flags["check_access"] else "versions"


def open_source(
    scope: Scope, seal: Sealer, archive: Archive | None = None, secrets: Depth = "versions"
) -> Source:
    """
    Files where inputs are given, else the live API. Raises CommandError when neither is named.
    """
    if scope.inputs:
        return Files(scope.documents, seal, scope.asked.services, scope.asked.kinds)
    return _live(scope, seal, archive, secrets)


def open_limits(scope: Scope) -> LimitReader:
    """
    Where it is read what databases and connectors take. Raises CommandError for files, which do not
    tell it.
    """
    if scope.inputs:
        raise CommandError("--read-limits asks Google Cloud, and --input names files")
    from drift_audit.collector.limits import LimitReader

    rest = connection(scope.impersonate).rest("limits", "leave --read-limits out")
    return LimitReader(rest, scope.budget, scope.progress)


def expand(inputs: Sequence[str]) -> list[str]:
    """
    The files that are meant: those of a folder, each file once. Raises CommandError and InputError.
    """
    found: list[str] = []
    for path in inputs:
        if not path:
            raise CommandError("--input names nothing", hint="give a file, a folder, or -")
        found += files.listing(path, SUFFIXES)[0] if files.is_folder(path) else [path]
    return list(dict.fromkeys(found))


def _live(scope: Scope, seal: Sealer, archive: Archive | None, secrets: Depth) -> Source:
    if not scope.projects:
        raise CommandError(
            "no project to look at", hint="give --project, or exported files with --input"
        )
    from drift_audit.collector.cloud_run import CloudRun, Where

    return CloudRun(
        Where(
            scope.projects,
            scope.regions,
            scope.services,
            scope.kinds,
            mine=scope.shard.holds,
            run="" if scope.shard.whole else scope.run,
        ),
        seal,
        scope.budget,
        connection(scope.impersonate),
        scope.progress,
        archive,
        secrets=secrets,
    )
