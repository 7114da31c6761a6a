"""
The user's own gcloud, run for one command: which commands may be, and what of their output may be
told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from drift_audit import files
from drift_audit.errors import CommandError, InputError

TRACKS = ("alpha", "beta")

KNOWN = (
    ("deploy",),
    ("services", "update"),
    ("services", "replace"),
    ("services", "update-traffic"),
    ("jobs", "deploy"),
    ("jobs", "update"),
    ("jobs", "replace"),
)
"""What comes after `gcloud run` in the commands that can be tried."""

LEFT_OUT = ("account", "impersonate-service-account", "access-token-file", "configuration")
"""Flags of gcloud that say who acts: nobody does."""

PASSED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "CLOUDSDK_PYTHON", "SYSTEMROOT")
"""All that gcloud gets of the environment: no settings and no credentials."""

PATIENCE = 300
"""Seconds; against the local server a command takes two."""

LONG = 8
"""Characters that no word of a message has in common with a value by chance."""

_ERROR = re.compile(
    r"^ERROR: (?:\(gcloud\.[a-z.-]+\)|(?=gcloud crashed)) ?(?P<says>.*?)(?:\n\n|\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Command:
    """A command of gcloud that writes a service or a job. What is printed of it holds no values."""

    words: Sequence[str]

    def __repr__(self) -> str:
        """The verb alone: the rest may hold values."""
        return f"Command({self.verb})"

    @property
    def verb(self) -> str:
        """What it is, as `gcloud run services update`."""
        kept = [w for w in self.words[1:5] if not w.startswith("-")]
        known = next((k for k in KNOWN if set(k) <= set(kept)), ())
        return " ".join(("gcloud run", *known))


def command(words: Sequence[str]) -> Command:
    """
    The command of gcloud that some words are. Raises CommandError for one that cannot be tried,
    with the reason.
    """
    if not words or PurePath(words[0]).stem != "gcloud":
        raise CommandError(
            "after -- comes the command of gcloud that is to be tried",
            hint="drift-audit preview -- gcloud run services update api --update-secrets=...",
        )
    rest = list(words[1:])
    if rest[:1] and rest[0] in TRACKS:
        rest = rest[1:]
    if rest[:1] != ["run"] or not any(tuple(rest[1 : 1 + len(k)]) == k for k in KNOWN):
        known = ", ".join(" ".join(("gcloud run", *k)) for k in KNOWN)
        raise CommandError("only a deploy can be tried", hint=f"one of {known}; flags come after")
    _check_source(rest)
    if _flag(rest, "platform") not in ("", "managed"):
        raise CommandError("only what is deployed to Cloud Run itself can be tried")
    if "--dry-run" in rest:
        raise CommandError("a dry run changes nothing", hint="try the command without --dry-run")
    return Command(tuple(_without(words, LEFT_OUT)))


def _check_source(words: Sequence[str]) -> None:
    """Refuse what builds its image first. Raises CommandError."""
    given = {word.partition("=")[0] for word in words}
    deploys = words[1] == "deploy" or tuple(words[1:3]) == ("jobs", "deploy")
    if "--source" in given or "--function" in given or (deploys and "--image" not in given):
        raise CommandError(
            "the command builds from source, and nothing is built for a preview",
            hint="build the image first, and try the command with --image=IMAGE",
        )


def _flag(words: Sequence[str], name: str) -> str:
    """What a flag was given, in either of its two forms."""
    for i, word in enumerate(words):
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
        if word == f"--{name}":
            return words[i + 1] if i + 1 < len(words) else ""
    return ""


def _without(words: Sequence[str], flags: Iterable[str]) -> Iterator[str]:
    """The words without some flags, in either of their two forms."""
    left = iter(words)
    for word in left:
        name, equals, _ = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in flags:
            yield word
        elif not equals:
            next(left, None)


def run(
    command: Command, environment: Mapping[str, str], secret: Callable[[], Iterable[str]]
) -> None:
    """
    Run it in a folder of settings of its own, here where its files are.

    Raises CommandError when gcloud is not there, or refuses. What it says is told unless a value
    stands in it that the command holds, or one of `secret`, which is asked for then.
    """
    found = shutil.which(command.words[0])
    if found is None:
        raise _no_gcloud()
    kept = {name: os.environ[name] for name in PASSED if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gce").write_text("False")  # or it asks the network where it runs
        env = {**kept, "HOME": folder, "CLOUDSDK_CONFIG": folder, **environment}
        try:
            ran = subprocess.run(  # noqa: S603  # no shell: the words are the user's own command
                [found, *command.words[1:]],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommandError(f"{command.verb} did not end within {PATIENCE} s") from None
    if ran.returncode:
        raise CommandError(
            f"{command.verb} ended with {ran.returncode}: {_told(ran.stderr, command, secret())}",
            hint=f"{command.verb} --help",
        )


def _no_gcloud() -> CommandError:
    return CommandError(
        "gcloud is not installed, and a preview is what gcloud itself does",
        hint="install the Google Cloud CLI, or compare with a manifest: drift-audit compare",
    )


def _told(stderr: str, command: Command, secret: Iterable[str]) -> str:
    """Why gcloud failed, on one line, unless that could hold a value."""
    found = _ERROR.search(stderr)
    says = " ".join((found["says"] if found else "").split())
    if not says:
        return "it does not say why"
    if any(_stands_in(says, value) for value in (*_values(command), *secret) if value):
        return "what it says could hold a value, and is not shown"
    return says


def _stands_in(text: str, value: str) -> bool:
    """Whether a value stands in a text: a long one anywhere, a short one as a word of its own."""
    if len(value) >= LONG:
        return value in text
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


_NAMING = frozenset(
    f"--{name}"
    for name in (
        *("project", "region", "image", "revision-suffix", "tag", "container"),
        *("remove-env-vars", "remove-secrets", "remove-labels"),
    )
)
"""Flags whose values are names, which a message may repeat."""

_FILES = frozenset({"--env-vars-file", "--flags-file"})


def _values(command: Command) -> Iterator[str]:
    """
    What a message of gcloud must not repeat of its own command: the values of flags that are no
    names, words that belong to no flag, and what stands in files, but for the keys there.
    """
    verb = command.verb.split()
    words = command.words[command.words.index(verb[-1]) + 1 :]
    for i, word in enumerate(words):
        flag, equals, told = word.partition("=") if word.startswith("-") else ("", "=", word)
        before = words[i - 1] if i and not flag else ""
        named = flag or before
        if named in _FILES or (verb[-1] == "replace" and not flag and told.endswith(_YAML)):
            yield from _in_file(told)
        elif equals and named not in _NAMING and not (i == 0 and not flag):
            yield from _pieces(told)


_YAML = (".yaml", ".yml", ".json")


def _pieces(told: str) -> Iterator[str]:
    """The values of a list or a dictionary, which may bring a separator of its own."""
    separator = ","
    if told.startswith("^") and "^" in told[1:]:
        separator, _, told = told[1:].partition("^")
    yield told
    for pair in told.split(separator or ","):
        name, _, value = pair.partition("=")
        yield value or name


def _in_file(path: str) -> Iterator[str]:
    """The words of a file that are no keys."""
    try:
        text = files.read(path).decode(errors="replace")
    except InputError:
        return
    keys = set(re.findall(r"""([^\s"',{}\[\]]+)["']?\s*[:=]""", text))
    yield from set(re.split(r"""[\s:,"'{}\[\]=]+""", text)) - keys


def settings(words: Sequence[str]) -> tuple[str, str]:
    """
    The project and region that gcloud itself is set to, each empty where it is not. Nothing is
    asked over the network.
    """
    found = shutil.which(words[0])
    if found is None:
        raise _no_gcloud()
    told = subprocess.run(  # noqa: S603  # no shell: what the user calls gcloud
        [found, "config", "list", "--format=json", "--quiet"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    try:
        sections = json.loads(told.stdout)
        project = sections.get("core", {}).get("project", "")
        return str(project), str(sections.get("run", {}).get("region", ""))
    except (ValueError, AttributeError):
        return "", ""
