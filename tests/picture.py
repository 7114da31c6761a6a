"""`python -m tests.picture`: the picture of the demo's report in the README, taken by the browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.browser import browser, opened
from tests.command import run

PICTURE = Path(__file__).parents[1] / "docs" / "report.png"
SIZE = {"width": 1040, "height": 1000}


def main() -> None:
    """Run the demo, open its page, and keep what is seen first."""
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        assert run("demo", cwd=folder).code == 0
        with opened(chromium, folder / "report.html", viewport=SIZE, color_scheme="light") as found:
            found.page.screenshot(path=str(PICTURE))


if __name__ == "__main__":
    main()
