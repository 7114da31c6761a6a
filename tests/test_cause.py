"""Causes: the shape of a loss names the command that made it."""

from __future__ import annotations

import pytest

from drift_audit.cause import probable_cause
from tests.builders import snapshot

SECRET = {"secret": "s", "version": "1"}
BEFORE: dict = {
    "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu", "JWT": SECRET, "DB": SECRET},
    "files": {"/etc/key": SECRET},
    "settings": {"service_account": "api@shop.iam"},
}


@pytest.mark.parametrize(
    ("after", "command", "because"),
    [
        (
            {"env": {"LOG_LEVEL": "info", "REGION_NAME": "eu", "DB": SECRET}},
            "gcloud run deploy with --set-secrets",
            "2 secrets are gone, and every plain value kept",
        ),
        (
            {"env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}},
            "gcloud run deploy with --clear-secrets or --set-secrets",
            "3 secrets are gone, and every plain value kept",
        ),
        (
            {"env": {"LOG_LEVEL": "info", "JWT": SECRET, "DB": SECRET}, "files": BEFORE["files"]},
            "gcloud run deploy with --set-env-vars or --env-vars-file",
            "1 plain value is gone, and every secret kept",
        ),
        (
            {"env": {"JWT": SECRET, "DB": SECRET}, "files": BEFORE["files"]},
            "gcloud run deploy with --clear-env-vars",
            "2 plain values are gone, and every secret kept",
        ),
        (
            {"env": {"ONLY": "1"}},
            "gcloud run deploy with --set-env-vars and --set-secrets, or services replace",
            "plain values and secrets are gone at once",
        ),
        (
            {"env": {"ONLY": "1"}, "settings": {"service_account": "default"}},
            "gcloud run services replace",
            "plain values, secrets and the service account are gone at once",
        ),
    ],
)
def test_shapes(after, command, because):
    """Each way of losing keys has a shape of its own."""
    after = {"settings": BEFORE["settings"], **after}
    cause = probable_cause(snapshot(BEFORE), snapshot(after))

    assert (cause.command, cause.because) == (command, because)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BEFORE, BEFORE),
        (BEFORE, {**BEFORE, "env": {**BEFORE["env"], "NEW": "1"}}),
        ({"JWT": SECRET}, {}),
        ({"A": "1"}, {}),
        ({"A": ""}, {"B": "1"}),
    ],
)
def test_no_shape_no_cause(before, after):
    """Where nothing points at one command, no command is named."""
    assert probable_cause(snapshot(before), snapshot(after)) is None
