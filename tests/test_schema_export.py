"""What an application's own settings require: the script that says it, and pydantic-settings itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from drift_audit import credentials, schema_export
from drift_audit.app_schema import AppSchema, read_schema
from tests.canary import files_below, leaks
from tests.command import SEALED, environment, run
from tests.manifests import CANARY

SCRIPT = Path(schema_export.__file__)
ORACLE = Path(__file__).with_name("settings_oracle.py")
GOLDEN = Path(__file__).parent / "golden" / "required-keys.json"
OLDEST = Path(__file__).with_name("settings-oldest.txt")

APP = f'''
"""Settings as people write them: what they hold by default stands in no document."""

from typing import Dict, List, Optional, Union

from pydantic import AliasChoices, AliasPath, BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

print("{CANARY}")


class Database(BaseModel):
    host: str = "{CANARY}"
    user: str
    password: SecretStr


class Redis(BaseModel):
    url: str
    token: Optional[str] = None


class Mail(BaseModel):
    host: str = "localhost"
    password: Optional[SecretStr] = None


class Flags(BaseModel):
    beta: bool = False


class Tracing(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRACE_")
    endpoint: str
    api_key: str = ""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="APP_", env_nested_delimiter="__", env_file=".env", secrets_dir="/run/secrets"
    )
    log_level: str = "{CANARY}"
    port: int
    jwt: SecretStr = Field(validation_alias=AliasChoices("JWT_SECRET_KEY", "JWT_KEY"))
    first_host: str = Field(validation_alias=AliasPath("HOSTS", 0))
    old: str = Field(alias="Old_Name")
    database: Database
    redis: Optional[Redis] = None
    mail: Mail = Mail(password="{CANARY}")
    flags: Flags
    tracing: Tracing = Field(default_factory=Tracing)
    labels: Dict[str, str]
    hosts: List[str] = []
    store: Union[Database, Redis, None] = None
    service_secret: Optional[str] = None
    session_token: SecretStr = SecretStr("")
    token_count: Optional[int] = None
    secret_key: str = "{CANARY}"


settings = Settings()
'''


@pytest.fixture
def app(tmp_path):
    """The folder of an application, whose modules are called as some of ours."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("import names, files\n")
    (tmp_path / "app" / "settings.py").write_text(APP)
    for name in ("names", "files"):
        (tmp_path / f"{name}.py").write_text("THEIRS = True\n")
    return tmp_path


def export(folder, named="app.settings:Settings", *more, **options):
    return run("schema", "export", named, *more, cwd=folder, **options)


def by_field(text):
    return {key.field: key for key in read_schema(text, "test").keys}


def test_document(app, file_regression):
    """Everything that settings can be: prefix, aliases, nesting, models, mappings, defaults."""
    ran = export(app)

    assert ran.code == 0, ran.block
    assert ran.err == "app.settings:Settings: 10 required, 5 presumably, 8 optional\n"
    file_regression.check(ran.out, fullpath=GOLDEN, encoding="utf-8")


