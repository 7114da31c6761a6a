"""
`drift-audit.toml`: what is in scope, what each service must have, and which findings are accepted.

    fail_on = "high"
    reveal = ["LOG_LEVEL", "DB_TIMEOUT"]

    [scope]
    projects = ["shop-prod"]
    regions = ["europe-west1"]
    expect = ["shop-prod/europe-west1/api"]

    [pace]
    secret-manager = 150

    [[service]]
    match = "api*"
    schema = "required-keys.json"

    [service.required]
    JWT_SECRET_KEY = { from = "secret", pinned = true }
    LOG_LEVEL = { from = "literal", pattern = "debug|info" }

    [[group]]
    name = "signing key"
    services = ["auth", "api*"]
    keys = ["JWT_SECRET_KEY", "JWT_SECRET"]

    [severity]
    version-floating = "info"

    [[waiver]]
    rule = "key-added"
    at = "shop-prod/*/api/env/*/GIT_SHA"
    owner = "team-api"
    reason = "set by every build"
    until = 2026-12-31
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import SchemaError

from drift_audit import names
from drift_audit.app_schema import AppSchema, ReadSchema, SchemaFile, unread
from drift_audit.errors import PolicyError
from drift_audit.finding import Severity, SeverityWord, Threshold
from drift_audit.frozen import Entry, Text
from drift_audit.names import Environment, Paced
from drift_audit.snapshot import Address, Kind
from drift_audit.waiver import Bounded

FILE = "drift-audit.toml"

LIMIT = 2**20
"""The largest policy in bytes: thousands of waivers. At that size TOML takes a second to read."""


def _pattern(text: str) -> str:
    _matcher(text)
    return text


def _matcher(pattern: str) -> TypeAdapter[str]:
    """A matcher in pydantic's own engine, whose time is linear in the text: no pattern can hang."""
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=rf"\A(?:{pattern})\z")])
    except SchemaError:
        raise ValueError("not a regular expression (no look-around, no back-references)") from None


class Requirement(Entry):
    """
    What a key must be: where it comes from, whether its version is pinned, what it looks like.
    """

    source: Literal["secret", "literal", "any"] = Field("any", alias="from")
    pinned: bool = False
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None

    def fits(self, clear: str) -> bool:
        """Tell whether a revealed value has the required shape."""
        if self.pattern is None:
            return True
        try:
            _matcher(self.pattern).validate_python(clear)
        except ValidationError:
            return False
        return True


def _matches(service: Address, glob: str) -> bool:
    """Whether a glob names a service, with its project and region where it has slashes."""
    return fnmatchcase(str(service.home) if "/" in glob else service.service, glob)


class ServicePolicy(Entry):
    """
    What the services that match must hold.

    `match` is a glob on the service name, or on `PROJECT/REGION/SERVICE` when it has slashes.
    `container` is the one that must hold the keys; the one that requests reach, if not given.
    `schema` is what their application requires. `environment` is the one that the services belong
    to, where their names do not say it; `retired` are globs of keys that nothing reads any more.
    """

    match: Text = "*"
    container: str | None = None
    app: SchemaFile | None = Field(None, alias="schema")
    required: dict[Text, Requirement] = {}
    forbidden: tuple[Text, ...] = ()
    retired: tuple[Text, ...] = ()
    environment: Environment | None = None

    def covers(self, service: Address) -> bool:
        """Tell whether this entry speaks of that service."""
        return _matches(service, self.match)


class Group(Entry):
    """
    Services that must read the same secret, under whatever name each asks for it.

    `services` are globs as those of `match`; `keys` the names, the one that counts first where a
    service holds several.
    """

    name: Text
    services: Annotated[tuple[Text, ...], Field(min_length=1)]
    keys: Annotated[tuple[Text, ...], Field(min_length=1)]

    def covers(self, service: Address) -> bool:
        """Tell whether a service belongs to the group."""
        return any(_matches(service, glob) for glob in self.services)


Amount = Annotated[int, Field(ge=0)] | Annotated[tuple[Text, ...], Field(min_length=1)]
"""A number, or the keys whose plain values tell it; the first that is there counts."""


POOL = ("WEB_CONCURRENCY", "DB_POOL_SIZE", "DB_MAX_OVERFLOW")
"""The keys that tell processes, pool and overflow unless the policy names others."""


