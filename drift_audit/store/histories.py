"""
Every revision that an audit read, for good: Cloud Run deletes those that do not serve, and those of
a service that is deleted.

`.archive/PROJECT/REGION/SERVICE.revisions.jsonl.gz` holds one sealed snapshot in a line, in the
order in which they were seen, each once. Before them stands a mark, as in
`drift_audit.store.marked`. A file that is full, or that cannot be believed, is left as it is, and
the next one goes on beside it: `SERVICE.revisions.2.jsonl.gz`. Beside the folder of a region lies
its index, which is made of nothing else and can be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Literal

from pydantic import ValidationError

from drift_audit import names
from drift_audit.errors import StoreError
from drift_audit.inventory import Service, by_age
from drift_audit.kept import Record, keepable, recorded
from drift_audit.seal import SealKey
from drift_audit.snapshot import Address, Snapshot, Unseen
from drift_audit.store.home import Conflict, Home, Stored
from drift_audit.store.key_index import File, IndexHead, KeyIndex
from drift_audit.store.marked import (
    FOLDER,
    GZIP,
    LIMIT,
    Head,
    Marked,
    Place,
    again,
    believed,
    leave_out_of_git,
    marked,
    packed,
)
from drift_audit.store.parts import PARTS

FULL = 4 * 2**20
"""Bytes from which on a file is left as it is, so that no night writes more than it did before."""

MEMBER = 2**20
"""
Characters of lines that are compressed together: what a night adds joins what the last ones added,
because a snapshot alone takes five times the room of one beside its neighbour.
"""

LEVEL = 6
"""How hard it is compressed; it is read more often than it is written."""

TOGETHER, IN_FLIGHT = 64, 16
"""Services whose histories are held at a time, and files that are written beside each other."""

TOUCHED = "written with another key, or touched since"
OTHER = "written by another version"
GONE = "is there no more, and what it held is lost"
"""Why nothing is told of what a file holds."""

SUFFIX = ".revisions"
_FILE = re.compile(
    rf"{names.PLACE.pattern}{re.escape(SUFFIX)}(\.(?P<number>[1-9][0-9]{{0,5}}))?\.jsonl\.gz"
)
_UID = re.compile(r'"identity":\{.*?"uid":"([^"]*)"')

_log = logging.getLogger(__name__)


class _Head(Head):
    document: Literal["drift-audit/revisions"] = "drift-audit/revisions"


class Histories:
    """
    The histories in a home, and their index. `key` marks what is written, and tells what was
    written with it. What cannot be read or written raises StoreError, unless it says otherwise.
    `full` and `member` are sizes.
    """

    def __init__(self, home: Home, key: SealKey, *, full: int = FULL, member: int = MEMBER) -> None:
        def mark(where: str, data: bytes) -> str:
            return key.mark(json.dumps(["drift-audit/v1 revisions", where]), data)

        self._home, self._mark = home, mark
        self._full, self._member = full, member
        self._index = Marked(home, ".index.jsonl.gz", IndexHead, mark, lost="it is made anew")
        self._noted: dict[Place, dict[str, Service]] = {}

    # What audits keep

    def note(self, service: Service) -> None:
        """Remember the revisions that were read of a service; they are written by `keep`."""
        at = service.address
        place = at.project, at.region
        if self._index.holds(place) and names.PLACE.fullmatch(at.service):
            self._noted.setdefault(place, {})[at.service] = service

    def keep(self) -> None:
        """
        Write down the revisions that are new. What cannot be written is told by a warning: the
        next audit that reads them tries again.
        """
        for place, noted in sorted(self._noted.items()):
            try:
                self._keep(place, noted)
            except StoreError as error:
                _log.warning("revisions were not kept: %s", error)

    def _keep(self, place: Place, noted: Mapping[str, Service]) -> None:
        index, unseen = self.index(place)
        for missed in unseen:
            _log.warning("%s: %s", missed.where, missed.reason)
        new = {}
        for name, service in noted.items():
            known = index.uids(name)
            fresh = tuple(one for one in service.revisions if one.identity.uid not in known)
            if kept := keepable(fresh):
                new[name] = kept
        if not new:
            return
        with suppress(Conflict):
            leave_out_of_git(self._home)
        last = {name: _number(files[-1]) for name, files in _by_service(index.seen).items()}
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            adding = [
                pool.submit(self._add, place, name, kept, last.get(name, 1))
                for name, kept in sorted(new.items())
            ]
        for added in adding:
            added.result()
        self.index(place)

    def _add(self, place: Place, name: str, revisions: Sequence[Snapshot], number: int) -> None:
        """Add revisions to the files of a service, from the one with a number on."""
        left = {one.identity.uid: one.model_dump_json() for one in revisions}
        while left:
            path = f"{_folder(place)}{_file(name, number)}"
            again(partial(self._add_to, path, left), self._home.where(path))
            number += 1

    def _add_to(self, path: str, left: dict[str, str]) -> None:
        """
        Add the lines that are left to a file, unless it is full or cannot be believed. What is in
        it then is left no more.
        """
        stored = self._home.read(path, limit=LIMIT)
        data = self._believed(path, stored) if stored else b""
        if data is None:
            return
        members = [*_members(data)]
        for _, text in members:
            for uid in _UID.findall(text):
                left.pop(uid, None)
        if not left or len(data) >= self._full:
            return
        lines = "".join(f"{line}\n" for line in left.values())
        if members and len(members[-1][1]) < self._member:
            lines = members.pop()[1] + lines
        data = b"".join([*(member for member, _ in members), packed(lines, LEVEL)])
        file = marked(self._mark, path, _Head(), data)
        self._home.write(path, file, over=stored.generation if stored else None)
        left.clear()

    # What is asked of it

    def places(self) -> list[Place]:
        """The locations of which something is kept."""
        found = set(self._index.places())
        for project in self._home.names(FOLDER):
            if project.endswith("/") and FOLDER + project != PARTS:
                regions = (name for name in self._home.names(FOLDER + project) if name[-1] == "/")
                found |= {(project[:-1], region[:-1]) for region in regions}
        return sorted(place for place in found if self._index.holds(place))

    def index(self, place: Place) -> tuple[KeyIndex, list[Unseen]]:
        """
        What became of every key in a location, and which files could not be believed. Files that
        were written since it was made are read, all of them where it is not there; what comes of
        that is written down, as far as it can be.
        """
        found = self._index.read(place)
        index = KeyIndex(dict(found[1]) if found else {})
        there = self._files(place)
        if stale := _stale(index, there):
            mine = _by_service(there)
            for first in range(0, len(stale), TOGETHER):
                some = stale[first : first + TOGETHER]
                self._renew(place, index, there, {one: mine.get(one, []) for one in some})
            lines = index.close()
            if found or index.counts:  # who believes nothing here leaves the index of others alone
                self._index.write(place, lambda _: (IndexHead(), lines))
        wrong = {name: file.wrong for name, file in sorted(index.seen.items()) if file.wrong}
        return index, self._unseen(place, wrong)

    def of(self, at: Address) -> tuple[list[Snapshot], list[Unseen]]:
        """The kept revisions of a service, oldest first, and which files are not believed."""
        place = at.project, at.region
        if not self._index.holds(place) or not names.PLACE.fullmatch(at.service):
            return [], []
        files = _by_service(self._files(place)).get(at.service, [])
        found, wrong = self._read(place, files)
        kept = {uid: line for name in files for uid, line in found.get(name, {}).items()}
        try:
            return sorted(map(_snapshot, kept.values()), key=by_age), self._unseen(place, wrong)
        except ValidationError:
            return [], self._unseen(place, dict.fromkeys(files, OTHER))

    def hand_over(self, key: SealKey) -> None:
        """
        Mark with another key, from now on, what is kept. Plain values stay sealed with this one:
        nobody can read them a second time.
        """
        other = Histories(self._home, key)
        for place in self.places():
            for name in self._files(place):
                path = _folder(place) + name
                stored = self._home.read(path, limit=LIMIT)
                data = self._believed(path, stored) if stored else None
                if stored is not None and data is not None:
                    file = marked(other._mark, path, _Head(), data)
                    self._home.write(path, file, over=stored.generation)

    def _renew(
        self,
        place: Place,
        index: KeyIndex,
        there: Mapping[str, str],
        services: Mapping[str, Sequence[str]],
    ) -> None:
        """Put into the index what the files of some services say now."""
        files = [name for mine in services.values() for name in mine]
        found, wrong = self._read(place, files)
        for service, mine in services.items():
            lines = {uid: line for name in mine for uid, line in found.get(name, {}).items()}
            try:
                record = _record(index.record(service), lines)
            except ValidationError:
                record, wrong = Record(), wrong | dict.fromkeys(mine, OTHER)
            index.replace(service, record)
        index.seen |= {name: File(there[name], wrong.get(name, "")) for name in files}

    def _files(self, place: Place) -> dict[str, str]:
        """The files of a location by name, with what tells one writing of them from another."""
        versions = self._home.versions(_folder(place))
        return {name: at for name, at in versions.items() if _FILE.fullmatch(name)}

    def _unseen(self, place: Place, wrong: Mapping[str, str]) -> list[Unseen]:
        where = self._home.where
        return [Unseen(where=where(_folder(place) + n), reason=why) for n, why in wrong.items()]

    def _read(
        self, place: Place, files: Collection[str]
    ) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """The lines of files, by the uid of each revision, and why others are not believed."""
        paths = [_folder(place) + name for name in files]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            stored = [*pool.map(partial(self._home.read, limit=LIMIT), paths)]
        found, wrong = {}, {}
        for name, path, one in zip(files, paths, stored, strict=True):
            data = self._believed(path, one) if one else None
            if data is None:
                wrong[name] = TOUCHED if one else GONE
                continue
            lines = [line for _, text in _members(data) for line in text.split("\n")[:-1]]
            found[name] = {_uid(line): line for line in lines}
        return found, wrong

    def _believed(self, path: str, stored: Stored) -> bytes | None:
        """What stands below the mark of a file; None where the mark is not ours."""
        found = believed(self._mark, path, _Head, stored.data)
        return found[1] if found else None


def _members(data: bytes) -> Iterator[tuple[bytes, str]]:
    """What was compressed together, as it is and as text."""
    while data:
        unpacker = zlib.decompressobj(wbits=GZIP)
        text = unpacker.decompress(data).decode("utf-8", "surrogatepass")
        rest = unpacker.unused_data
        yield data[: len(data) - len(rest)], text
        data = rest


def _uid(line: str) -> str:
    found = _UID.search(line)
    assert found is not None  # the line was believed
    return found[1]


def _snapshot(line: str) -> Snapshot:
    return Snapshot.model_validate_json(line)


def _record(known: Record, lines: Mapping[str, str]) -> Record:
    """
    The record of what lines tell. Where all that is known is among them and what is new is younger,
    nothing else is read.
    """
    uids = {deploy.uid for deploy in known.deploys}
    new = sorted((_snapshot(line) for uid, line in lines.items() if uid not in uids), key=by_age)
    if uids and uids <= lines.keys():
        last = _snapshot(lines[known.deploys[-1].uid])
        if all(by_age(last) < by_age(one) for one in new):
            return recorded([last, *new], known)
    return recorded(sorted(map(_snapshot, lines.values()), key=by_age))


def _stale(index: KeyIndex, there: Mapping[str, str]) -> list[str]:
    """
    The services whose files are not as the index saw them, or that another version wrote: this one
    may be newer. Of a file that was believed and is gone the index goes on to tell that.
    """
    seen = index.seen
    read = {name: file.version for name, file in seen.items() if file.wrong != OTHER}
    stale = {_service(name) for name, version in there.items() if read.get(name) != version}
    for name in [name for name in seen.keys() - there.keys() if seen[name].wrong != GONE]:
        stale.add(_service(name))
        lost = seen.pop(name)
        if not lost.wrong:
            seen[name] = File("", GONE)  # a folder that comes back brings the same versions
    return sorted(stale)


def _by_service(files: Collection[str]) -> dict[str, list[str]]:
    """The files of each service, in their order."""
    found: dict[str, list[str]] = {}
    for name in sorted(files, key=_number):
        found.setdefault(_service(name), []).append(name)
    return found


def _service(name: str) -> str:
    return name.partition(SUFFIX)[0]


def _number(name: str) -> int:
    found = _FILE.fullmatch(name)
    return int(found["number"] or 1) if found else 0


def _folder(place: Place) -> str:
    return f"{FOLDER}{place[0]}/{place[1]}/"


def _file(service: str, number: int) -> str:
    return f"{service}{SUFFIX}{f'.{number}' if number > 1 else ''}.jsonl.gz"
