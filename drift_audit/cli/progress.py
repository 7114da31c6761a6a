"""Progress on standard error, for people only: nothing when it is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drift_audit.cli.notice import structured

Tell = Callable[[str, int, int], None]


@contextmanager
def progress(choice: str, *, quiet: bool) -> Iterator[Tell]:
    """A function that shows how far the collection got, while the block runs."""
    silent = quiet or choice == "off" or structured()  # a bar is no line of a log
    if silent or (choice == "auto" and not sys.stderr.isatty()):
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, force_terminal=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    # standard output is not rich's to redirect: what a command prints meanwhile goes there
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield tell
