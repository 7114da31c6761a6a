"""One comparison of two sides, as the flags of a command say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from drift_audit.cli.nights import stale
from drift_audit.cli.output import now
from drift_audit.cli.progress import progress
from drift_audit.cli.stores import open_ledger, open_store
from drift_audit.cli.subject import (
    Scope,
    find_patterns,
    find_policy,
    notes,
    sealer,
    secret_depth,
    threshold,
)
from drift_audit.snapshot import Unseen

if TYPE_CHECKING:
    from drift_audit.cli.revisions import Sides, Words
    from drift_audit.report import Report


def compared(flags: Mapping[str, Any], find: Callable[[Words], Sides]) -> Report:
    """
    The report of a comparison whose two sides `find` finds, with what reads words for revisions.
    Raises what that does, and PolicyError.
    """
    from drift_audit.audit import Audit
    from drift_audit.cli.revisions import Words
    from drift_audit.past import NoPast
    from drift_audit.rules.schema import violations

    policy = find_policy(flags["config"], no_config=flags["no_config"])
    patterns = find_patterns(policy, detect=flags["detect"])
    bare = flags["without_literals"]
    seal = sealer(policy, flags["reveal"], without_literals=bare, patterns=patterns)
    pasts = open_ledger(flags["store"]) or NoPast()
    with progress(flags["progress"], quiet=flags["quiet"]) as tell:
        words = Words(
            scope=Scope.given(policy, flags, tell),
            seal=seal,
            store=open_store(flags["store"]),
            violations=lambda revision: violations(revision, policy, now().date()),
            pasts=pasts,
            depth=secret_depth(flags),
        )
        sides = find(words)
        old = stale(flags, sides.pair.candidate.address)
        blind = [Unseen(where=f"the nights in {flags['store']}", reason=old)] if old else []
        inventory = sides.inventory
        if flags["strict_age"]:
            inventory = inventory.but(unseen=(*inventory.unseen, *blind))
        audit = Audit(
            policy=policy,
            now=now(),
            fail_on=threshold(policy, flags["fail_on"]),
            notes=[*notes(flags, patterns), *sides.notes, *([old] if old else [])],
            patterns=seal.patterns,
            pasts=pasts,
        )
        return audit.compare(inventory, sides.source, sides.pair)
