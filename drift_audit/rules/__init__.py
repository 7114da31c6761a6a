"""The rules, one file per family. Importing this package fills `RULES`."""

from drift_audit.rules import coverage, env, fleet, schema, secrets, settings, waivers
from drift_audit.rules.engine import RULES, Case, Fleet, Hit, Rule, judge, judge_fleet

FAMILIES = (env, secrets, schema, settings, fleet, coverage, waivers)

__all__ = ["FAMILIES", "RULES", "Case", "Fleet", "Hit", "Rule", "judge", "judge_fleet"]
