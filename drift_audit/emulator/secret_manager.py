"""
Secret Manager v1: the metadata of secrets and versions. A payload is asked for in vain, unless the
world says what a version holds.
"""

from __future__ import annotations

from typing import Any

from google.cloud import secretmanager_v1 as sm
from google.iam.v1 import iam_policy_pb2, policy_pb2

from drift_audit import names
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.desk import Rpc
from drift_audit.emulator.paging import listing
from drift_audit.emulator.state import message
from drift_audit.emulator.status import denied, failed, not_found, refused
from drift_audit.emulator.v2 import instant
from drift_audit.emulator.world import World, WorldSecret

PACKAGE = "google.cloud.secretmanager.v1"
SERVICE = "SecretManagerService"

ACCESSOR = "roles/secretmanager.secretAccessor"

WRITES = (
    "CreateSecret UpdateSecret DeleteSecret AddSecretVersion EnableSecretVersion "
    "DisableSecretVersion DestroySecretVersion SetIamPolicy"
).split()


def rpcs(world: World) -> dict[str, Rpc]:
    """The methods by name. Those that write are refused."""
    here = _SecretManager(world)
    access = sm.AccessSecretVersionRequest.pb()
    found = {
        "ListSecrets": Rpc(sm.ListSecretsRequest.pb(), here.secrets, here.counted),
        "GetSecret": Rpc(sm.GetSecretRequest.pb(), here.secret),
        "ListSecretVersions": Rpc(
            sm.ListSecretVersionsRequest.pb(),
            here.versions,
            listing(sm.ListSecretVersionsResponse, "versions"),
        ),
        "GetSecretVersion": Rpc(sm.GetSecretVersionRequest.pb(), here.version),
        "AccessSecretVersion": Rpc(access, here.payload, kind="payload"),
        "GetIamPolicy": Rpc(iam_policy_pb2.GetIamPolicyRequest, here.policy),
        "TestIamPermissions": Rpc(iam_policy_pb2.TestIamPermissionsRequest, here.tested, open=True),
        **dict.fromkeys(WRITES, Rpc(None, refused, kind="write")),
    }
    return {f"{SERVICE}/{name}": rpc for name, rpc in found.items()}


class _SecretManager:
    def __init__(self, world: World) -> None:
        self._world = world
        self._secrets = {f"projects/{s.project}/secrets/{s.name}": s for s in world.secrets}
        self.counted = listing(sm.ListSecretsResponse, "secrets")

    def _known(self, name: str) -> WorldSecret:
        """A secret by its name, with the project as id or as number."""
        _, _, rest = name.partition("/")
        project, _, rest = rest.partition("/")
        full = f"projects/{self._world.project(project)}/{rest}"
        if full not in self._secrets:
            raise not_found(f"Secret [{name}]")
        return self._secrets[full]

    def _name(self, secret: WorldSecret) -> str:
        """Answers name the project by number, whatever was asked (`cloud-run-api.md` §5.1)."""
        project = self._world.numbers.get(secret.project, secret.project)
        return f"projects/{project}/secrets/{secret.name}"

    def secrets(self, request: Any) -> list[Any]:
        """The secrets of a project."""
        project = self._world.project(request.parent.removeprefix("projects/"))
        return [self._secret(s) for s in self._secrets.values() if s.project == project]

    def secret(self, request: Any) -> Any:
        """One secret by its name."""
        return self._secret(self._known(request.name))

    def _secret(self, secret: WorldSecret) -> Any:
        name = self._name(secret)
        body: Json = {"name": name, "versionAliases": secret.aliases}
        if secret.created:
            body["createTime"] = instant(secret.created)
        if secret.expires:
            body["expireTime"] = instant(secret.expires)
        if secret.rotates:
            body["rotation"] = {"nextRotationTime": instant(secret.rotates.next)}
            if secret.rotates.period:
                body["rotation"]["rotationPeriod"] = f"{secret.rotates.period}s"
        body |= {"replication": {"automatic": {}}, "etag": f"etag-{secret.project}-{secret.name}"}
        return message(sm.Secret, body)

    def versions(self, request: Any) -> list[Any]:
        """The versions of a secret, newest first."""
        secret = self._known(request.parent)
        return [self._version(secret, n) for n in sorted(secret.versions, reverse=True)]

    def version(self, request: Any) -> Any:
        """One version by its number, by an alias, or the latest, whatever its state (§5.1)."""
        return self._version(*self._meant(request))

    def payload(self, request: Any) -> Any:
        """What a version holds, where the world says so and the version is enabled."""
        secret, number = self._meant(request)
        held, state = secret.payloads.get(number), secret.versions[number]
        if held is None:
            raise denied(request.name)
        if state != "enabled":
            raise failed(f"Secret Version [{request.name}] is in {state.upper()} state.")
        name = f"{self._name(secret)}/versions/{number}"
        return sm.AccessSecretVersionResponse.pb()(name=name, payload={"data": held.encode()})

    def _meant(self, request: Any) -> tuple[WorldSecret, int]:
        name, _, asked = request.name.partition("/versions/")
        secret = self._known(name)
        number = secret.aliases.get(asked)
        if asked == "latest":
            number = max(secret.versions, default=None)
        elif (exact := names.whole_number(asked)) is not None:
            number = exact
        if number is None or number not in secret.versions:
            raise not_found(f"Secret Version [{request.name}]")
        return secret, number

    def _version(self, secret: WorldSecret, number: int) -> Any:
        name, state = f"{self._name(secret)}/versions/{number}", secret.versions[number].upper()
        body: Json = {"name": name, "state": state}
        if secret.created:
            body["createTime"] = instant(secret.created)
        if number in secret.scheduled:
            body["scheduledDestroyTime"] = instant(secret.scheduled[number])
        etag = f"etag-{secret.project}-{secret.name}-{number}-{secret.versions[number]}"
        return message(sm.SecretVersion, body | {"etag": etag})

    def policy(self, request: Any) -> Any:
        """The policy of one secret alone: what its project grants does not show in it."""
        secret = self._known(request.resource)
        found = policy_pb2.Policy(version=1, etag=b"etag")
        if secret.accessors:
            found.bindings.add(role=ACCESSOR, members=secret.accessors)
        return found

    def tested(self, request: Any) -> Any:
        """Which of some permissions the caller has; to ask needs none."""
        secret = self._known(request.resource)
        seen = not self._world.denies(f"projects/{secret.project}/secrets/{secret.name}")
        held = self._world.held(secret.project) if seen else ()
        reply = iam_policy_pb2.TestIamPermissionsResponse()
        reply.permissions.extend(p for p in request.permissions if p in held)
        return reply
