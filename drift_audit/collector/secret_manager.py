"""
Asks Secret Manager for the state of versions. Metadata only: there is no code here that could ask
for a payload, and the account needs no permission to read one.
"""

from __future__ import annotations

from google.cloud import secretmanager_v1 as sm

from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.secret_versions import Asked, Version
from drift_audit.snapshot import Unseen, VersionState

_STATES: dict[int, VersionState] = {
    sm.SecretVersion.State.ENABLED: "enabled",
    sm.SecretVersion.State.DISABLED: "disabled",
    sm.SecretVersion.State.DESTROYED: "destroyed",
}


class SecretManager:
    """
    Resolves what revisions ask for. What could not be asked collects in `unseen`, and the numbers
    of projects that answers give away in `numbers`.
    """

    def __init__(self, client: sm.SecretManagerServiceClient, budget: Budget) -> None:
        self._client, self._budget = client, budget
        self.unseen: list[Unseen] = []
        self.numbers: dict[str, str] = {}

    def version(self, asked: Asked) -> tuple[Asked, Version]:
        """One version, with the number that an alias or `latest` stands for."""
        project, secret, version = asked
        name = f"projects/{project}/secrets/{secret}/versions/{version}"
        request = sm.GetSecretVersionRequest(name=name)
        try:
            reply = self._budget.call(f"get {name}", self._client.get_secret_version, request)
        except Missing:
            return asked, Version(None, "not-found")
        except Unanswered as error:
            self.unseen.append(Unseen(where=f"secret {name}", reason=str(error)))
            return asked, Version(None, "unseen")
        answered = reply.name.split("/")[1:2]
        if answered and answered[0].isdecimal() and not project.isdecimal():
            self.numbers[project] = answered[0]
        number = reply.name.rpartition("/")[2]
        state = _STATES.get(reply.state, "unseen")
        if state == "unseen":
            self.unseen.append(Unseen(where=f"secret {name}", reason="in a state we do not know"))
        return asked, Version(int(number) if number.isdecimal() else None, state)
