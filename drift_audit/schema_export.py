"""
Writes down which variables a settings class reads, and which it cannot start without.

    python schema_export.py app.settings:Settings > required-keys.json

It stands alone: it needs Python 3.8, pydantic-settings 2 and the application, and nothing of
drift-audit. Importing the application runs its code; what that prints goes nowhere. Which names are
read is not taken from documentation but tried: the pydantic-settings that is installed here looks
for one field alone, in one variable alone.

What is written holds names and no value: neither defaults nor anything of the environment. Ends
with 0, with 2 for a wrong command or interpreter, and with 4 where no such class is to be had.
"""

from __future__ import annotations

import enum
import importlib
import itertools
import json
import os
import re
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, Dict, Literal, NamedTuple, Optional, Union, get_args, get_origin

try:
    import pydantic
    from pydantic import AliasChoices, AliasPath, BaseModel, Field, RootModel, SecretStr
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings
except ImportError:
    sys.stderr.write("there is no pydantic-settings 2 here\nrun it where the application runs\n")
    sys.exit(2)

SECRET_WORDS = re.compile(
    r"(?:^|_)(?:SECRETS?|SECRETKEY|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|PASSCODE|TOKEN|CREDENTIALS?"
    r"|CREDS|DSN|(?:API|PRIVATE|ACCESS|ACCOUNT|AUTH|ENCRYPTION|HMAC|JWT|LICENSE|MASTER|ROLE|SIGNING)"
    r"_?KEY)(?:_|$)"
)
NOT_THE_SECRET = re.compile(
    r"(?:^|_)(?:TTL|UR[LI]|ENDPOINT|HOST|PORT|DOMAIN|ADDRESS|NAME|LENGTH|LEN|SIZE|COUNT|LIMIT|MAX|MIN"
    r"|PATH|FILE|DIR|BUCKET|IDS?|REF|ARN|VERSION|EXPIR(?:Y|ES(?:_(?:IN|AT))?|ATION)|LIFETIME|AGE"
    r"|TIMEOUT|INTERVAL|SECONDS|MINUTES|DAYS|HOURS|ENABLED|REQUIRED|ALGORITHM|ALG|ISSUER|AUDIENCE"
    r"|SCOPES?|HEADER|FIELD|COOKIE|TYPE|FORMAT|MODE|PREFIX|PROVIDER|BACKEND|STORE|MANAGER|POLICY"
    r"|REGION|PROJECT|SHA|CHECKSUM|FINGERPRINT)$"
)
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""The words by which `drift_audit.credentials` knows the name of a secret: a test compares."""

SECRET_TYPES = (SecretStr, pydantic.SecretBytes, getattr(pydantic, "Secret", SecretStr))
UNIONS = (Union, getattr(types, "UnionType", Union))

KEPT = ("case_", "enable_decoding", "env_nested", "env_prefix", "populate_by", "validate_by_")
"""What of a model's configuration decides under which names its fields are found begins so."""

VALUE = "DRIFT_AUDIT"
"""What is tried, as a value and as a name."""


class Refused(Exception):
    """What was asked for cannot be done: the exit code, a line, and the next thing to try."""


class Step(NamedTuple):
    """One field on the way from the settings class to a value."""

    model: Any
    name: str
    field: FieldInfo


def members(annotation: Any) -> list[Any]:
    """What a field may be besides None."""
    while hasattr(annotation, "__metadata__") or hasattr(annotation, "__value__"):
        inner = "__origin__" if hasattr(annotation, "__metadata__") else "__value__"
        annotation = getattr(annotation, inner)
    if get_origin(annotation) not in UNIONS:
        return [annotation]
    return [m for a in get_args(annotation) if a is not type(None) for m in members(a)]


def is_class(one: Any, kinds: Any) -> bool:
    """Tell whether an annotation is one of some classes, or has it as its origin."""
    return any(isinstance(c, type) and issubclass(c, kinds) for c in (one, get_origin(one)))


def nested(annotation: Any) -> Any:
    """The model that a field holds; None if it holds something else, or one of several."""
    found = members(annotation)
    whole = len(found) == 1 and is_class(found[0], BaseModel)
    return found[0] if whole and not is_class(found[0], RootModel) else None


def is_open(annotation: Any) -> bool:
    """Tell whether a field takes keys that are not known here: a mapping, or one of many models."""
    return any(is_class(m, (BaseModel, Mapping)) or is_dataclass(m) for m in members(annotation))


