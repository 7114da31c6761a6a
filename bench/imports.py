"""
What a command imports, as the interpreter itself tells.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from bench import place
from bench.backend import ROOT, Backend
from bench.sides import environment

HEAVY = frozenset({"google", "grpc", "deepdiff", "pydantic", "jinja2"})
LIVE = frozenset({"grpc", "deepdiff"})
"""What a comparison of files has no use for when nothing changed."""


def heavy(backend: Backend, folder: Path) -> list[str]:
    """What is imported and should not be, one line for each; none is as it should be."""
    before, after = _same(backend, folder)
    compared = ["compare", before, after, "--no-config"]
    commands = [
        (["--help"], HEAVY),
        (["--version"], HEAVY),
        (["explain", "key-lost"], HEAVY),
        (compared, LIVE),
    ]
    told = []
    for arguments, banned in commands:
        found = sorted(imported(arguments, folder) & banned)
        if found:
            shown = " ".join(Path(word).name for word in arguments)
            told.append(f"drift-audit {shown} imports {', '.join(found)}")
    return told


def imported(arguments: list[str], folder: Path) -> set[str]:
    """The top-level names of everything that one command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "drift_audit", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"drift-audit {' '.join(arguments)} ended with {done.returncode}")
    return {name.partition(".")[0] for name in re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE)}


def _same(backend: Backend, folder: Path) -> tuple[str, str]:
    """Two revisions that differ in nothing but their names, as files."""
    backend.change(latency=0.0, touched=0, hole=False)
    _, _, newest = backend.facts()["latest"][0]
    path = f"/apis/serving.knative.dev/v1/namespaces/{place.PROJECT}/revisions/{newest}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{backend.web}{path}") as answer:
        document = json.load(answer)
    files = folder / "before.json", folder / "after.json"
    files[0].write_text(json.dumps(document))
    document["metadata"] |= {"name": f"{newest}x", "uid": f"{document['metadata']['uid'][:-1]}0"}
    files[1].write_text(json.dumps(document))
    assert (ROOT / "drift_audit").is_dir()
    return str(files[0]), str(files[1])
