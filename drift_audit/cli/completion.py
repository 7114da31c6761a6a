"""`drift-audit completion`: for shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from drift_audit.cli.echo import echo


@click.command(short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """
    Print the completion script for a shell.

    \b
    eval "$(drift-audit completion bash)"
    """
    from drift_audit.cli import cli

    completion = get_completion_class(shell)
    assert completion is not None
    echo(completion(cli, {}, "drift-audit", "_DRIFT_AUDIT_COMPLETE").source() + "\n")