def is_secret(annotation: Any) -> bool:
    """Tell whether some part of a field is declared as a secret; models are looked into."""
    seen, left = [], [annotation]
    while left:
        one = left.pop()
        if one not in seen:
            seen.append(one)
            fields = one.model_fields.values() if is_class(one, BaseModel) else ()
            left += [*members(one), *get_args(one), *(field.annotation for field in fields)]
    return any(is_class(one, SECRET_TYPES) for one in seen)


def is_blank_secret(field: FieldInfo, names: Iterable[str]) -> bool:
    """Tell whether a field is named for a secret, can hold one, and holds nothing by default."""
    words = [re.sub("[-.]", "_", HUMP.sub("_", name).upper()) for name in names]
    if not any(SECRET_WORDS.search(w) and not NOT_THE_SECRET.search(w) for w in words):
        return False
    kinds = (int, float, enum.Enum, BaseModel)
    if all(get_origin(m) is Literal or is_class(m, kinds) for m in members(field.annotation)):
        return False
    value = field.default if field.default_factory is None else VALUE
    value = value.get_secret_value() if isinstance(value, SECRET_TYPES) else value
    return value is None or (isinstance(value, (str, bytes)) and not value)


def reads_by_itself(field: FieldInfo) -> bool:
    """Tell whether a field is filled by a settings class that reads the environment itself."""
    return isinstance(field.default, BaseSettings) or is_class(field.default_factory, BaseSettings)


def is_made(field: FieldInfo) -> bool:
    """Tell whether a model is always made from variables, for it has no default that is there."""
    made = field.is_required() or field.default_factory is nested(field.annotation)
    return made or reads_by_itself(field)


def double(path: tuple[Step, ...], last: Any) -> Any:
    """
    A class with nothing but the way to one field, which it requires: names and configuration as
    they are, and of everything else, validators above all, nothing.
    """
    step, rest = path[0], path[1:]
    kind = double(rest, last) if rest else last
    made = bool(rest) and reads_by_itself(step.field)
    default: dict[str, Any] = {"default_factory": kind} if made else {"default": ...}
    may_be_none = type(None) in get_args(step.field.annotation)
    field: Any = Field(validation_alias=step.field.validation_alias, **default)
    return create(step.model, **{step.name: (Optional[kind] if may_be_none else kind, field)})


def create(model: Any, **fields: Any) -> Any:
    """A model with the configuration of another one, and fields of its own."""
    kind: Any = BaseSettings if issubclass(model, BaseSettings) else BaseModel
    config = {key: told for key, told in model.model_config.items() if key.startswith(KEPT)}
    base = type(kind)("Double", (kind,), {"model_config": config, "__module__": __name__})
    return pydantic.create_model("Double", __base__=base, **fields)


def starts(model: Any, name: str, value: Any) -> bool:
    """Tell whether settings come into being with one variable alone."""
    os.environ.clear()
    try:
        os.environ[name] = value if isinstance(value, str) else json.dumps(value)
        model(_env_file=None, _secrets_dir=None)
    except Exception:  # whatever it is, this variable is not the one that is read
        return False
    return True


def spelled(step: Step) -> list[list[Any]]:
    """The names of a field in the order in which they count, each with the way into its value."""
    alias = step.field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias else []
    paths = [list(c.path) if isinstance(c, AliasPath) else [c] for c in choices]
    return [*paths, [step.name]]


def spellings(path: tuple[Step, ...]) -> Iterator[tuple[str, list[Any], str]]:
    """
    Every name that might lead to a field, the way into the value of that variable, and what stands
    between the parts of the name.
    """
    ways = (path[i:] for i, s in enumerate(path) if not i or issubclass(s.model, BaseSettings))
    for way in ways:
        config = way[0].model.model_config
        prefix, between = config.get("env_prefix") or "", config.get("env_nested_delimiter") or ""
        heads = [[p + head, *tail] for head, *tail in spelled(way[0]) for p in (prefix, "")]
        for parts in itertools.product(heads, *map(spelled, way[1:])):
            if between or not way[1:]:
                name = between.join(part[0] for part in parts)
                yield shown(name, config), parts[-1][1:], between


def shown(name: str, config: Any) -> str:
    """A variable as people write it: in capitals, where that does not matter."""
    upper = name.upper()
    return upper if not config.get("case_sensitive") and upper.lower() == name.lower() else name


