"""The page over all nights of a store: one file beside them, no script, no request, no clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from drift_audit import __version__
from drift_audit.night import Glance
from drift_audit.renderer import course, told
from drift_audit.renderer.course import Course, Matrix
from drift_audit.renderer.templates import for_html


def render(courses: Sequence[Course], base: str = "") -> str:
    """
    The page of the nights of each scope, the one that was audited last first: at least one. Links
    lead below `base`, from where the page is to the folders of the nights. The newest night is what
    is called now.
    """
    page = for_html().get_template("site.html.j2")
    return page.render(
        courses=courses,
        matrices=_matrices(courses),
        now=courses[0].newest.generated_at,
        base=base,
        course=course,
        complete=complete,
        version=__version__,
    )


def complete(night: Glance, now: dt.datetime) -> str:
    """When everything in scope was seen the last time, and how long that is ago."""
    at = night.complete_at
    if at is None:
        return "none of these nights was complete"
    this = "this night" if at == night.generated_at else ""
    ago = f"{told.span(at, now)} before the newest night" if at < now else ""
    return ", ".join(filter(None, [told.time(at), this, ago]))


def _matrices(found: Sequence[Course]) -> list[Matrix]:
    """A table for each scope: what one leaves of its share of the cells, the next ones have."""
    left = course.MOST_CELLS
    made: list[Matrix] = []
    for i, one in enumerate(found):
        matrix = one.matrix(left // (len(found) - i))
        left -= len(matrix.rows) * len(matrix.columns)
        made.append(matrix)
    return made
