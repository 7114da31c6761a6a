"""What our program asks is watched in every test, and the watch can fail."""

from __future__ import annotations

from collections import Counter

import pytest
from google.api_core.exceptions import PermissionDenied
from google.cloud import run_v2

from drift_audit.collector.connection import Connection
from tests import watch
from tests.worlds import playing, source

NAME = "projects/shop/locations/europe-west1"


def without_deadline(emulator):
    clients = Connection(emulator.address).cloud_run()
    list(clients.revisions.list_revisions(parent=f"{NAME}/services/api"))


def write(emulator):
    clients = Connection(emulator.address).cloud_run()
    request = run_v2.DeleteRevisionRequest(name=f"{NAME}/services/api/revisions/api-00001-a")
    with pytest.raises(PermissionDenied):
        clients.revisions.delete_revision(request, timeout=5)


def payload(emulator):
    secrets = Connection(secrets_emulator=emulator.address).secret_manager()
    with pytest.raises(PermissionDenied):
        secrets.access_secret_version(name="projects/shop/secrets/jwt/versions/3", timeout=5)


@pytest.mark.parametrize(
    ("misbehave", "what"),
    [(without_deadline, "without a deadline"), (write, "that write"), (payload, "for a payload")],
)
def test_control_calls_that_must_not_be(misbehave, what):
    """A call that could wait for ever, one that writes and one for a payload fail their test."""
    total: Counter[str] = Counter()
    with (
        pytest.raises(watch.Misbehaved, match=f"^1 calls {what}$"),
        playing(total=total) as emulator,
    ):
        misbehave(emulator)

    assert total[what] == 1


def test_calls_are_counted():
    """What the collector asks is counted, and none of it is what must not be."""
    total: Counter[str] = Counter()
    with playing(total=total) as emulator:
        source(emulator).collect()

    assert total == Counter({watch.CALLS: len(emulator.calls)})
    assert watch.told(total) == [
        f"{len(emulator.calls)} calls of the program: 0 without a deadline, 0 for a payload, 0 that write"
    ]
