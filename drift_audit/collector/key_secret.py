"""
Reads the one payload that drift-audit ever reads: the key that seals plain values, where its owner
keeps it in Secret Manager. No other module can ask for a payload, and this one takes no name from
anything that was audited.
"""

from __future__ import annotations

from google.cloud import secretmanager_v1 as sm

from drift_audit.collector.budget import Budget
from drift_audit.collector.pace import SECRET_MANAGER, Quota


class KeySecret:
    """The version of a secret that holds the sealing key: `projects/P/secrets/S/versions/N`."""

    def __init__(self, name: str, client: sm.SecretManagerServiceClient, budget: Budget) -> None:
        self._name, self._client, self._budget = name, client, budget

    def read(self) -> bytes:
        """
        What it holds. The account needs `secretmanager.versions.access` on this secret alone.

        Raises Missing where there is no such version, Unanswered where it may not be read, is not
        enabled, or did not come.
        """
        reply = self._budget.call(
            f"access {self._name}",
            self._client.access_secret_version,
            sm.AccessSecretVersionRequest(name=self._name),
            Quota(SECRET_MANAGER, self._name.split("/")[1]),
        )
        return bytes(reply.payload.data)