def leaf(step: Step) -> tuple[Any, Any]:
    """A type that is read as a field is, and a value of it."""
    inner = nested(step.field.annotation)
    if inner:
        return create(inner), {}
    return (Dict[str, Any], {VALUE: VALUE}) if is_open(step.field.annotation) else (Any, VALUE)


def within(way: Iterable[Any], value: Any) -> Any:
    """A value at the end of a way of keys and indices."""
    for part in reversed(list(way)):
        value = {part: value} if isinstance(part, str) else [value] * (part + 1)
    return value


def own_names(path: tuple[Step, ...]) -> list[str]:
    """The variables that set one field alone, in the order in which they count."""
    kind, value = leaf(path[-1])
    model = double(path, kind)
    found = (name for name, tail, _ in spellings(path) if starts(model, name, within(tail, value)))
    return list(dict.fromkeys(found))


def holders(path: tuple[Step, ...]) -> list[str]:
    """The variables that can hold the field as part of a document, the innermost first."""
    kind, value = leaf(path[-1])
    model, found = double(path, kind), []
    for end in range(len(path) - 1, 0, -1):
        rests = [list(itertools.chain(*r)) for r in itertools.product(*map(spelled, path[end:]))]
        for name, tail, _ in spellings(path[:end]):
            if any(starts(model, name, within([*tail, *rest], value)) for rest in rests):
                found.append(name)
    return list(dict.fromkeys(found))


def beginnings(path: tuple[Step, ...]) -> list[str]:
    """What variables begin with that reach into the field under names of any kind."""
    if not is_open(path[-1].field.annotation):
        return []
    model = double(path, leaf(path[-1])[0])
    found = (name + between for name, tail, between in spellings(path) if between and not tail)
    return [begin for begin in dict.fromkeys(found) if starts(model, begin + VALUE, VALUE)]


class Way(NamedTuple):
    """
    How a model is reached: what it requires is required once a variable begins with one of `when`,
    always if there are none. Unless `sure`, the code may have given it.
    """

    path: tuple[Step, ...] = ()
    when: tuple[str, ...] = ()
    sure: bool = True

    def into(self, path: tuple[Step, ...], begin: tuple[str, ...]) -> Way:
        """The way into the model of a field, whose variables begin with one of `begin`."""
        field = path[-1].field
        sure = self.sure and not isinstance(field.default, BaseSettings)
        return Way(path, self.when if is_made(field) else begin, sure)


class Listing:
    """The keys of a settings class, and the required fields that no variable sets."""

    def __init__(self, cls: Any) -> None:
        self._merges = bool(cls.model_config.get("nested_model_default_partial_update"))
        found = self._of(cls, Way())
        for key in found:
            if not key["names"]:  # nothing sets it alone: what holds it is its name
                key["names"] = key.pop("held_by")
        self.elsewhere = [k["field"] for k in found if not k["names"] and k["required"] != "no"]
        keys = ({name: told for name, told in key.items() if told != []} for key in found)
        self.keys = sorted(
            (k for k in keys if "names" in k), key=lambda k: (k["names"], k["field"])
        )

    def _of(self, model: Any, way: Way) -> list[dict[str, Any]]:
        found = []
        for name, field in model.model_fields.items():
            path = (*way.path, Step(model, name, field))
            inner = nested(field.annotation)
            known = inner is None or inner in [step.model for step in path]
            found += [self._alone(way, path)] if known else self._inside(inner, way, path)
        return found

    def _inside(self, inner: Any, way: Way, path: tuple[Step, ...]) -> list[dict[str, Any]]:
        """The keys of a nested model: of its fields, and its own where these do not imply it."""
        begin = tuple(beginnings(path))
        keys = self._of(inner, way.into(path, begin))
        needed = [k for k in keys if (k["required"], k["when"]) == ("yes", list(way.when))]
        if not any(key["names"] for key in keys):
            needed = needed if is_made(path[-1].field) else []
            return [self._alone(way, path, required=bool(needed))]
        implied = any(all(name.startswith(begin) for name in key["names"]) for key in needed)
        alone = path[-1].field.is_required() and not implied
        return [*keys, self._alone(way, path)] if alone else keys

    def _alone(self, way: Way, path: tuple[Step, ...], *, required: bool = False) -> dict[str, Any]:
        """The key of one field, which may be required although it has a default."""
        field, names, need = path[-1].field, own_names(path), "no"
        if required or field.is_required():
            given = self._merges and way.when
            need = "no" if given else "yes" if way.sure else "presumably"
        elif is_blank_secret(field, ["_".join(step.name for step in path), *names]):
            need = "presumably"
        return {
            "field": ".".join(step.name for step in path),
            "names": names,
            "held_by": holders(path),
            "prefixes": beginnings(path),
            "required": need,
            "when": [] if need == "no" else list(way.when),
            "secret": is_secret(field.annotation),
        }


