"""
The report itself, canonical: sorted keys, ASCII, and no character that a page or shell acts on.
"""

from __future__ import annotations

import json
import re
from typing import Any

from drift_audit.report import Report
from drift_audit.snapshot import Frozen

_ACTIVE = re.compile("[<>&\x7f`|]")


def render(report: Report) -> str:
    """The document that `drift-audit render` reads back."""
    return canonical(report.model_dump(mode="json"))


def line(model: Frozen) -> str:
    """A model as JSON on one line, inert like the rest."""
    text = model.model_dump_json(ensure_ascii=True)
    return _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def canonical(document: Any) -> str:
    """A document as JSON that is the same bytes for the same content."""
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    return _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