@pytest.fixture(scope="session")
def oldest(tmp_path_factory):
    """A folder with the oldest pydantic-settings there is, and what it needs."""
    folder = tmp_path_factory.mktemp("oldest")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=0", "--timeout=20"]
    words = ["--no-deps", "--require-hashes", f"--target={folder}", f"--requirement={OLDEST}"]
    done = subprocess.run([*install, *words], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(
            "THE OLDEST pydantic-settings COULD NOT BE INSTALLED: tried with the newest alone"
        )
    return str(folder)


def test_document_of_the_oldest_version(app, oldest):
    """The oldest pydantic-settings reads the same variables of these settings as the newest."""
    where = [sys.executable, "-c", "import pydantic_settings; print(pydantic_settings.VERSION)"]
    env = {**environment(app, measured=False), "PYTHONPATH": oldest}
    version = subprocess.run(where, env=env, capture_output=True, text=True, check=True).stdout
    script = [sys.executable, str(SCRIPT), "app.settings:Settings"]
    ran = subprocess.run(script, cwd=app, env=env, capture_output=True, text=True, check=False)

    assert version == "2.0.0\n"
    assert ran.stderr == ""
    assert ran.stdout == GOLDEN.read_text()


def names(used):
    """Names of fields, none of them twice on one way."""
    known = ["host", "user", "port", "token", "mode", "level", "region", "zone", "beta", "gamma"]
    return st.sampled_from([name for name in known if name not in used])


@st.composite
def fields(draw, depth=0, used=frozenset(), *, plain=False):
    """
    The fields of a model. With `plain`, nested ones have neither aliases nor mappings: versions
    before 2.2 read documents inside of models in part only.
    """
    found = []
    for name in draw(st.lists(names(used), min_size=1, max_size=3, unique=True)):
        used |= {name}
        leaves = ["str", "secret", *([] if plain and depth else ["dict"])]
        kind = draw(st.sampled_from([*leaves, *(["model", "model"] if depth < 2 else [])]))
        defaults = {
            "str": ["required", "required", "none", "empty", "set"],
            "secret": ["required", "none"],
            "dict": ["required", "none", "empty"],
            "model": ["required", "factory", *([] if plain else ["none"])],
        }
        choices = [f"Y{name.upper()}", f"Z{name.upper()}"]
        one: list[Any] = [None, None, f"X{name.upper()}", f"x{name}"]
        aliases: list[Any] = [*one, choices]
        if kind != "model":
            path = {"path": [f"P{name.upper()}", 0]}
            aliases += [[f"Q{name.upper()}", {"path": [f"R{name.upper()}", "k"]}]]
            aliases += [] if kind == "dict" and depth else [path]
        elif depth:
            aliases = one  # a model that has several names is read under one of them alone
        aliases = [None] if plain and depth else aliases
        if kind == "dict" and depth:
            aliases = [a for a in aliases if "path" not in json.dumps(a)]
        field = {
            "name": name,
            "kind": kind,
            "default": draw(st.sampled_from(defaults[kind])),
            "alias": draw(st.sampled_from(aliases)),
        }
        if kind == "model":
            field["fields"] = draw(fields(depth + 1, used, plain=plain))
            field["config"] = draw(by_name(field["fields"]))
        found.append(field)
    return found


def by_name(inside):
    """Whether fields go by their names too: not where models do, which are read under one alone."""
    aliased = any(field["kind"] == "model" and field["alias"] for field in inside)
    return st.sampled_from([{}] if aliased else [{}, {"populate_by_name": True}])


@st.composite
def classes(draw, **more):
    """Descriptions of settings classes."""
    inside = draw(fields(**more))
    config = {
        "env_prefix": draw(st.sampled_from(["", "APP_", "my-"])),
        "env_nested_delimiter": draw(st.sampled_from([None, "__", "_", "."])),
        "case_sensitive": draw(st.booleans()),
        **draw(by_name(inside)),
    }
    if not more.get("plain"):
        config["env_nested_max_split"] = draw(st.sampled_from([None, None, 1, 2]))
    return {"config": config, "fields": inside}


class Asked:
    """The process that holds lists against pydantic-settings."""

    def __init__(self, folder, script=SCRIPT):
        self._process = subprocess.Popen(
            [sys.executable, str(ORACLE), str(script)],
            env={**environment(Path("/"), measured=False), "PYTHONPATH": folder},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def complaints(self, told):
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self):
        self._process.communicate(timeout=20)


@pytest.fixture(scope="session")
def newest_says():
    asked = Asked("")
    yield asked
    asked.end()


@pytest.fixture(scope="session")
def oldest_says(oldest):
    asked = Asked(oldest)
    yield asked
    asked.end()


@given(told=classes())
def test_required_is_what_it_cannot_start_without(newest_says, told):
    """All that is listed as required is enough, nothing of it can be left out, and each name counts."""
    assert newest_says.complaints(told) == []


@given(told=classes(plain=True))
def test_so_it_is_in_the_oldest_version(oldest_says, told):
    """The same with the oldest version, as far as it reads what is in nested models."""
    assert oldest_says.complaints(told) == []


REQUIRED = {"name": "user", "kind": "str", "default": "required", "alias": None}
OPTIONAL = {"name": "host", "kind": "str", "default": "none", "alias": None}
MODEL = {"name": "port", "kind": "model", "default": "none", "alias": None, "fields": [REQUIRED]}
TOLD = {
    "config": {"env_prefix": "APP_", "env_nested_delimiter": "__"},
    "fields": [{**REQUIRED, "name": "level", "alias": ["YLEVEL", "ZLEVEL"]}, OPTIONAL, MODEL],
}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('for p in (prefix, "")', 'for p in ("",)'),
        ("return False\n    return True", "return True\n    return True"),
        ('need = "no" if given else "yes"', 'need = "no" if given else "no"'),
        ("self.when if is_made(field) else begin", "self.when"),
        ("return [*paths, [step.name]]", "return [*paths[:1], [step.name]]"),
    ],
)  # fmt: skip
def test_control_wrong_lists_are_found(right, wrong, tmp_path):
    """A script that lists too much, too little, or the wrong names does not pass."""
    assert right in SCRIPT.read_text()
    (tmp_path / "spoiled.py").write_text(SCRIPT.read_text().replace(right, wrong))
    good, bad = Asked(""), Asked("", tmp_path / "spoiled.py")
    found = good.complaints(TOLD), bad.complaints(TOLD)
    for asked in (good, bad):
        asked.end()

    assert found[0] == []
    assert found[1] != []


