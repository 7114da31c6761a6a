"""
`python -m tests.exemptions FILE --today=DAY`: weaknesses of dependencies that the audit may pass, as words
for pip-audit, one a line.

Each entry of the file has an `id`, a `reason` and the last day `until` which it holds, at most 90 days
away. One that is over, or that says less or more, ends with 1, and no word is printed: what was once
decided for a while must be decided again. It needs nothing but Python, so that it runs before anything
is installed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = dt.timedelta(days=90)
FIELDS = {"id", "reason", "until"}
ADVISORY = re.compile(r"CVE-\d{4}-\d{4,}|PYSEC-\d{4}-\d+|GHSA(-[0-9a-z]{4}){3}")


def problems(entries: list[dict[str, Any]], today: dt.date) -> Iterator[str]:
    """What is wrong with the exemptions on that day, entry by entry."""
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        who, until = entry.get("id"), entry.get("until")
        where = f"exemption {number}"
        if entry.keys() != FIELDS:
            yield f"{where}: not exactly {', '.join(sorted(FIELDS))}"
        elif not isinstance(who, str) or ADVISORY.fullmatch(who) is None:
            yield f"{where}: not the id of an advisory: CVE-, GHSA- or PYSEC-"
        elif who in seen:
            yield f"{where}: {who} stands there twice"
        elif not isinstance(entry["reason"], str) or not entry["reason"].strip():
            yield f"{where}: no reason for {who}"
        elif type(until) is not dt.date:
            yield f"{where}: until is not a day, as 2027-01-31"
        elif until < today:
            yield f"{where}: {who} was exempt until {until}: mend it, or decide again"
        elif until > today + LONGEST:
            yield f"{where}: {who} is exempt for more than {LONGEST.days} days, until {until}"
        seen.add(str(who))


def main() -> int:
    """Print the words; the exit code is 1 where an exemption does not hold."""
    parser = argparse.ArgumentParser(description="exemptions as words for pip-audit")
    parser.add_argument("file", type=Path)
    parser.add_argument("--today", type=dt.date.fromisoformat, required=True)
    asked = parser.parse_args()
    document = tomllib.loads(asked.file.read_text())
    entries = document.get("exemption", [])
    if document.keys() - {"exemption"} or not isinstance(entries, list):
        found = [f"{asked.file}: holds something else than [[exemption]]"]
    else:
        found = list(problems(entries, asked.today))
    if found:
        print(*found, sep="\n", file=sys.stderr)
        return 1
    for entry in entries:
        print(f"--ignore-vuln={entry['id']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
