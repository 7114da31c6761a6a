"""
A gate that is intact: two services as their baselines have them and as the policy requires, and a folder
in which it can be broken in one way, run, and looked at.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests import forked, planted
from tests.command import SEALED, environment
from tests.planted import Planted

WHERE = ("--project=shop", "--region=europe-west1", "--timeout=2", "--store=store")
AUDIT = ("audit", *WHERE, "--config=policy.toml", "--require-baseline", "-o", "r.json")
COMPARE = ("compare", "KNOWN_GOOD", "LATEST", *WHERE, "--service=api", "--config=policy.toml", "-o", "r.json")  # fmt: skip
GATES = (AUDIT, COMPARE)
PROMOTE = ("baseline", "promote", *WHERE, "--config=policy.toml", "--by=me")
BASELINES = Path("store") / "shop" / "europe-west1"
BASELINE, OTHER = BASELINES / "api.json", BASELINES / "web.json"

POLICY = """
[scope]
expect = ["shop/europe-west1/api", "shop/europe-west1/web"]
[[service]]
required = {JWT = {from = "secret"}}
[[waiver]]
rule = "image-unpinned"
at = "*"
owner = "me"
reason = "for now"
until = 2026-02-01
"""
FAIL_ON = "--fail-on=low"
"""So that what the waiver forgives would fail the gate without it."""

DAY = 86_400
NOW = 1_768_478_400


def world(**more: Any) -> dict[str, Any]:
    """Two services as they should be."""
    env = {"JWT": {"secret": "jwt", "version": "1"}, "LEVEL": "info"}
    made = {"at": "2026-01-02T08:00:00Z", "image": "r/a", "env": env}
    services = [
        {**planted.PLACE, "service": name, "revisions": [{"name": f"{name}-1", **made}]}
        for name in ("api", "web")
    ]
    secrets = [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}]
    return {"numbers": {"shop": "123456789012"}, "services": services, "secrets": secrets, **more}


@dataclass
class Gate:
    """A folder in which the gate is intact, and what was seen of it when it was not."""

    root: Path
    addresses: str
    figures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    run: Callable[..., forked.Ended] = forked.run
    few: bool = False

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A copy of it, to be broken."""
        folder = self.root / "run"
        shutil.copytree(self.root / "intact", folder, symlinks=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def env(self, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The environment of a run; what is None is not in it."""
        found = {**environment(self.root / "home"), **forked.pointing(self.addresses), **SEALED}
        return {
            name: value for name, value in {**found, **(more or {})}.items() if value is not None
        }

    def passes(self, words: Sequence[str], **options: Any) -> forked.Ended:
        """Run the intact gate, which must let it pass."""
        with self.folder() as folder:
            ended = self.run([*words, FAIL_ON], folder, self.env(), **options)
            if ended.code:
                self.problems.append(f"{words[0]}, intact, ended with {ended.code}: {ended.err[-300:]!r}")  # fmt: skip
        return ended

    def blocks(
        self,
        what: str,
        spoil: Callable[[Path], object] = lambda _: None,
        *,
        gates: Sequence[Sequence[str]] = GATES,
        words: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        late: Callable[[Path], bool] = lambda _: False,
        **options: Any,
    ) -> None:
        """Break it in one way and run it; `late` tells whether that came too late to matter."""
        self.figures["ways"] += 1
        turn = self.figures["ways"] % len(gates)
        for gate in [gates[turn]] if self.few else gates:
            with self.folder() as folder:
                spoil(folder)
                there = _baselines(folder)
                ended = self.run([*gate, FAIL_ON, *words], folder, self.env(env), **options)
                self.figures["runs"] += 1
                self.figures[f"exit_{ended.code}" if ended.code >= 0 else "killed"] += 1
                place = f"{what}, {gate[0]}"
                if ended.code == 0 and late(folder):
                    continue
                if ended.code in (0, forked.STUCK):
                    self.problems.append(f"{place}: ended with {ended.code}")
                if ended.code in (1, 70) and "is not installed" not in what:
                    self.problems.append(f"{place}: a defect: {ended.err[-300:]!r}")
                if clean(folder / "r.json") and ended.code not in (5, -2, -9, -15, 130, 143):
                    self.problems.append(f"{place}: left a report that says clean")
                if _baselines(folder) - there:
                    self.problems.append(f"{place}: made a baseline")


def _baselines(folder: Path) -> set[Path]:
    store = folder / "store"
    kept = store.rglob("*.json") if store.is_dir() else ()
    return {p for p in kept if not p.relative_to(store).parts[0].startswith("_kept")}


def clean(report: Path) -> bool:
    """Whether a report was left there, and says so."""
    if not report.is_file():
        return False
    return bool(json.loads(report.read_text())["verdict"] == "clean")


@contextmanager
def opened() -> Iterator[Gate]:
    """An intact gate: two baselines, promoted by a person, one of them twice."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        intact = root / "intact"
        (intact / "store").mkdir(parents=True)
        (intact / "policy.toml").write_text(POLICY)
        play = partial(planted.playing, Planted(), (), world())
        with forked.child(play, forked.reached) as other:
            gate = Gate(root, other.said)
            promotions = (("api", "first"), ("api", "second"), ("web", "first"))
            for service, reason in promotions:
                said = [*PROMOTE, f"--service={service}", f"--reason={reason}"]
                ended = forked.warm(said, intact, gate.env())
                assert ended.code == 0, ended
            for words in GATES:
                with gate.folder() as folder:
                    forked.warm([*words, FAIL_ON], folder, gate.env())
            yield gate
