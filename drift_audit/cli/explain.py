"""`drift-audit explain`: the rules in words."""

from __future__ import annotations

import difflib
import textwrap

import click

from drift_audit.cli.output import echo
from drift_audit.errors import CommandError


@click.command(short_help="Explain a rule: what is wrong, why it matters, how to fix it.")
@click.argument("rule", required=False)
def command(rule: str | None) -> None:
    """
    Explain one RULE, or list them all.

    \b
    drift-audit explain key-lost
    """
    from drift_audit.rules import FAMILIES, RULES

    if rule is None:
        for family in FAMILIES:
            name = family.__name__.rpartition(".")[2]
            echo(f"{name}\n")
            for one in (r for r in RULES.values() if r.family == name):
                echo(f"  {one.severity.word:<9} {one.id}\n")
        return
    if rule not in RULES:
        close = difflib.get_close_matches(rule, RULES, n=1)
        hint = f"did you mean {close[0]}?" if close else "drift-audit explain lists all rules"
        raise CommandError(f"there is no rule {rule}", hint=hint)
    one = RULES[rule]
    needs = f"Needs: {', '.join(sorted(one.needs))}" if one.needs else ""
    parts = [f"{one.id} ({one.severity.word})", one.what, one.why, f"Fix: {one.fix}", needs]
    echo("\n\n".join(textwrap.fill(part, 79) for part in parts if part) + "\n")
