"""
The document that `drift-audit schema export` writes: which variables an application's own settings
read, and which they cannot do without.

It holds names and no values. The application's settings decide under which names a key is found,
and in which order: what is held against them here is where each key of a revision comes from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from drift_audit.binding import Binding, Empty, Mount
from drift_audit.errors import InputError
from drift_audit.frozen import Frozen, place_in
from drift_audit.snapshot import Snapshot

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]

Need = Literal["yes", "presumably", "no"]
"""
Whether the application starts without a key. Presumably not where the key is named for a secret
and has nothing for a default: the application then starts, and does not do what it is for.
"""

WRITES = "drift-audit schema export MODULE:CLASS > required-keys.json"


class DeclaredKey(Frozen):
    """
    One field of the settings, and what it is read from.

    The first of `names` that is there counts. A document in one of `held_by` can hold it among
    others, and every variable that begins with one of `prefixes` is part of it. With `when` it is
    required only once a variable begins so. `secret` says that the application declares it as one.
    """

    field: Name
    names: Annotated[tuple[Name, ...], Field(min_length=1)]
    held_by: tuple[Name, ...] = ()
    prefixes: tuple[Name, ...] = ()
    required: Need = "no"
    when: tuple[Name, ...] = ()
    secret: bool = False

    @property
    def alone_or_held(self) -> tuple[str, ...]:
        """Every variable that can give the field, in the order in which they count."""
        return *self.names, *self.held_by


class AppSchema(Frozen):
    """
    What one settings class reads.

    Names count without regard to case unless it is `case_sensitive`; with `ignore_empty` a variable
    that is empty counts as none. Files named like a variable in one of `secrets_dirs` are read
    after the variables. An `env_file` and `other_sources` may give what no variable gives, and are
    not looked at; the fields in `elsewhere` are required, and no variable sets them.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/required-keys"] = "drift-audit/required-keys"
    settings: Name
    case_sensitive: bool = False
    ignore_empty: bool = False
    env_file: bool = False
    secrets_dirs: tuple[Name, ...] = ()
    other_sources: bool = False
    elsewhere: tuple[Name, ...] = ()
    keys: Annotated[tuple[DeclaredKey, ...], Field(min_length=1)]

    def fold(self, name: str) -> str:
        """A name as the settings compare it."""
        return name if self.case_sensitive else name.lower()

    def folded(self, names: Iterable[str]) -> tuple[str, ...]:
        """Several names so."""
        return tuple(map(self.fold, names))

    @cached_property
    def _read(self) -> frozenset[str]:
        return frozenset(self.folded(name for key in self.keys for name in key.alone_or_held))

    @cached_property
    def _required(self) -> frozenset[str]:
        needed = (key for key in self.keys if key.required == "yes")
        return frozenset(self.folded(name for key in needed for name in key.alone_or_held))

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        return self.folded(prefix for key in self.keys for prefix in key.prefixes)

    def reads(self, name: str) -> bool:
        """Tell whether the settings read a variable of that name."""
        found = self.fold(name)
        return found in self._read or found.startswith(self._prefixes)

    def requires(self, name: str) -> bool:
        """Tell whether a required key may be read from a variable of that name."""
        return self.fold(name) in self._required

    @property
    def summary(self) -> str:
        """How many keys it requires, and how many it names besides."""
        count = Counter(key.required for key in self.keys)
        return f"{count['yes']} required, {count['presumably']} presumably, {count['no']} optional"


def read_schema(data: str | bytes, where: str) -> AppSchema:
    """The document in a file. Raises InputError, without anything that stands in it."""
    try:
        return AppSchema.model_validate_json(data)
    except ValidationError as error:
        place = place_in(error, "the file")
        raise InputError(
            f"{where}: bad-schema: not a list of required keys of this version: {place}",
            hint=WRITES,
        ) from None


ReadSchema = Callable[[str], AppSchema]
"""Gives the document at a path. Raises InputError."""


def unread(path: str) -> AppSchema:
    """What gives no document: where a policy is read without files beside it."""
    raise InputError(f"{path}: not read here")


def _named(given: Any, info: ValidationInfo) -> Any:
    if isinstance(given, AppSchema):
        return given
    if not isinstance(given, str):
        raise ValueError("not the path of a document")  # noqa: TRY004  # pydantic's own kind
    try:
        return info.context["schemas"](given) if info.context else unread(given)
    except InputError as error:
        raise ValueError(str(error)) from None


SchemaFile = Annotated[AppSchema, BeforeValidator(_named), WithJsonSchema({"type": "string"})]
"""A document, named by its path; whoever validates gives `schemas`, which reads it, as context."""


class Held:
    """What a container of a revision holds of what the settings read."""

    def __init__(self, schema: AppSchema, snapshot: Snapshot, container: str) -> None:
        self._schema = schema
        self._mounts = [mount for mount in snapshot.mounts if mount.container == container]
        self._bindings: dict[str, list[Binding]] = {}
        for binding in snapshot.bindings:
            passed_over = schema.ignore_empty and isinstance(binding.source, Empty)
            if binding.container == container and not passed_over:
                self._bindings.setdefault(schema.fold(binding.key), []).append(binding)

    def named(self, names: Iterable[str]) -> Iterator[Binding]:
        """The variables of some names, in the order of the names."""
        for name in self._schema.folded(names):
            yield from self._bindings.get(name, ())

    def below(self, prefixes: Iterable[str]) -> Iterator[Binding]:
        """The variables that begin with one of some prefixes."""
        starts = self._schema.folded(prefixes)
        for name, found in self._bindings.items() if starts else ():
            if name.startswith(starts):
                yield from found

    def asks_for(self, key: DeclaredKey) -> bool:
        """Tell whether a key, if it is required at all, is required of what is there."""
        return not key.when or any(self.below(key.when))

    def of(self, key: DeclaredKey) -> Binding | Mount | None:
        """What the settings take a key from; None where nothing gives it."""
        files = (m for name in key.alone_or_held for m in self._mounts if self._is_file(m, name))
        ways = (self.named(key.names), self.below(key.prefixes), self.named(key.held_by), files)
        return next((item for items in ways for item in items), None)

    def _is_file(self, mount: Mount, name: str) -> bool:
        """Tell whether the settings read a mounted file for a variable of that name."""
        folder, _, file = mount.path.rpartition("/")
        return self._schema.fold(file) == self._schema.fold(name) and any(
            folder == given or (given[:1] != "/" and folder.endswith(f"/{given}"))
            for given in (re.sub(r"^[.~]/|/$", "", d) for d in self._schema.secrets_dirs)
        )
