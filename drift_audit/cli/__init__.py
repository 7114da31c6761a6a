"""The command line. One file per command; each parses, calls one function, prints, and exits."""

from __future__ import annotations

from importlib import import_module

import click

from drift_audit import __version__

COMMANDS = {
    "demo": "Audit a built-in example over real gRPC and write its report.",
    "audit": "Audit every service in scope against its last known good.",
    "compare": "Compare two revisions of one service, live or from files.",
    "preview": "Tell what a command of gcloud would do, before it does it.",
    "history": "Tell which deploy set, changed and lost each key.",
    "snapshot": "Collect revisions and write them down, sealed.",
    "baseline": "List, show, promote and verify baselines.",
    "seal": "Seal every baseline of a store with a new key.",
    "schema": "What an application's own settings require; JSON Schemas.",
    "merge": "Join the parts of a run into one report.",
    "render": "Render a stored report again, or all nights of a store as one page.",
    "attach": "Put a report on a ticket, or tell a chat what is new in it.",
    "explain": "Explain a rule: what is wrong, why it matters, how to fix it.",
    "doctor": "Tell what an audit lacks, and the command that fixes it.",
    "init": "Write a policy and a key to start from, or a deployment.",
    "emulator": "Serve a world file as Cloud Run and Secret Manager on loopback.",
    "completion": "Print the completion script for a shell.",
}
"""Every command and its help line. A command is imported when it is called, not before."""


class Commands(click.Group):
    """A group whose commands are loaded one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"drift_audit.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="drift-audit")
def cli() -> None:
    """
    What a deploy did to the configuration of your Cloud Run services.

    \b
    drift-audit demo
    drift-audit audit --project=shop-prod --region=europe-west1
    drift-audit compare before.yaml after.yaml
    """
