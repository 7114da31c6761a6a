"""The real browser, driven by a test: Debian's Chromium, with no way out of the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ABSENT = "CHROMIUM IS NOT INSTALLED: no page was looked at in a browser"

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Opened:
    """A page that was opened from a file, what it asked for, and what it said."""

    page: Page
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it is now."""
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": RULES}})
        return [
            f"{one['id']}: {node['target']} {node['html'][:120]}"
            for one in found.response["violations"]
            for node in one["nodes"]
        ]

    def count(self) -> str:
        """What the filter says of how many findings are shown."""
        return self.page.locator("#count").inner_text()


@contextmanager
def browser() -> Iterator[Browser]:
    """One browser for several pages."""
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.getuid() == 0 else []
        )
        try:
            yield launched
        finally:
            launched.close()


@contextmanager
def opened(of: Browser, path: Path, **context: Any) -> Iterator[Opened]:
    """A file, opened in a context of its own."""
    own = of.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
    page = own.new_page()
    found = Opened(page)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("console", lambda message: found.console.append(message.text))
    page.on("pageerror", lambda error: found.console.append(str(error)))
    page.goto(path.as_uri())
    try:
        yield found
    finally:
        own.close()
