"""`drift-audit emulator`: a world file, served on loopback."""

from __future__ import annotations

import click

from drift_audit.cli.output import echo


@click.command(short_help="Serve a world file as Cloud Run and Secret Manager on loopback.")
@click.option("--world", required=True, metavar="FILE", help="The world to serve.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 lets the system choose."
)
def command(world: str, port: int) -> None:
    """
    Serve a world file as Cloud Run v2 and Secret Manager v1, over gRPC on loopback, until
    interrupted.

    The first lines on standard output are the variables that point the clients at it.

    \b
    drift-audit emulator --world world.yaml --port 8085
    """
    from drift_audit.emulator.server import Emulator
    from drift_audit.emulator.world import load_world

    with Emulator(load_world(world), port) as emulator:
        for name in ("CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"):
            echo(f"export {name}={emulator.address}\n")
        emulator.wait()
