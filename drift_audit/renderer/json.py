"""
The report itself, canonical: sorted keys, ASCII, and no character that a page or shell acts on.
"""

from __future__ import annotations

import json
from typing import Any

from drift_audit.report import Report

_INERT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\x7f`|"}


def render(report: Report) -> str:
    """The document that `drift-audit render` reads back."""
    return canonical(report.model_dump(mode="json"))


def canonical(document: Any) -> str:
    """A document as JSON that is the same bytes for the same content."""
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    return text.translate(_INERT) + "\n"
