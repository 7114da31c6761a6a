"""`drift-audit snapshot`: collect only."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from drift_audit import names
from drift_audit.cli import keys, options
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import notice
from drift_audit.cli.output import finish
from drift_audit.cli.progress import progress
from drift_audit.cli.subject import Scope, find_patterns, find_policy, open_source, sealer
from drift_audit.errors import ExitCode
from drift_audit.renderer.encode import legible

if TYPE_CHECKING:
    from drift_audit.collector.cloud_run import Depth
    from drift_audit.snapshot import Snapshot, Unseen


@click.command(short_help="Collect revisions and write them down, sealed.")
@options.scope
@options.policy
@options.detect
@click.option(
    "--all-revisions", is_flag=True, help="Every revision, not only those that serve or are newest."
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Keep the names of secrets, and do not ask what their versions are.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of standard output.")
@click.option(
    "--print-gcloud",
    is_flag=True,
    help="Print the gcloud commands that collect the same, for someone else.",
)
@options.talk
def command(**given: Any) -> None:
    """
    Collect revisions and write them as JSON, with plain values sealed under the lasting key.

    The exit code is 3 when something in scope could not be read; what was read is written all the
    same.

    \b
    drift-audit snapshot --project=shop-prod --region=europe-west1 -o all.json
    drift-audit snapshot --print-gcloud --project=shop-prod --service=api
    """
    policy = find_policy(given["config"], no_config=given["no_config"])
    if given["print_gcloud"]:
        scope = Scope.given(policy, given, lambda *_: None)
        echo("".join(f"{line}\n" for line in _gcloud(scope)))
        if set(scope.asked.kinds) - {"service"}:
            notice("worker pools and jobs are not in these: audit them live")
        return
    bare = given["without_literals"]
    key = None if bare else keys.for_storing(quiet=given["quiet"])
    patterns = find_patterns(policy, detect=given["detect"])
    seal = sealer(policy, given["reveal"], without_literals=bare, key=key, patterns=patterns)
    missed: list[Unseen] = []
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        depth: Depth = "names" if given["without_secrets"] else "versions"
        source = open_source(Scope.given(policy, given, tell), seal, secrets=depth)
        read = source.every() if given["all_revisions"] else source.collect().contents()
        written = _write(given["output"], _kept(read, missed))
    for one in missed:
        notice(f"not seen: {one.where}: {one.reason}")
    if not written:
        notice("nothing was collected")
    finish(ExitCode.INCOMPLETE if missed or not written else ExitCode.CLEAN)


def _kept(read: Iterable[Snapshot | Unseen], missed: list[Unseen]) -> Iterator[Snapshot]:
    """The revisions alone; what was not seen of them, or instead of them, is added to `missed`."""
    from drift_audit.snapshot import Snapshot

    for one in read:
        if isinstance(one, Snapshot):
            missed.extend(one.seen.unseen)
            yield one
        else:
            missed.append(one)


def _write(path: str | None, snapshots: Iterable[Snapshot]) -> int:
    """A JSON list with one revision on each line, written as they come; tells how many."""
    from drift_audit import files
    from drift_audit.renderer.json import Lines

    written, told = 0, Lines()

    def lines() -> Iterator[str]:
        nonlocal written
        for written, snapshot in enumerate(snapshots, 1):
            yield ("[" if written == 1 else ",") + "\n" + told.line(snapshot)
        yield "\n]\n" if written else "[]\n"

    if path:
        files.write_parts(path, lines())
    else:
        for part in lines():
            echo(part)
    return written


def _gcloud(scope: Scope) -> Iterator[str]:
    """
    The commands whose output `--input` reads: of the services that are named, or of all where none
    is, or a glob.
    """
    projects, regions = scope.projects or ("PROJECT",), scope.regions or ("REGION",)
    named = () if any(map(names.is_glob, scope.services)) else scope.services
    several = len(projects) * len(regions) > 1
    for project, region in product(projects, regions):
        prefix = f"{project}.{region}." if several else ""
        where = f"--project={project}", f"--region={region}"
        for name in named:
            yield _command("run services describe", name, *where, to=f"{prefix}{name}.service")
            yield _command(
                "run revisions list", f"--service={name}", *where, to=f"{prefix}{name}.revisions"
            )
        if not named:
            yield _command("run services list", *where, to=f"{prefix}services")
            yield _command("run revisions list", *where, to=f"{prefix}revisions")
    for project in projects:
        to = f"{project}.SECRET.versions" if several else "SECRET.versions"
        yield _command("secrets versions list SECRET", f"--project={project}", to=to)


def _command(what: str, *arguments: str, to: str) -> str:
    """One command as a shell takes it, whatever the names hold."""
    words = " ".join(map(shlex.quote, arguments))
    return legible(f"gcloud {what} {words} --format=json > {shlex.quote(to + '.json')}")