def test_no_value_leaves(app):
    """Neither defaults, nor the environment, nor what the application prints is in any output."""
    held = {"APP_PORT": CANARY, "JWT_SECRET_KEY": CANARY, **SEALED}
    ran = export(app, "app.settings:Settings", "-o", "keys.json", env=held)
    written = files_below(app)["keys.json"]

    assert (ran.code, ran.out) == (0, "")
    assert leaks(ran.block.encode() + written, [CANARY, *SEALED.values()]) == []


def test_application_sees_no_key_of_ours(app):
    """What seals baselines is not in the environment of the application, nor on a stream it reads."""
    (app / "app" / "seen.py").write_text(
        "import os, sys\n"
        "from pydantic_settings import BaseSettings\n"
        "open('seen', 'w').write('\\n'.join(os.environ) + sys.stdin.read())\n"
        "class Settings(BaseSettings):\n    a: str\n"
    )
    ran = export(app, "app.seen:Settings", env={**SEALED, "THEIRS": "1"}, stdin=b"typed")
    seen = (app / "seen").read_text()

    assert ran.code == 0, ran.block
    assert "THEIRS" in seen
    assert "DRIFT_AUDIT" not in seen
    assert "typed" not in seen


@pytest.mark.parametrize(
    ("named", "code", "says"),
    [
        ("app.settings", 2, "app.settings is not MODULE:CLASS"),
        ("app.settings:", 2, "app.settings: is not MODULE:CLASS"),
        ("app settings:A", 2, "app settings:A is not MODULE:CLASS"),
        ("nope:Settings", 4, "there is no module nope"),
        ("app.nope:Settings", 4, "there is no module app.nope"),
        ("app.lacks:Settings", 2, "app.lacks needs a_driver_that_is_not_there"),
        ("app.plain:Nope", 4, "app.plain has no Nope"),
        ("app.plain:Outer.Nope", 4, "app.plain has no Outer.Nope"),
        ("app.plain:Model", 4, "app.plain:Model is no settings class"),
        ("app.plain:Empty", 4, "app.plain:Empty reads no variables"),
        ("app.plain:Undefined", 4, "app.plain:Undefined cannot be read: PydanticUndefinedAnnotation"),
        ("app.raises:Settings", 4, "app.raises cannot be imported: RuntimeError in app.raises"),
        ("app.imports:Settings", 4, "app.imports cannot be imported: ValidationError in app.settings"),
        ("app.broken:Settings", 4, "app.broken cannot be imported: SyntaxError in app.broken"),
        ("app.exits:Settings", 4, "app.exits cannot be imported: SystemExit in app.exits"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_exported(app, named, code, says):
    """One clear line, the documented code, and nothing of what the application says."""
    modules = {
        "lacks": "import a_driver_that_is_not_there",
        "raises": f"raise RuntimeError('{CANARY}')",
        "imports": "from app.settings import settings\nclass Settings: pass",
        "broken": f"x = '{CANARY}",
        "exits": f"import sys; sys.exit('{CANARY}')",
        "plain": "from pydantic import BaseModel\nfrom pydantic_settings import BaseSettings\n"
        "class Model(BaseModel): a: str\n"
        "class Empty(BaseSettings): pass\n"
        "class Outer:\n    class Settings(BaseSettings): a: str\n"
        "class Undefined(BaseSettings): a: 'Nowhere'\n",
    }
    for name, text in modules.items():
        (app / "app" / f"{name}.py").write_text(text)
    ran = export(app, named, "-o", "keys.json")

    assert ran.code == code, ran.block
    assert ran.err.startswith(f"drift-audit: {says}\n"), ran.err
    assert "Traceback" not in ran.err
    assert not (app / "keys.json").exists()
    assert leaks(ran.block.encode(), [CANARY]) == []


@pytest.mark.parametrize("named", ["made:Outer.Settings", "made:settings"])
def test_nested_class_and_instance(tmp_path, named):
    """A class inside another one, and settings that a module has made, can be named."""
    (tmp_path / "made.py").write_text(
        "from pydantic_settings import BaseSettings\n"
        "class Outer:\n    class Settings(BaseSettings): a: str = 'x'\n"
        "settings = Outer.Settings()\n"
    )
    ran = export(tmp_path, named)

    assert ran.code == 0, ran.block
    assert list(by_field(ran.out)) == ["a"]


def test_what_is_not_said_by_variables(tmp_path):
    """Other sources, and required fields that no variable sets, are told."""
    (tmp_path / "odd.py").write_text(
        "from pydantic import Field\n"
        "from pydantic_settings import BaseSettings\n"
        "class Settings(BaseSettings):\n"
        "    model_config = {'secrets_dir': ['/a', '/b'], 'case_sensitive': True,\n"
        "                    'env_ignore_empty': True, 'env_nested_delimiter': '__'}\n"
        "    level: str\n"
        "    given: str = Field(validation_alias='no\\0name')\n"
        "    @classmethod\n"
        "    def settings_customise_sources(cls, settings_cls, **sources):\n"
        "        return tuple(sources.values())\n"
    )
    ran = export(tmp_path, "odd:Settings")
    told = AppSchema.model_validate_json(ran.out)

    assert ran.err.splitlines() == [
        "odd:Settings: 1 required, 0 presumably, 0 optional",
        "odd:Settings has other sources too: what no variable gives may come from there",
        "given is required, and no variable sets it",
    ]
    assert (told.case_sensitive, told.ignore_empty, told.env_file) == (True, True, False)
    assert told.secrets_dirs == ("/a", "/b")


SHAPES = """
import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretBytes, SecretStr
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict
from typing_extensions import TypeAliasType

class Kind(enum.Enum):
    A = "a"

class Node(BaseModel):
    secret: Optional[SecretStr] = None
    child: Optional["Node"] = None

class Names(RootModel): root: list[str]

@dataclass
class Point: x: int

class Sub(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SUB_")
    key: str

class Kept(BaseModel):
    api_token: str
    extra: str = ""

Aliased = TypeAliasType("Aliased", Kept)

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_nested_delimiter="__")
    aliased: Aliased
    node: Node = Node()
    names: Names
    point: Point
    kind_token: Optional[Kind] = None
    literal_token: Optional[Literal["a"]] = None
    any_token: Any = None
    bytes_token: bytes = b""
    union_token: Union[int, str, None] = None
    secret_list: list[SecretBytes] = []
    made_token: str = Field(default_factory=lambda: "x")
    annotated: Optional[Annotated[Kept, "about it"]] = None
    sub: Sub = Sub(key="given")
    token_url: str = ""

class Generated(BaseSettings):
    model_config = SettingsConfigDict(alias_generator=to_camel, env_prefix="G_")
    log_level: str
    named: str = Field(validation_alias="NAMED")

class Merged(BaseSettings):
    model_config = SettingsConfigDict(
        env_nested_delimiter="__", nested_model_default_partial_update=True
    )
    kept: Kept = Kept(api_token="x")

class Whole(BaseSettings):
    kept: Kept
    made: Kept = Field(default_factory=Kept)
    spare: Optional[Kept] = None
"""


def shapes(folder, named):
    (folder / "shapes.py").write_text(SHAPES)
    ran = export(folder, f"shapes:{named}")
    assert ran.code == 0, ran.block
    return by_field(ran.out)


def test_shapes_of_fields(tmp_path):
    """Recursive models, root models, dataclasses, unions, enums, and settings inside of settings."""
    found = shapes(tmp_path, "Settings")
    secret = {name for name, key in found.items() if key.secret}
    presumed = {name for name, key in found.items() if key.required == "presumably"}
    required = {name for name, key in found.items() if key.required == "yes"}

    assert secret == {"node.secret", "node.child", "secret_list"}
    assert presumed == {"node.secret", "any_token", "bytes_token", "union_token", "sub.key"}
    assert required == {"names", "point", "aliased.api_token", "annotated.api_token"}
    assert found["point"].prefixes == ("POINT__",)
    assert found["sub.key"].names == ("SUB__KEY", "SUB_KEY")
    assert found["annotated.api_token"].when == ("ANNOTATED__",)
    assert found["annotated.extra"].when == ()


def test_generated_aliases(tmp_path):
    """An alias that a function makes counts as one that is written, and takes no prefix."""
    assert {name: key.names for name, key in shapes(tmp_path, "Generated").items()} == {
        "log_level": ("LOGLEVEL",),
        "named": ("NAMED",),
    }


def test_defaults_that_are_filled_up(tmp_path):
    """What a default of a nested model gives is not required where variables only change parts of it."""
    assert shapes(tmp_path, "Merged")["kept.api_token"].required == "no"


def test_models_without_a_delimiter(tmp_path):
    """Without a delimiter a model is one variable, required as what is in it."""
    found = shapes(tmp_path, "Whole")

    assert {name: (key.names, key.required) for name, key in found.items()} == {
        "kept": (("KEPT",), "yes"),
        "made": (("MADE",), "yes"),
        "spare": (("SPARE",), "no"),
    }


def test_script_runs_elsewhere(app):
    """The script that is printed does the same, read from a file or from standard input."""
    printed = run("schema", "export", "--print-script", cwd=app)
    (app / "there").mkdir()
    (app / "there" / "names.py").write_text("raise RuntimeError\n")
    (app / "there" / "export.py").write_text(printed.out)
    env = {**environment(app, measured=False), "PYTHONPATH": ""}
    piped, filed = (
        subprocess.run(
            [sys.executable, *words, "app.settings:Settings"],
            cwd=app, env=env, input=text, capture_output=True, text=True, check=False,
        )
        for words, text in ((["-"], printed.out), (["there/export.py"], ""))
    )  # fmt: skip

    assert printed.out == SCRIPT.read_text()
    assert (piped.returncode, piped.stderr) == (filed.returncode, filed.stderr) == (0, "")
    assert piped.stdout == filed.stdout == GOLDEN.read_text()


def test_interpreter_without_pydantic_settings(app):
    """An interpreter that lacks pydantic-settings is a clear error, and so is one that is not there."""
    (app / "lacking" / "pydantic_settings").mkdir(parents=True)
    (app / "lacking" / "pydantic_settings" / "__init__.py").write_text("raise ImportError\n")
    here = str(Path(__file__).parents[1])
    lacking = export(app, env={"PYTHONPATH": f"{app / 'lacking'}:{here}"})
    missing = export(app, "app.settings:Settings", "--python=no/such/python")
    other = export(app, "app.settings:Settings", "--python=false")
    none = export(app, "app.settings:Settings", "--python=true")

    assert (lacking.code, missing.code, other.code, none.code) == (2, 2, 2, 4)
    assert lacking.err == (
        "drift-audit: there is no pydantic-settings 2 here\n"
        "  run it where the application runs, or name its interpreter with --python\n"
    )
    assert missing.err == "drift-audit: cannot run no/such/python: no such file or directory\n"
    assert other.err == (
        "drift-audit: false ended with 1 on the way to app.settings:Settings\n"
        "  it takes Python 3.8 or newer\n"
    )


def test_application_that_does_not_end(app):
    """An import that takes too long is given up, and nothing is written."""
    (app / "app" / "slow.py").write_text("import time; time.sleep(60)")
    ran = export(app, "app.slow:Settings", "--timeout=1", "-o", "keys.json")

    assert ran.code == 4
    assert ran.err == "drift-audit: app.slow:Settings was not imported within 1 seconds\n"
    assert not (app / "keys.json").exists()


def test_what_the_application_left_running(app):
    """Threads that do not end, and what is done at the end of the program, keep nobody waiting."""
    (app / "app" / "busy.py").write_text(
        "import atexit, threading, time\n"
        "from pydantic_settings import BaseSettings\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        f"atexit.register(print, '{CANARY}')\n"
        "class Settings(BaseSettings): a: str\n"
    )
    ran = export(app, "app.busy:Settings", "--timeout=20")

    assert ran.code == 0, ran.block
    assert CANARY not in ran.out


@pytest.mark.parametrize("words", [[], ["app.settings:Settings", "--print-script"]])
def test_class_or_script(app, words):
    """It takes a class, or prints the script."""
    ran = run("schema", "export", *words, cwd=app)

    assert ran.code == 2
    assert "give either MODULE:CLASS or --print-script" in ran.err


@pytest.mark.parametrize("words", ["SECRET_WORDS", "NOT_THE_SECRET", "HUMP"])
def test_words_of_secrets_are_ours(words):
    """The script, which stands alone, knows a secret by the words that the program knows it by."""
    assert getattr(schema_export, words) == getattr(credentials, f"_{words}")


@given(st.text(alphabet="AaSEcretTOKENkyId_-.1", max_size=20))
def test_secrets_are_told_by_their_names_as_ours_are(name):
    """Whatever the name of a variable is, both say the same of it."""
    field: Any = Field(default=None)

    assert schema_export.is_blank_secret(field, [name]) is credentials.names_a_secret(name)
