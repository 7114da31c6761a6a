"""
A day with the real command: a folder, an emulator, a bucket and desks for tickets, and a lookout that
searches whatever a run prints, writes, sends and tells its children for the values that were planted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests import forked, planted
from tests.bucket import Cloud, bucket
from tests.canary import files_below, unpacked
from tests.command import environment
from tests.planted import SCOPE, Lookout, Planted
from tests.tickets import SINKS, Desk, serving

PROGRAM = (sys.executable, "-m", "drift_audit")

TOKENS = {
    "GITHUB_TOKEN": "token of GitHub",
    "JIRA_API_TOKEN": "token of Jira",
    "SERVICENOW_PASSWORD": "password of ServiceNow",
    "CI_DEPLOY_PASSWORD": "a variable of the caller",
    "AWS_SECRET_ACCESS_KEY": "another variable of the caller",
}


@dataclass
class Day:
    """A folder in which the command is run, and everything that it can leave a value in."""

    folder: Path
    plant: Planted
    look: Lookout
    env: dict[str, str]
    cloud: Cloud
    desks: dict[str, Desk]
    few: bool = False
    first: Callable[[], object] = lambda: None
    addresses: str = ""
    sinks: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    newest: int = 0

    def run(
        self,
        *arguments: str,
        live: bool = False,
        env: Mapping[str, str | None] | None = None,
        real: bool = False,
        wrapped: Sequence[str] = (),
        stdin: bytes = b"",
        out: str = "",
        meanwhile: Callable[[int], None] = lambda _: None,
        before: Callable[[], object] | None = None,
    ) -> forked.Ended:
        """
        Run `drift-audit` and look at all that it says and writes. `real` is a process of its own from
        the first, as it must be where the interpreter itself is told something, or for standard input;
        `wrapped` is a command to run that in.
        """
        given = {**self.env, **forked.pointing(self.addresses), **(env or {})}
        kept = {name: value for name, value in given.items() if value is not None}
        kept.setdefault("DRIFT_AUDIT_SEAL_KEY", self.plant.key())
        if env and "DRIFT_AUDIT_SEAL_KEY" in env and env["DRIFT_AUDIT_SEAL_KEY"] is None:
            del kept["DRIFT_AUDIT_SEAL_KEY"]
        words = [*arguments, *(SCOPE if live else ())]
        there = files_below(self.folder)
        if real or stdin or wrapped:
            ended = self._process(words, kept, stdin, wrapped)
        else:
            first = before or self.first
            if words[0] not in self.known:  # so that the next of its kind is quick
                self.known.add(words[0])
                forked.warm(words, self.folder, kept)
                there = files_below(self.folder)
            ended = forked.run(words, self.folder, kept, first=first, meanwhile=meanwhile, out=out)
        self._look(words, ended, there)
        return ended

    def _process(
        self, words: Sequence[str], env: Mapping[str, str], stdin: bytes, wrapped: Sequence[str]
    ) -> forked.Ended:
        done = subprocess.run(
            [*wrapped, *PROGRAM, *words],
            cwd=self.folder, env=dict(env), input=stdin, capture_output=True, check=False,
        )  # fmt: skip
        return forked.Ended(done.returncode, done.stdout, done.stderr)

    def _look(self, words: Sequence[str], ended: forked.Ended, there: Mapping[str, bytes]) -> None:
        said = "log of JSON lines" if "--log-format=json" in words else "standard error"
        self.looked(_format(words), ended.out, words)
        self.looked(said, ended.err, words)
        for name, data in files_below(self.folder).items():
            if there.get(name) != data:
                self.looked(_sink(name), name.encode() + b"\n" + data, words)
        for name, (generation, data) in self.cloud.objects.items():
            if generation <= self.newest:
                continue
            self.looked(f"bucket, {_part(name)}", unpacked(name, data), words)
        self.newest = self.cloud.generation
        for name, desk in self.desks.items():
            secret = {"authorization", "cookie"}
            for one in desk.asked:
                head = [v for k, v in one.headers.items() if k not in secret]
                told = "\n".join([one.line, *one.query.values(), *head]).encode()
                self.looked(f"sent to {name}", told + b"\n" + one.body, words)
            desk.asked.clear()

    def looked(self, sink: str, data: bytes, words: Sequence[str]) -> None:
        """Search some bytes; a sink counts where it held any."""
        self.sinks[sink] += bool(data.strip())
        for found in self.look.found(data):
            self.problems.append(f"{sink}: {found}: {' '.join(words)[:120]}")

    def tokens(self, sink: str) -> dict[str, str]:
        """The credentials for a place where reports are sent to, which stand nowhere else."""
        if sink != "notify":
            return {name: self.plant(of) for name, of in TOKENS.items()}
        host = self.desks["notify"].url.removeprefix("http://")
        password = self.plant("URL of a chat")
        return {"DRIFT_AUDIT_NOTIFY_OPS": f"json://bot:{password}@{host}/in?wait=0.1"}

    def watch(self, process: int) -> None:
        """Look at what a run tells those that it starts, until it is over."""
        known = {f"{name}={value}".encode() for name, value in self.env.items()}
        while _state(process) not in ("", "Z"):
            for one in _below(process):
                about = Path(f"/proc/{one}")
                with suppress(OSError):
                    given = (about / "environ").read_bytes().split(b"\0")
                    environ = b"\n".join(entry for entry in given if entry not in known)
                    self.looked("command line of a child", (about / "cmdline").read_bytes(), ["?"])
                    self.looked("environment of a child", environ, ["?"])
            time.sleep(0.02)

    def expect(self, what: str, ended: forked.Ended, *codes: int) -> None:
        """Notice a run that ended otherwise: who looks at nothing finds nothing."""
        if ended.code not in codes:
            said = ended.err.decode(errors="replace")[-300:]
            self.problems.append(f"{what} ended with {ended.code}: {said}")

    def well(self, *arguments: str, codes: Sequence[int] = (0, 10), **options: Any) -> forked.Ended:
        """A run that goes well."""
        self.figures["success_runs"] += 1
        ended = self.run(*arguments, **options)
        self.expect(" ".join(arguments), ended, *codes)
        return ended


def _format(words: Sequence[str]) -> str:
    for i, word in enumerate(words):
        if word.startswith("--format="):
            return f"{words[0]} --format={word.partition('=')[2]}"
        if word == "--format":
            return f"{words[0]} --format={words[i + 1]}"
    return f"{words[0] if words else 'nothing'}: standard output"


def _sink(name: str) -> str:
    head, *rest = Path(name).parts
    if head in ("store", "baselines"):
        return f"store, {_part('/'.join(rest))}"
    return f"file {name}" if not rest and head.startswith("r.") else f"{head}{'/' if rest else ''}"


def _part(name: str) -> str:
    head = name.removeprefix("prod/").partition("/")[0]
    return head if head.startswith(("_", ".")) else "baselines"


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def _below(process: int) -> Iterator[int]:
    """The processes that one has started, and those that they have."""
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for one in map(int, (task / "children").read_text().split()):
                yield one
                yield from _below(one)


@contextmanager
def opened(
    seed: int, *, few: bool = False, first: Callable[[], object] = lambda: None
) -> Iterator[Day]:
    """A day in a folder of its own, with an emulator, a bucket and desks for tickets."""
    plant = Planted(seed)
    planted.known(plant)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place) / "work"
        for name in ("", "tmp", "home"):
            (folder / name).mkdir()
        planted.write(folder, plant)
        for place_ in (*TOKENS.values(), "URL of a chat", "a command of gcloud", "password of a proxy", "private key of an account"):  # fmt: skip
            plant(place_)
        env = environment(folder / "home") | {name: plant(of) for name, of in TOKENS.items()}
        proxy = f"http://u:{plant('password of a proxy')}@127.0.0.1:9"
        env |= {"TMPDIR": str(folder / "tmp"), "HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}  # fmt: skip
        plant.key()
        emulator = stack.enter_context(forked.child(partial(planted.playing, plant), forked.reached))  # fmt: skip
        cloud = stack.enter_context(bucket())
        desks = {sink.name: stack.enter_context(serving(sink.service)) for sink in SINKS}
        values = Lookout(plant.values)
        yield Day(folder, plant, values, env | cloud.env, cloud, desks, few, first, emulator.said)
