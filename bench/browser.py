"""
A report opened in a fresh browser: when it is ready, what memory the browser takes, how long a
filter takes. Ready is two frames after the page has loaded, as `performance.md` §7 counts it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.ours import written_page
from bench.programs import FEW, MANY
from bench.tally import Tally, Target
from tests.browser import browser

READY = """
addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.readyAfter = performance.now();
})));
"""
"""Runs before anything of the page does."""

FILTER = """
([text, wanted]) => new Promise((done) => {
  const begun = performance.now();
  const count = document.getElementById("count");
  new MutationObserver(() => {
    if (count.textContent.startsWith(wanted)) {
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
    }
  }).observe(count, {childList: true, characterData: true, subtree: true});
  const words = document.getElementById("words");
  words.value = text;
  words.dispatchEvent(new Event("input", {bubbles: true}));
})
"""
"""From the key that is pressed to the second frame that shows what is left."""


def few(target: Target) -> Tally:
    """A report of a few findings."""
    return _opened(target, FEW)


def many(target: Target) -> Tally:
    """One of very many."""
    return _opened(target, MANY)


def _opened(target: Target, findings: int) -> Tally:
    path = Path(target.folder) / "report.html"
    last = written_page(path, findings)
    with browser() as chromium:
        page = chromium.new_page()
        page.add_init_script(READY)
        page.goto(path.as_uri())
        page.wait_for_function("window.readyAfter")
        ready = page.evaluate("window.readyAfter")
        memory = _memory()
        shown = page.locator("#count").inner_text()
        if shown != f"All {findings} findings are shown.":
            raise SystemExit(f"of {findings} findings: {shown}")
        filtered = page.evaluate(FILTER, [last, "1 of "])
    return Tally(wall=ready / 1000, memory=memory, filtered=filtered)


def _memory() -> float:
    """What all processes of the browser take, in MB, each its share of what they have in common."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # it ended meanwhile
    own = {str(Path("/proc/self").resolve().name)}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    return sum(_share(Path("/proc", one)) for one in own) / 1024


def _share(process: Path) -> int:
    try:
        if "chrom" not in (process / "comm").read_text():
            return 0
        found = re.search(r"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
