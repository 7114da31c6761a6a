"""`drift-audit explain`: the rules in words."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

import drift_audit
from drift_audit.cli.echo import echo
from drift_audit.errors import CommandError

TEXTS = f"{drift_audit.__path__[0]}/rules/rules.json"
"""What the rules say of themselves, written by `make docs`: to load the rules takes far longer."""


@click.command(short_help="Explain a rule: what is wrong, why it matters, how to fix it.")
@click.argument("rule", required=False)
def command(rule: str | None) -> None:
    """
    Explain one RULE, or list them all.

    \b
    drift-audit explain key-lost
    """
    with click.open_file(TEXTS) as file:
        families: dict[str, dict[str, Any]] = json.load(file)
    if rule is None:
        for family, rules in families.items():
            echo(f"{family}\n")
            for id, one in rules.items():
                echo(f"  {one['severity']:<9} {id}\n")
        return
    texts = {id: one for rules in families.values() for id, one in rules.items()}
    if rule not in texts:
        from difflib import get_close_matches

        close = get_close_matches(rule, texts, n=1)
        hint = f"did you mean {close[0]}?" if close else "drift-audit explain lists all rules"
        raise CommandError(f"there is no rule {rule}", hint=hint)
    one = texts[rule]
    needs = f"Needs: {', '.join(one['needs'])}" if one["needs"] else ""
    parts = [f"{rule} ({one['severity']})", one["what"], one["why"], f"Fix: {one['fix']}", needs]
    echo("\n\n".join(textwrap.fill(part, 79) for part in parts if part) + "\n")