class Database(Entry):
    """
    A Cloud SQL instance, and how many connections it takes from the services that use it.

    They are those that it is attached to, those whose values name it, and `services`, globs as
    those of `match`. `max_connections` may be left out where limits are read; `reserved` are kept
    for its administrators, `others` belong to other clients.
    """

    instance: Text
    max_connections: Annotated[int, Field(ge=1)] | None = None
    reserved: Annotated[int, Field(ge=0)] = 3
    others: Annotated[int, Field(ge=0)] = 0
    services: tuple[Text, ...] = ()
    processes: Amount = POOL[:1]
    pool: Amount = POOL[1:2]
    overflow: Amount = POOL[2:]

    def covers(self, service: Address) -> bool:
        """Tell whether a service is said to use it."""
        return any(_matches(service, glob) for glob in self.services)


class Connector(Entry):
    """
    A VPC connector by its name, or by its full name, and how many instances of services may go
    through it: in all, or `per_instance` of its own, whose number is then read.
    """

    name: Text
    max_instances: Annotated[int, Field(ge=1)] | None = None
    per_instance: Annotated[int, Field(ge=1)] | None = None

    def covers(self, connector: str) -> bool:
        """Tell whether this entry speaks of a connector by its full name."""
        return self.name in (connector, connector.rpartition("/")[2])


class ScopePolicy(Entry):
    """Where to look, and which services must be found there (`PROJECT/REGION/SERVICE`)."""

    projects: tuple[Text, ...] = ()
    regions: tuple[Text, ...] = ()
    services: tuple[Text, ...] = ()
    kinds: tuple[Kind, ...] = ()
    expect: tuple[Annotated[str, StringConstraints(pattern=r"^[^/]+/[^/]+/[^/]+$")], ...] = ()


