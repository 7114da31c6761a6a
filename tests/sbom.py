"""
`python -m tests.sbom FILE`: what users install beside drift-audit, as a bill of materials in CycloneDX.

It is made of `requirements.txt`: each package with its version, the digests of its files, and who needs
it. What every user installs is `required`, what comes with an extra `optional`. Time is that of
SOURCE_DATE_EPOCH, so that the same commit has the same bill.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from drift_audit import __version__

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.txt"
OURS = "drift-audit"


class Pin(NamedTuple):
    """One package of a lock: where it is installed, the SHA-256 of its files, and what needs it."""

    name: str
    version: str
    marker: str
    digests: tuple[str, ...]
    needed_by: tuple[str, ...]


def pins(lock: str) -> list[Pin]:
    """The packages of a lock by `uv pip compile --generate-hashes`. Raises ValueError for others."""
    found = []
    for entry in re.split(r"^(?=\S)", lock, flags=re.MULTILINE):
        if entry:
            first, *rest = (line.strip().removesuffix("\\").strip() for line in entry.splitlines())
            wanted = Requirement(first)
            [pinned] = wanted.specifier
            if pinned.operator != "==":
                raise ValueError(f"{wanted.name} is not pinned")
            digests = [d.removeprefix("--hash=sha256:") for d in rest if d.startswith("--hash")]
            notes = [n.lstrip("# ").removeprefix("via").strip() for n in rest if n.startswith("#")]
            pin = Pin(
                canonicalize_name(wanted.name),
                pinned.version,
                str(wanted.marker or ""),
                tuple(digests),
                # what begins with a hyphen is another lock that agrees
                tuple(n.partition(" ")[0] for n in notes if n and not n.startswith("-")),
            )
            found.append(pin)
    return found


def always(found: Sequence[Pin], named: Iterable[str]) -> set[str]:
    """Of the packages those that every user installs: the named ones and all that these need."""
    reached: set[str] = set()
    ahead: set[str] = {canonicalize_name(Requirement(one).name) for one in named}
    while ahead:
        reached |= ahead
        ahead = {p.name for p in found if reached & {*p.needed_by}} - reached
    return reached


def bill(lock: str, project: dict[str, object], at: dt.datetime) -> str:
    """The bill of materials as JSON of CycloneDX 1.6. Raises ValueError where its schema refuses it."""
    found = pins(lock)
    named = project["dependencies"]
    assert isinstance(named, list)
    required = always(found, named)
    root = Component(
        name=OURS,
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=OURS,
        purl=PackageURL("pypi", None, OURS, __version__),
        description=str(project["description"]),
        licenses=[DisjunctiveLicense(id=str(project["license"]))],
    )
    parts = [(pin, _component(pin, optional=pin.name not in required)) for pin in found]
    made = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{root.purl} {at.isoformat()}\n{lock}"),
        metadata=BomMetaData(component=root, timestamp=at),
        components=[component for _, component in parts],
    )
    made.metadata.tools.components.add(this_component())
    for who, component in [(OURS, root), *((pin.name, c) for pin, c in parts)]:
        made.register_dependency(component, [c for pin, c in parts if who in pin.needed_by])
    text = JsonV1Dot6(made).output_as_string(indent=2) + "\n"
    refused = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if refused is not None:
        raise ValueError(f"not CycloneDX: {refused}")
    return text


def _component(pin: Pin, *, optional: bool) -> Component:
    purl = PackageURL("pypi", None, pin.name, pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        scope=ComponentScope.OPTIONAL if optional else ComponentScope.REQUIRED,
        bom_ref=str(purl),
        purl=purl,
        # the digests of all its files: which of them is installed depends on the machine
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/#files"),
                hashes=[
                    HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.digests
                ],
            )
        ],
        properties=[Property(name="python:marker", value=pin.marker)] if pin.marker else (),
    )


def main(path: Path) -> None:
    """Write the bill of what is checked out."""
    at = dt.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), dt.UTC)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bill(LOCK.read_text(), project, at))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
