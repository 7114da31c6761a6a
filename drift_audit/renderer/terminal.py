"""Lays out text for a terminal of 80 columns, and takes nothing in it for more than text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drift_audit.renderer.encode import visible

WIDTH = 80
HEIGHT = 25


def shown(text: str, style: str = "") -> Text:
    """Foreign text made visible, in a style of ours."""
    return Text(visible(text), style=style)


class Terminal:
    """What is written line by line; with `color`, in colours of a terminal."""

    def __init__(self, *, color: bool, width: int) -> None:
        self._out = io.StringIO()
        self._console = Console(
            file=self._out,
            width=width,
            height=HEIGHT,  # unless both are given, rich reads COLUMNS and LINES
            color_system="standard" if color else None,
            force_terminal=color,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )

    def line(self, text: Text | None = None) -> None:
        """A line, which wraps; without a text, one that is empty."""
        self._console.print(Text() if text is None else text)

    def title(self, text: str) -> None:
        """An empty line, then what stands above the lines that follow."""
        self.line()
        self.line(shown(text, "bold underline"))

    def rows(self, *rows: Sequence[Text], widths: Sequence[int]) -> None:
        """Narrow cells of some widths, then one that wraps under itself."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for width in widths:
            table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def whole(self, text: str) -> None:
        """A line that is never broken, so that it can be copied: text that is inert already."""
        self._console.print(Text(text), soft_wrap=True)

    @property
    def text(self) -> str:
        """All of it, without the blanks that fill up lines."""
        return "\n".join(line.rstrip() for line in self._out.getvalue().splitlines()) + "\n"
