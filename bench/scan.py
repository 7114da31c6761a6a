"""
The scan that an index is held against: every line that is kept, unpacked and read as JSON.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from bench.tally import Tally, Target


def lost_as_kept(target: Target) -> Tally:
    """Which revisions lost a key: the one before had it. Nothing is checked, and no model made."""
    tally = Tally()
    for path in Path(target.folder).rglob("*.revisions.jsonl.gz"):
        lines = gzip.decompress(path.read_bytes().partition(b"\n")[2]).splitlines()
        had, tally.services = False, tally.services + 1
        tally.canonical += sum(map(len, lines))
        for one in map(json.loads, lines):
            has = any(binding["key"] == target.key for binding in one["bindings"])
            if had and not has:
                who = one["identity"]
                tally.lost.append(f"{who['service']} {target.key} {who['revision']}")
            had, tally.revisions = has, tally.revisions + 1
    tally.lost.sort()
    return tally
