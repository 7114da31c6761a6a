"""`drift-audit attach`: a stored report on a ticket, or what is new in it in a chat."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from drift_audit.cli.echo import echo
from drift_audit.cli.notice import listen, notice
from drift_audit.cli.options import Function, together
from drift_audit.cli.stored import stored_report
from drift_audit.errors import CommandError
from drift_audit.finding import WORDS, Severity

if TYPE_CHECKING:
    from drift_audit.report import Report
    from drift_audit.sinks.door import Target
    from drift_audit.sinks.letter import Letter
    from drift_audit.sinks.notify import Kind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_TOKEN = re.compile(r"[!-~]{1,4096}")

_report = click.argument("report", metavar="REPORT|gs://...")
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what would be sent, and send nothing."
)


def _ticket(variable: str) -> Callable[[Function], Function]:
    """What the commands for tickets share; the server may stand in a variable."""
    return together(
        click.option("--url", metavar="URL", envvar=variable, help=f"The server. [{variable}]"),
        click.option(
            "--name",
            metavar="NAME",
            help="What the report is about; the next of that name replaces it. [what was audited]",
        ),
        _dry_run,
    )


@click.group(short_help="Put a report on a ticket, or tell a chat what is new in it.")
def command() -> None:
    """
    Put a stored report on a ticket, or tell a chat what is new in it.

    Ends with 0 when it is there, whatever the verdict: audit and compare have told that. With 5
    when it could not be put there; the report stays where it is. Tokens come from the environment.

    \b
    drift-audit attach github report.json acme/shop#12
    drift-audit attach notify gs://audits/prod/report.json ops
    """
    listen("error")


@command.command(short_help="Comment on a pull request or an issue.")
@_report
@click.argument("target", metavar="OWNER/REPO#NUMBER")
@_ticket("GITHUB_API_URL")
def github(report: str, target: str, url: str | None, name: str | None, dry_run: bool) -> None:
    """
    Comment on a pull request or an issue of GitHub, with the token in GITHUB_TOKEN.

    The comment has a marker that nobody sees: the next report about the same replaces it, where the
    same account wrote it.

    \b
    drift-audit attach github report.json acme/shop#12
    """
    from drift_audit.renderer.markdown import render
    from drift_audit.sinks import github as sink
    from drift_audit.sinks.letter import reference

    stored = stored_report(report)
    to, ref = sink.target(target, url or sink.HOME), reference(stored, _named(name))
    room = sink.BUDGET - len(sink.body(ref, ""))
    comment = sink.body(ref, render(stored, room))
    if dry_run:
        _show(to, comment)
        return
    notice(sink.attach(to, ref, comment, _secret("GITHUB_TOKEN")))


@command.command(short_help="Comment on an issue, and attach the page.")
@_report
@click.argument("target", metavar="ISSUE")
@_ticket("JIRA_URL")
def jira(report: str, target: str, url: str | None, name: str | None, dry_run: bool) -> None:
    """
    Comment on an issue of Jira, and attach the report as a page.

    As JIRA_USER with JIRA_API_TOKEN (Cloud), or with JIRA_TOKEN alone (Data Center).

    \b
    drift-audit attach jira report.json OPS-123 --url=https://acme.atlassian.net
    """
    from drift_audit.sinks import jira as sink

    stored = stored_report(report)
    to = sink.target(target, _server(url, "JIRA_URL"))
    letter = _letter(stored, name, sink.BUDGET - len(sink.body("")))
    if dry_run:
        _show(to, sink.body(letter.text), letter)
        return
    user = os.environ.get("JIRA_USER", "")
    secret = _secret("JIRA_API_TOKEN" if user else "JIRA_TOKEN")
    notice(sink.attach(to, letter, user=user, secret=secret))


@command.command(short_help="Write a work note, and attach the page.")
@_report
@click.argument("target", metavar="[TABLE/]NUMBER")
@_ticket("SERVICENOW_URL")
def servicenow(report: str, target: str, url: str | None, name: str | None, dry_run: bool) -> None:
    """
    Write a work note on a record of ServiceNow, and attach the report as a page.

    With SERVICENOW_TOKEN, or as SERVICENOW_USER with SERVICENOW_PASSWORD. A number without a table
    is that of an incident. Notes cannot be changed: each report has one.

    \b
    drift-audit attach servicenow report.json INC0010001 --url=https://acme.service-now.com
    """
    from drift_audit.sinks import servicenow as sink

    stored = stored_report(report)
    to = sink.target(target, _server(url, "SERVICENOW_URL"))
    letter = _letter(stored, name, sink.BUDGET)
    if dry_run:
        _show(to, letter.text, letter)
        return
    token, user = (os.environ.get(f"SERVICENOW_{part}", "") for part in ("TOKEN", "USER"))
    account = sink.login(
        token=_secret("SERVICENOW_TOKEN") if token or not user else "",
        user=user,
        password="" if token or not user else _secret("SERVICENOW_PASSWORD", any_text=True),
    )
    notice(sink.attach(to, letter, account))


@command.command(short_help="Tell chats, pagers or mail what is new.")
@_report
@click.argument("target", metavar="NAME")
@click.option("--all", "everything", is_flag=True, help="Tell all that is open, new or not.")
@click.option(
    "--min-severity",
    type=click.Choice(WORDS),
    default="info",
    help="Lowest severity that is worth a message. [info]",
)
@_dry_run
def notify(report: str, target: str, everything: bool, min_severity: str, dry_run: bool) -> None:
    """
    Send a message through apprise: Slack, Teams, PagerDuty, mail and others.

    Of a report of nights (audit --night) only what is new is told, and nothing is sent where
    nothing is. What was not seen is always told. The addresses hold tokens, so they stand in a
    variable, one beside the other: those of `ops` in DRIFT_AUDIT_NOTIFY_OPS.

    \b
    drift-audit attach notify report.json ops
    """
    from drift_audit.night import news
    from drift_audit.renderer import message
    from drift_audit.sinks import notify as sink

    stored = stored_report(report)
    variable = sink.variable(target)
    found = message.open_findings(stored) if everything else news(stored)
    worth = [one for one in found if one.severity >= Severity[min_severity.upper()]]
    if not worth and not everything and stored.verdict != "incomplete":
        notice(f"{target}: nothing is new, and nothing was sent")
        return
    title = f"drift-audit: {stored.verdict}"

    def body(budget: int) -> str:
        return message.render(stored, worth, budget=budget)

    if dry_run:
        echo(f"to {target}\n\n{title}\n\n{body(sink.BUDGET)}")
        return
    addresses = _secret(variable, any_text=True).split()
    notice(sink.send(target, addresses, title, body, _kind(stored)))


def _kind(report: Report) -> Kind:
    """How loud the message is: what fails a run, or is not seen, is a failure."""
    if report.verdict == "clean":
        return "success"
    return "failure" if report.exit_code else "warning"


def _letter(report: Report, name: str | None, budget: int) -> Letter:
    """The short text and the page of a report."""
    from drift_audit.renderer import html, message
    from drift_audit.sinks.letter import Letter, file_name, reference

    ref = reference(report, _named(name))
    file = file_name(report, ref)
    text = message.render(report, budget=budget, most=25, last=f"the whole report: {file}")
    return Letter(ref=ref, text=text, name=file, page=html.render(report))


def _show(to: Target, text: str, letter: Letter | None = None) -> None:
    """What would be sent, on standard output."""
    size = len(letter.page.encode("utf-8", "surrogatepass")) if letter else 0
    page = f"attachment: {letter.name}, {size} bytes\n" if letter else ""
    echo(f"to {to.place} on {to.service}, {to.url}\n{page}\n{text}")


def _named(name: str | None) -> str:
    if name is not None and _NAME.fullmatch(name) is None:
        raise CommandError("--name is not letters, digits, dots, hyphens and slashes")
    return name or ""


def _server(url: str | None, variable: str) -> str:
    if not url:
        raise CommandError("no server to attach to", hint=f"give --url, or set {variable}")
    return url


def _secret(variable: str, *, any_text: bool = False) -> str:
    """What a variable holds. Raises CommandError, which never repeats it."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise CommandError(f"{variable} is not set", hint=f"export {variable}=...")
    if not any_text and _TOKEN.fullmatch(found) is None:
        raise CommandError(f"{variable} holds no token: it has blanks, or letters that none has")
    return found
