"""`drift-audit init`: what a team starts from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from drift_audit.cli import deployment, keys
from drift_audit.cli.notice import notice
from drift_audit.cli.options import Listed, flat
from drift_audit.errors import CommandError
from drift_audit.policy import FILE


@click.command(short_help="Write a policy and a key to start from, or a deployment.")
@click.option(
    "--with",
    "kinds",
    multiple=True,
    type=Listed(),
    metavar="KIND",
    help=f"Write what deploys it: {', '.join(deployment.KINDS)}; repeat it or give a comma list.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Folder to write into, the root of a repository. [.]",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--no-key", is_flag=True, help="Create no key.")
def command(kinds: tuple[tuple[str, ...], ...], into: Path, force: bool, no_key: bool) -> None:
    """
    Write drift-audit.toml, and create the key that seals baselines if there is none.

    With --with, write the files of a deployment instead: the policy comes along where none is
    there, and no key is created, because a deployment has its own. Nothing that is there is
    replaced without --force, and never the policy.

    \b
    drift-audit init
    drift-audit init --with=terraform,github
    """
    if kinds:
        _deployment(flat(kinds), into, force=force)
    else:
        _policy(into, force=force)
        if not no_key:
            _key()


def _deployment(wanted: tuple[str, ...], into: Path, *, force: bool) -> None:
    unknown = [kind for kind in wanted if kind not in deployment.KINDS]
    if unknown or not wanted:
        raise CommandError(
            f"--with: no such deployment: {', '.join(unknown) or 'nothing is named'}",
            hint=f"one or more of {', '.join(deployment.KINDS)}",
        )
    for one in deployment.planned(wanted, into, force=force):
        if one.there:
            notice(f"{one.path} is there already")
        else:
            deployment.write(one.path, one.text)
            notice(f"wrote {one.path}")
    if not os.path.lexists(into / FILE):
        _policy(into, force=False)
    steps = (deployment.KINDS[kind].then for kind in wanted)
    notice("next, after a look at what each file says at its beginning:", *steps)


def _policy(into: Path, *, force: bool) -> None:
    from drift_audit import files

    path = into / FILE
    if os.path.lexists(path) and not force:
        raise CommandError(f"{path} is there already", hint="drift-audit init --force replaces it")
    deployment.write(path, (files.shipped("templates") / FILE).read_text())
    notice(f"wrote {path}")


def _key() -> None:
    if keys.there():
        notice("a key to seal baselines with is there already")
    else:
        keys.create()
