"""
Whatever is typed for an option or an argument ends with a documented code: nobody's mistake is a defect
of the program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from drift_audit import files
from drift_audit.errors import ExitCode
from tests import forked
from tests.command import SEALED, every_command
from tests.manifests import service

WORDS = {
    "nothing": "",
    "digits": "9" * 5_000,
    "content": "{" + "x" * 5_000 + "}",
    "bytes": "a\udcff",
    "number": "\u0661",
}
"""A file's content where its path was meant is the most common of them."""

NOT_RUN = frozenset({"demo", "emulator", "preview"})
"""They start servers and other programs, and read what they are given by the same options."""

FILE = "service.json"


def lines(path: tuple[str, ...], command: click.Command, word: str) -> Iterator[list[str]]:
    """The command with the word in each of its places, and in the others what it can work with."""
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_flag]
    places = [p for p in command.params if isinstance(p, click.Argument)]
    filled = [FILE for place in places if place.required]
    given = {p.opts[0]: f"{p.opts[0]}=x" for p in options if p.required}
    if any("--input" in p.opts for p in options):
        given["--input"] = f"--input={FILE}"
    for option in options:
        flags = given | {option.opts[0]: f"{option.opts[0]}={word}"}
        yield [*path, *flags.values(), *filled]
    for number in range(len(places)):
        others = [FILE] * max(len(filled), number)
        yield [*path, *given.values(), *others[:number], word, *others[number + 1 :]]


def defects(folder: Path, word: str, first: forked.Act = lambda: None) -> list[str]:
    """The commands with the word that end in no documented way."""
    folder.mkdir()
    (folder / FILE).write_text(json.dumps(service()))
    env = {**SEALED, "PATH": os.environ["PATH"], "HOME": str(folder)}
    env |= dict.fromkeys(("CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"), "127.0.0.1:1")
    found = []
    called = (one for one in every_command() if not isinstance(one[1], click.Group))
    for path, command in called:
        for line in lines(path, command, word) if path[0] not in NOT_RUN else ():
            ended = forked.run(line, folder, env, first=first)
            if ended.code in (1, ExitCode.DEFECT, forked.STUCK) or b"Traceback" in ended.err:
                found.append(f"{ended.code} {' '.join(part[:60] for part in line)}")
    return found


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_no_word_is_a_defect(tmp_path, word):
    """Each word in each place of each command."""
    assert defects(tmp_path / "here", word) == []


def test_control_carelessness_is_a_defect(tmp_path):
    """A program that asks the system as pathlib does, which raises, is caught."""

    def careless() -> None:
        files.is_folder.__code__ = as_pathlib.__code__

    found = defects(tmp_path / "here", WORDS["content"], careless)
    assert any("--input" in line for line in found)


def as_pathlib(path: str) -> bool:
    return Path(path).is_dir()
