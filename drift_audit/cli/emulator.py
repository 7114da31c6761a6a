"""`drift-audit emulator`: a world file, served on loopback."""

from __future__ import annotations

import click

from drift_audit.cli.echo import echo
from drift_audit.errors import CommandError

PORT = click.IntRange(0, 65535)


@click.command(short_help="Serve a world file as Cloud Run and Secret Manager on loopback.")
@click.option("--world", required=True, metavar="FILE", help="The world to serve.")
@click.option("--port", type=PORT, default=0, help="Port for gRPC; 0 lets the system choose.")
@click.option("--rest-port", type=PORT, default=0, help="Port for HTTP; 0 lets the system choose.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="RPC:N[+]:KIND",
    help="What happens to the N-th call of an rpc; with + to all from the N-th. Repeatable.",
)
@click.option("--gcloud", is_flag=True, help="Print the variables for gcloud as well.")
def command(world: str, port: int, rest_port: int, faults: tuple[str, ...], gcloud: bool) -> None:
    """
    Serve a world file as Cloud Run and Secret Manager on loopback, over gRPC and HTTP, until
    interrupted.

    The first lines on standard output are the variables that point the clients at it. What gcloud
    deploys there is a new revision for everyone.

    The kinds of faults are the status codes, such as UNAVAILABLE, and

    \b
      reset  reset-midway  hang  slow-drip  truncated  oversize
      empty-page  repeated-token  token-cycle  duplicated-page  permuted-pages
      changed-duplicate  early-end  unreachable  expired-token
      generation-bump  unknown-field  permission-flip  expired-credential
      "RESOURCE_EXHAUSTED with RetryInfo"

    \b
    drift-audit emulator --world world.yaml --port 8085
    drift-audit emulator --world world.yaml --fault Services/ListServices:1:hang
    """
    from drift_audit.emulator.faults import Fault
    from drift_audit.emulator.gcloud import environment
    from drift_audit.emulator.server import Emulator
    from drift_audit.emulator.world import load_world

    try:
        planned = [Fault.parse(text) for text in faults]
    except ValueError as error:
        raise CommandError(f"--fault: {error}", hint="drift-audit emulator --help") from None
    with Emulator(load_world(world), port, rest_port, faults=planned) as emulator:
        told = {
            "CLOUD_RUN_EMULATOR_HOST": emulator.address,
            "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
            "CLOUD_RUN_EMULATOR_REST_HOST": emulator.rest,
        }
        if gcloud:
            told |= {"CLOUDSDK_CONFIG": '"$(mktemp -d)"', **environment(emulator.rest)}
        echo("".join(f"export {name}={value}\n" for name, value in told.items()))
        emulator.wait()
