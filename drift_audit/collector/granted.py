"""
Who is granted something by the policy of a resource itself. What its project grants does not show
there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from google.iam.v1 import iam_policy_pb2

from drift_audit.collector.budget import Budget
from drift_audit.collector.pace import Quota


def members(
    resource: str, roles: Collection[str], method: Callable[..., Any], quota: Quota, budget: Budget
) -> frozenset[str]:
    """
    The members that have one of some roles without a condition. Raises Unanswered and Missing.
    """
    request = iam_policy_pb2.GetIamPolicyRequest(resource=resource)
    policy = budget.call(f"get the policy of {resource}", method, request, quota)
    granted = (b for b in policy.bindings if b.role in roles and not b.HasField("condition"))
    return frozenset(member for binding in granted for member in binding.members)
