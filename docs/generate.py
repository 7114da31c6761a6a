"""Writes docs/rules.md, docs/cases.md, docs/cli.md and the texts of `explain`; a test compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from drift_audit import strict
from drift_audit.__main__ import HELP_WIDTH
from drift_audit.cli import cli
from drift_audit.rules import FAMILIES, RULES, Rule

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "cases"
WIDTH = HELP_WIDTH - 2


def rules() -> str:
    """Every rule by family: what is wrong, why it matters, how to fix it, and its cases."""
    lines = ["# Rules", "", f"{len(RULES)} rules. `drift-audit explain RULE` prints the same.", ""]
    for family in FAMILIES:
        name = family.__name__.rpartition(".")[2]
        about = (family.__doc__ or "").strip()
        lines += [f"## {name}", "", about, ""]
        for rule in (r for r in RULES.values() if r.family == name):
            lines += _rule(rule)
    return "\n".join(lines)


def _rule(rule: Rule) -> list[str]:
    cases = sorted(p.stem.replace("-", " ") for p in (CASES / rule.id).glob("*.yaml"))
    needs = [f"Needs {', '.join(sorted(rule.needs))}.", ""] if rule.needs else []
    return [
        f"### {rule.id}",
        "",
        f"Severity: {rule.severity.word}.",
        "",
        rule.what,
        "",
        rule.why,
        "",
        f"Fix: {rule.fix}",
        "",
        *needs,
        f"Cases: {'; '.join(cases)}.",
        "",
    ]


ABOUT_CASES = """# Known cases

What people told in public of configuration that was lost or wrong, and what the audit says of it:
{told} of {all} cases show in a configuration. Each of them has files in `tests/cases/` that name it
as their source, of the rules that speak and of those that must not.
"""


def cases() -> str:
    """What happened to others in public, and the rules that tell it."""
    [known, *_] = strict.load((ROOT / "tests" / "known_cases.yaml").read_text())
    told, others = [], []
    for case, one in known.items():
        about = f"| {case} | {one['what']} |"
        speaks = [*one.get("rules", ()), *(f"not {rule}" for rule in one.get("silent", ()))]
        if speaks:
            told.append(f"{about} {', '.join(speaks)} |")
        else:
            others.append(f"{about} {one['not_seen']} |")
    lines = [
        ABOUT_CASES.format(told=len(told), all=len(known)),
        *("| case | what happened | rules |", "| --- | --- | --- |", *told, ""),
        "The others cannot be told from the configuration of a service:\n",
        *("| case | what happened | why not |", "| --- | --- | --- |", *others, ""),
    ]
    return "\n".join(lines)


def commands() -> str:
    """The help of every command, as the program prints it."""
    lines = ["# Commands", ""]
    for path, command in _walk(cli, "drift-audit"):
        context = click.Context(
            command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"]
        )
        lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def _walk(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found += _walk(inner, f"{path} {name}")
    return found


def texts() -> str:
    """What the rules say of themselves, by family, for `drift-audit explain`."""
    found: dict[str, dict[str, object]] = {}
    for rule in sorted(RULES.values(), key=lambda r: _order(r.family)):
        found.setdefault(rule.family, {})[rule.id] = {
            "severity": rule.severity.word,
            "what": rule.what,
            "why": rule.why,
            "fix": rule.fix,
            "needs": sorted(rule.needs),
        }
    return json.dumps(found, indent=1) + "\n"


def _order(family: str) -> int:
    return [module.__name__.rpartition(".")[2] for module in FAMILIES].index(family)


PAGES = {
    "docs/rules.md": rules,
    "docs/cases.md": cases,
    "docs/cli.md": commands,
    "drift_audit/rules/rules.json": texts,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
        sys.stdout.write(f"wrote {name}\n")