def document(named: str) -> dict[str, Any]:
    """What there is to know of the settings class that is named."""
    cls = load(named)
    config, listing = cls.model_config, Listing(cls)
    if not listing.keys:
        raise Refused(4, f"{named} reads no variables", "name another class")
    folders = config.get("secrets_dir") or ()
    folders = [folders] if isinstance(folders, (str, os.PathLike)) else folders
    sources = [getattr(c, "settings_customise_sources").__func__ for c in (cls, BaseSettings)]
    return {
        "schema_version": 1,
        "document": "drift-audit/required-keys",
        "settings": named,
        "case_sensitive": bool(config.get("case_sensitive")),
        "ignore_empty": bool(config.get("env_ignore_empty")),
        "env_file": bool(config.get("env_file")),
        "secrets_dirs": [os.fspath(folder) for folder in folders],
        "other_sources": sources[0] is not sources[1],
        "elsewhere": listing.elsewhere,
        "keys": listing.keys,
    }


def load(named: str) -> Any:
    """The settings class that `MODULE:CLASS` names, or the class of the settings that it names."""
    module, _, wanted = named.partition(":")
    if not all(map(str.isidentifier, [*module.split("."), *wanted.split(".")])):
        raise Refused(2, f"{named} is not MODULE:CLASS", "for instance app.settings:Settings")
    found = lookup(module, wanted.split("."))
    cls = found if isinstance(found, type) else type(found)
    if not issubclass(cls, BaseSettings):
        hint = "name a class that is made of pydantic_settings.BaseSettings"
        raise Refused(4, f"{named} is no settings class", hint)
    cls.model_rebuild()
    return cls


def lookup(module: str, words: list[str]) -> Any:
    """What a name means in a module, even in one that failed after the name was there."""
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # `settings = Settings()` at the end of it, mostly
        running = (frame.f_globals for frame in frames(error))
        names = next((g for g in running if g.get("__name__") == module and words[0] in g), None)
        if names is None:
            raise failed(error, module) from None
        found = types.SimpleNamespace(**names)
    for word in words:
        if not hasattr(found, word):
            raise Refused(4, f"{module} has no {'.'.join(words)}", "name a settings class of it")
        found = getattr(found, word)
    return found


def frames(error: BaseException | None) -> Iterator[types.FrameType]:
    """The frames that an error went through, the outermost first, and those of what caused it."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            yield trace.tb_frame
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def failed(error: BaseException, module: str) -> Refused:
    """Why a module cannot be imported: the kind of error and where; its text may hold values."""
    lacking = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if lacking and f"{module}.".startswith(f"{lacking}."):
        return Refused(4, f"there is no module {module}", "run it in the folder of the application")
    if lacking:
        return Refused(2, f"{module} needs {lacking}", "run it where the application runs")
    names = [str(frame.f_globals.get("__name__")) for frame in frames(error)]
    theirs = [name for name in names if not name.startswith((__name__, "importlib", "pydantic"))]
    says = f"{module} cannot be imported: {type(error).__name__} in {(theirs or [module])[-1]}"
    return Refused(4, says, f'{sys.executable} -c "import {module}" tells why')


def main(arguments: list[str]) -> int:
    """Print the document of the settings class that the one argument names."""
    out, err = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)  # these are the application's now
    warnings.simplefilter("ignore")
    if sys.path[0] == os.path.dirname(os.path.realpath(sys.argv[0])):
        del sys.path[0]  # the folder of this script
    sys.path.insert(0, os.getcwd())
    named = " ".join(arguments)
    try:
        stream, text, code = out, json.dumps(document(named), indent=1, sort_keys=True), 0
    except Refused as refused:
        code, *lines = refused.args
        stream, text = err, "\n".join(lines)
    except Exception as error:  # its text may hold values
        stream, text, code = err, f"{named} cannot be read: {type(error).__name__}", 4
    with open(stream, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # whatever the application left running ends here
