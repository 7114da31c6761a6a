"""
The files that `drift-audit init --with …` writes: what runs the audit every night, and what runs
the gate.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from drift_audit import files
from drift_audit.errors import CommandError, OutputError

WORKFLOW = "deploys.workflow.yaml"
TERRAFORM = (
    "versions main iam store observability deploys variables outputs".split()  # in reading order
)


class Kind(NamedTuple):
    """What a kind of deployment is made of, by template, and what to type once it is written."""

    files: Mapping[str, str]
    then: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "terraform": Kind(
            {
                **{f"terraform/{name}.tf": f"deploy/terraform/{name}.tf" for name in TERRAFORM},
                f"terraform/{WORKFLOW}": f"deploy/terraform/{WORKFLOW}",
            },
            "terraform -chdir=deploy/terraform init",
        ),
        "gcloud": Kind(
            {"gcloud.sh": "deploy/gcloud.sh", f"terraform/{WORKFLOW}": f"deploy/{WORKFLOW}"},
            "bash deploy/gcloud.sh",
        ),
        "github": Kind(
            {
                "github/workflow.yml": ".github/workflows/drift-audit.yml",
                "github/action.yml": ".github/actions/drift-audit/action.yml",
            },
            "gh workflow run drift-audit.yml -f service=SERVICE",
        ),
        "cloudbuild": Kind(
            {"cloudbuild.yaml": "deploy/cloudbuild.yaml"},
            "gcloud builds submit --config=deploy/cloudbuild.yaml --no-source",
        ),
        "clouddeploy": Kind(
            {
                "skaffold.yaml": "deploy/skaffold.yaml",
                "clouddeploy.yaml": "deploy/clouddeploy.yaml",
            },
            "gcloud deploy apply --file=deploy/clouddeploy.yaml --region=REGION",
        ),
        "pre-commit": Kind({"pre-commit.yaml": ".pre-commit-config.yaml"}, "pre-commit install"),
        "docker": Kind(
            {
                "Dockerfile": "deploy/Dockerfile",
                "dockerignore": "deploy/Dockerfile.dockerignore",
            },
            "docker build -f deploy/Dockerfile --build-arg DRIFT_AUDIT=REQUIREMENT -t IMAGE .",
        ),
    }
)


class Planned(NamedTuple):
    """A file to write, and whether it stands there already as it would be written."""

    path: Path
    text: str
    there: bool


def planned(kinds: Iterable[str], into: Path, *, force: bool) -> list[Planned]:
    """
    The files of some kinds below a folder. Raises CommandError where another file stands in the
    place of one, before anything was written.
    """
    templates = files.shipped("templates") / "deploy"
    found = {
        into / place: (templates / template).read_text()
        for kind in kinds
        for template, place in KINDS[kind].files.items()
    }
    plan = [Planned(path, text, _stands(path, text)) for path, text in found.items()]
    others = [str(one.path) for one in plan if not one.there and os.path.lexists(one.path)]
    if others and not force:
        raise CommandError(
            f"{', '.join(others)}: there already, and not as it would be written",
            hint="--force replaces what is there, --into=DIR writes elsewhere",
        )
    return plan


def _stands(path: Path, text: str) -> bool:
    try:
        return path.is_file() and path.read_bytes() == text.encode()
    except OSError as error:
        raise OutputError(f"cannot read {path}: {files.reason(error)}") from None


def write(path: Path, text: str) -> None:
    """Write a file and the folders that it lies in. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {path.parent}: {files.reason(error)}") from None
    files.write(str(path), text)
