"""Options that several commands share, under gcloud's names."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from drift_audit.cli.notice import listen
from drift_audit.finding import NEVER, WORDS
from drift_audit.names import KINDS, PACED, whole_number
from drift_audit.renderer import FORMATS, ROOM

SITE = "site"
"""The format of a whole store."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Listed(click.ParamType[tuple[str, ...]]):
    """A comma list."""

    name = "list"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """The parts of `a,b`."""
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())


class Pace(click.ParamType[tuple[str, int]]):
    """The reads a minute of an API."""

    name = "pace"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        """The parts of `cloud-run=2700`."""
        if isinstance(value, tuple):
            return value
        api, _, reads = value.partition("=")
        number = whole_number(reads)
        if api not in PACED or not number:
            self.fail(
                f"not API=READS, with READS from 1 and API one of {', '.join(PACED)}", param, ctx
            )
        return api, number


class Age(click.ParamType[dt.timedelta]):
    """A length of time: `90m`, `26h`, `2d`."""

    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> dt.timedelta:
        """The time that was written."""
        if isinstance(value, dt.timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", value)
        if found is None:
            self.fail("not a number of minutes, hours or days: 90m, 26h, 2d", param, ctx)
        unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
        return dt.timedelta(**{unit: int(found[1])})


def flat(lists: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Repeated comma lists as one list, without repeats."""
    return tuple(dict.fromkeys(item for items in lists for item in items))


def together(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one decorator, listed in help in the given order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _many(name: str, help: str, envvar: str) -> Any:
    return click.option(
        name, multiple=True, type=Listed(), metavar="NAME", help=help, envvar=envvar
    )


places = together(
    _many(
        "--project", "Project to look at; repeat it or give a comma list.", "DRIFT_AUDIT_PROJECT"
    ),
    _many("--region", "Region; as above. [those that Cloud Run names]", "DRIFT_AUDIT_REGION"),
)

target = together(
    _many("--project", "Where it deploys to, unless it says so. [gcloud's]", "DRIFT_AUDIT_PROJECT"),
    _many("--region", "The same for the region. [gcloud's]", "DRIFT_AUDIT_REGION"),
)
"""The one project and region of a command of gcloud."""

kinds = together(
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        type=click.Choice(KINDS),
        help="What to look at; repeatable. [all of them]",
        envvar="DRIFT_AUDIT_KIND",
    ),
    click.option(
        "--projects-file",
        metavar="FILE|-",
        help="Projects to look at besides, one on each line.",
        envvar="DRIFT_AUDIT_PROJECTS_FILE",
    ),
)

account = together(
    click.option(
        "--impersonate-service-account",
        "impersonate",
        type=Listed(),
        default=(),
        metavar="ACCOUNT[,ACCOUNT...]",
        help="Act as a service account, through a chain if there are several.",
        envvar=[
            "DRIFT_AUDIT_IMPERSONATE_SERVICE_ACCOUNT",
            "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
        ],
    ),
    click.option(
        "--timeout",
        type=click.IntRange(1),
        default=900,
        show_default=True,
        metavar="SECONDS",
        help="Time for collecting; what had no answer by then is not seen.",
        envvar="DRIFT_AUDIT_TIMEOUT",
    ),
    click.option(
        "--pace",
        multiple=True,
        type=Pace(),
        metavar="API=READS",
        help="Reads a minute of cloud-run, secret-manager, resource-manager, sql-admin or"
        " vpc-access; repeatable.",
        envvar="DRIFT_AUDIT_PACE",
    ),
)

inputs = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="FILE|DIR|-",
    help="Read exported files instead of the live API; repeatable.",
)

scope = together(
    places,
    _many(
        "--service",
        "Service, worker pool or job, or glob on names; as above.",
        "DRIFT_AUDIT_SERVICE",
    ),
    kinds,
    inputs,
    account,
)

config = together(
    click.option(
        "--config",
        metavar="FILE",
        help="Policy file. [./drift-audit.toml]",
        envvar="DRIFT_AUDIT_CONFIG",
    ),
    click.option("--no-config", is_flag=True, help="Read no policy file."),
)

policy = together(
    config,
    click.option(
        "--reveal",
        multiple=True,
        type=Listed(),
        metavar="KEY",
        help="Show the plain value of a key; glob, repeatable.",
        envvar="DRIFT_AUDIT_REVEAL",
    ),
    click.option(
        "--without-literals", is_flag=True, help="Leave plain values out of the comparison."
    ),
)

detect = click.option(
    "--detect",
    is_flag=True,
    help="Hold plain values against the patterns of bc-detect-secrets too (extra: detect).",
    envvar="DRIFT_AUDIT_DETECT",
)

check_access = click.option(
    "--check-access",
    is_flag=True,
    help="Look at policies too: who may read the secrets, and who may call the services?",
    envvar="DRIFT_AUDIT_CHECK_ACCESS",
)

read_limits = click.option(
    "--read-limits",
    is_flag=True,
    help="Ask Cloud SQL and Serverless VPC Access what the databases and connectors in use take.",
    envvar="DRIFT_AUDIT_READ_LIMITS",
)

fail_on = click.option(
    "--fail-on",
    type=click.Choice([NEVER, *WORDS]),
    help="Lowest severity that fails the run. [high]",
    envvar="DRIFT_AUDIT_FAIL_ON",
)

store = click.option(
    "--store",
    metavar="DIR|gs://BUCKET/PREFIX",
    default="baselines",
    show_default=True,
    help="Where the baselines are kept.",
    envvar="DRIFT_AUDIT_STORE",
)

run = click.option(
    "--run",
    metavar="NAME",
    help="What the run is called in the store. [the execution of a job, else its time]",
    envvar=["DRIFT_AUDIT_RUN", "CLOUD_RUN_EXECUTION"],
)

merged = click.option(
    "--run",
    metavar="NAME",
    help="The run to join. [the one that was begun last]",
    envvar="DRIFT_AUDIT_RUN",  # the execution of a job that merges is not the run that it joins
)

night = together(
    click.option(
        "--night",
        is_flag=True,
        help="Keep the report in the store under its date, and tell what is new since the last.",
        envvar="DRIFT_AUDIT_NIGHT",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        help="Audit one part of N, for merge to join. [the task of a Cloud Run job]",
        envvar="DRIFT_AUDIT_SHARD",
    ),
    run,
)

audit_age = together(
    click.option(
        "--max-audit-age",
        type=Age(),
        metavar="AGE",
        help="Warn where the last complete audit in the store is older: 90m, 26h, 2d.",
        envvar="DRIFT_AUDIT_MAX_AUDIT_AGE",
    ),
    click.option(
        "--strict-age",
        is_flag=True,
        help="Do not only warn of it: such a gate has not seen everything, and ends with 3.",
        envvar="DRIFT_AUDIT_STRICT_AGE",
    ),
)

color = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours on standard output. [auto]",
    envvar="DRIFT_AUDIT_COLOR",
)

text_or_json = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What goes to standard output.",
)


def _output(formats: tuple[str, ...]) -> Callable[[Function], Function]:
    return together(
        click.option(
            "--format",
            "format_",
            type=click.Choice(formats),
            default="text",
            show_default=True,
            help="What goes to standard output.",
            envvar="DRIFT_AUDIT_FORMAT",
        ),
        click.option(
            "-o",
            "--output",
            "outputs",
            multiple=True,
            metavar="[KIND=]PATH",
            help="Write the report to a file too; kind by suffix; repeatable.",
        ),
        click.option(
            "--for",
            "place",
            type=click.Choice(list(ROOM)),
            help="Keep Markdown within what a place takes; what has no room is counted.",
            envvar="DRIFT_AUDIT_FOR",
        ),
        click.option(
            "--min-severity",
            type=click.Choice(WORDS),
            default="info",
            help="Lowest severity that pages show. [info]",
            envvar="DRIFT_AUDIT_MIN_SEVERITY",
        ),
        color,
    )


output = _output(FORMATS)

output_or_site = _output((*FORMATS, SITE))
"""The same where a page over all nights can be made too."""

talk = together(
    click.option(
        "--progress",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        help="Progress on standard error. [auto]",
        envvar="DRIFT_AUDIT_PROGRESS",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="No prompts, and nothing but errors on stderr."
    ),
    click.option(
        "--verbosity",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="warning",
        help="What is logged on standard error; debug names every call. [warning]",
        envvar="DRIFT_AUDIT_VERBOSITY",
        expose_value=False,
        callback=lambda _context, _option, level: listen(level),
    ),
    click.option(
        "--log-format",
        type=click.Choice(["auto", "text", "json"]),
        default="auto",
        help="What goes to standard error: lines, or JSON. [JSON on Cloud Run]",
        envvar="DRIFT_AUDIT_LOG_FORMAT",
        expose_value=False,  # `drift_audit.__main__` heeds it before anything is parsed
    ),
)

metrics = click.option(
    "--metrics-file",
    metavar="PATH",
    help="Write metrics for Prometheus to a file too (extra: metrics).",
    envvar="DRIFT_AUDIT_METRICS_FILE",
)
