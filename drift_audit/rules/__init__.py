"""The rules, one file per family. Importing this package fills `RULES`."""

from drift_audit.rules import (
    access,
    coverage,
    database,
    env,
    fleet,
    groups,
    network,
    runtime,
    schema,
    secrets,
    settings,
    traffic,
    waivers,
)
from drift_audit.rules.engine import RULES, Case, Fleet, Hit, Rule, judge, judge_fleet

FAMILIES = (
    *(env, secrets, schema, network, database, access, runtime, settings, traffic),
    *(fleet, groups, coverage, waivers),
)

__all__ = ["FAMILIES", "RULES", "Case", "Fleet", "Hit", "Rule", "judge", "judge_fleet"]
