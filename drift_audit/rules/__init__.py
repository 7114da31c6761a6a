"""The rules, one file per family. Importing this package fills `RULES`."""

from drift_audit.rules import (
    access,
    capacity,
    coverage,
    database,
    env,
    fleet,
    groups,
    network,
    references,
    runtime,
    schema,
    secrets,
    settings,
    traffic,
    waivers,
)
from drift_audit.rules.engine import RULES, Case, Fleet, Hit, Rule, judge, judge_fleet

FAMILIES = (
    *(env, secrets, schema, network, database, references, access),
    *(runtime, settings, traffic),
    *(fleet, groups, capacity, coverage, waivers),
)

__all__ = ["FAMILIES", "RULES", "Case", "Fleet", "Hit", "Rule", "judge", "judge_fleet"]
