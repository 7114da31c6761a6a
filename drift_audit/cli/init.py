"""`drift-audit init`: what a team starts from."""

from __future__ import annotations

import os

import click

from drift_audit.cli import keys
from drift_audit.cli.notice import notice
from drift_audit.errors import CommandError
from drift_audit.policy import FILE


@click.command(short_help="Write a policy to start from, and a key to seal baselines.")
@click.option("--force", is_flag=True, help="Replace a policy that is there.")
@click.option("--no-key", is_flag=True, help="Create no key.")
def command(force: bool, no_key: bool) -> None:
    """
    Write drift-audit.toml into this folder, and create the key that seals baselines if there is
    none.

    \b
    drift-audit init
    """
    from drift_audit import files

    if os.path.lexists(FILE) and not force:
        raise CommandError(f"{FILE} is there already", hint="drift-audit init --force replaces it")
    files.write(FILE, (files.shipped("templates") / FILE).read_text())
    notice(f"wrote {FILE}")
    if no_key:
        return
    if keys.there():
        notice("a key to seal baselines with is there already")
    else:
        keys.create()