class Policy(Entry):
    """
    The whole file. `Policy()` is what applies without one: nothing required, nothing waived.

    `detect` holds plain values against the patterns of a library too; `pace` is the reads a minute
    that a run makes of an API at most, `waiver_notice` the last days of a waiver in which its end
    is announced.
    """

    fail_on: Threshold = Severity.HIGH
    reveal: tuple[Text, ...] = ()
    detect: bool = False
    scope: ScopePolicy = ScopePolicy()
    pace: dict[Paced, Annotated[int, Field(ge=1)]] = {}
    service: tuple[ServicePolicy, ...] = ()
    group: tuple[Group, ...] = ()
    database: tuple[Database, ...] = ()
    connector: tuple[Connector, ...] = ()
    severity: dict[Text, SeverityWord] = {}
    waiver_notice: Annotated[int, Field(ge=0)] = 14
    waiver: tuple[Bounded, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """The keys whose plain values are read as numbers."""
        amounts = (a for d in self.database for a in (d.processes, d.pool, d.overflow))
        return tuple(dict.fromkeys(k for a in amounts if not isinstance(a, int) for k in a))

    def required(self, service: Address) -> Iterator[tuple[str | None, str, Requirement]]:
        """
        Container (None: the ingress one), key and requirement, for every key a service must hold.

        Where several entries require the same key, the last one says how.
        """
        wanted = {
            (entry.container, key): requirement
            for entry in self._about(service)
            for key, requirement in sorted(entry.required.items())
        }
        for (container, key), requirement in wanted.items():
            yield container, key, requirement

    def schemas(self, service: Address) -> Iterator[tuple[str | None, AppSchema]]:
        """Container (None: the ingress one) and what the application in it requires."""
        return ((e.container, e.app) for e in self._about(service) if e.app is not None)

    def requires(self, at: Address) -> bool:
        """Tell whether the policy requires the key at that address, in whatever container."""
        return any(key == at.key for _, key, _ in self.required(at)) or any(
            app.requires(at.key or "") for _, app in self.schemas(at)
        )

    def environment(self, service: Address) -> Environment | None:
        """
        The environment of a service: as the last entry says, else by the name of its project, else
        by its own.
        """
        said = [entry.environment for entry in self._about(service) if entry.environment]
        named = names.environment(service.project) or names.environment(service.service)
        return said[-1] if said else named

    def retired(self, service: Address) -> tuple[str, ...]:
        """Globs of keys that nothing in the service reads any more."""
        return tuple(key for entry in self._about(service) for key in entry.retired)

    def forbidden(self, service: Address) -> tuple[str, ...]:
        """Globs of keys that the service must not hold."""
        return tuple(key for entry in self._about(service) for key in entry.forbidden)

    def _about(self, service: Address) -> Iterator[ServicePolicy]:
        """The entries that speak of a service, in their order."""
        return (entry for entry in self.service if entry.covers(service))


def read_policy(
    text: str,
    *,
    file: str = FILE,
    table: str = "",
    demanded: bool = False,
    rules: Collection[str] | None = None,
    schemas: ReadSchema = unread,
) -> Policy:
    """
    Read a policy; `table` names the table that holds it (`tool.drift-audit` in pyproject.toml).

    A file without that table holds no policy; one was `demanded` of it, and it is refused. Where
    `rules` are given, severities and waivers of others are refused: a misspelled one would
    do nothing. `schemas` gives the document at a path, or raises InputError.
    Raises PolicyError with the place: `drift-audit.toml: service[2].required.KEY.from: …`.
    """
    try:
        _check_keys(text)
        data: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{file}: not TOML: {_where(error)}") from None
    except (RecursionError, ValueError):  # of what tomllib does not look out for
        reason = "nested too deep, or a name or number that is too long"
        raise PolicyError(f"{file}: not TOML that can be read: {reason}") from None
    for name in filter(None, table.split(".")):
        if demanded and isinstance(data, dict) and name not in data:
            raise PolicyError(f"{file}: there is no table [{table}] in it")
        data = data.get(name, {}) if isinstance(data, dict) else data
    try:
        policy = Policy.model_validate(data, context={"schemas": schemas})
    except ValidationError as error:
        raise PolicyError(_located(error, file), hint="drift-audit schema show policy") from None
    _check_patterns(policy, file)
    if rules is not None:
        _check_rules(policy, file, rules)
    return policy


_PARTS = 50
_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?m)(?:^|[\[{{,])[ \t]*+(?:{_PART}\.[ \t]*+){{{_PARTS}}}", re.ASCII)


def _check_keys(text: str) -> None:
    """Refuse dotted keys of very many parts: what tomllib needs grows with their square."""
    if _LONG_KEY.search(text):
        raise ValueError  # as tomllib does for what is too much: read_policy has the words


def _where(error: tomllib.TOMLDecodeError) -> str:
    """The place in the file; the rest of the message can quote it."""
    text = str(error)
    return text[text.rfind("(") + 1 :].rstrip(")") if text.endswith(")") else "cannot be read"


_PLAIN = {"tuple_type": "not a list", "model_type": "not a table", "dict_type": "not a table"}
"""What pydantic says in Python's words, in TOML's."""


def _located(error: ValidationError, file: str) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    path = ""
    for part in first["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    reason = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return f"{file}: {path.lstrip('.') or 'the file'}: {reason}{tail}"


def _check_rules(policy: Policy, file: str, rules: Collection[str]) -> None:
    unknown = [(f"severity.{name}", name) for name in policy.severity if name not in rules]
    unknown += [
        (f"waiver[{i}].rule", waiver.rule)
        for i, waiver in enumerate(policy.waiver)
        if not any(fnmatchcase(rule, waiver.rule) for rule in rules)
    ]
    for path, name in unknown:
        raise PolicyError(
            f"{file}: {path}: there is no rule {name}", hint="drift-audit explain lists them"
        )


def _check_patterns(policy: Policy, file: str) -> None:
    """A pattern can only be held against a plain value that the policy reveals."""
    for i, entry in enumerate(policy.service):
        for key, requirement in entry.required.items():
            if requirement.pattern and requirement.source == "secret":
                raise PolicyError(
                    f"{file}: service[{i}].required.{key}.pattern: what a secret holds is not read",
                    hint='drop the pattern, or require it from = "literal"',
                )
            if requirement.pattern and not any(fnmatchcase(key, g) for g in policy.reveal):
                raise PolicyError(
                    f"{file}: service[{i}].required.{key}.pattern: the value of {key} is sealed",
                    hint=f'add "{key}" to reveal, or drop the pattern',
                )
