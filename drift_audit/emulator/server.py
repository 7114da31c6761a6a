"""
The servers: Cloud Run v2 and Secret Manager v1 over gRPC, on loopback, from a world.

Read calls only, with the status codes of the real services. Payload calls are refused and
counted, as are calls without a deadline, so that a test can tell what a client did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud import run_v2
from google.cloud import secretmanager_v1 as sm
from google.protobuf.json_format import ParseDict

from drift_audit.emulator.world import Json, World, WorldSecret, services
from drift_audit.errors import CommandError

LOOPBACK = "127.0.0.1"
PATIENCE = 3600.0
"""Seconds; without a deadline gRPC tells a time that outlasts the sun."""


@dataclass(frozen=True)
class Call:
    """
    One call that was answered: its method, and whether the client would have given up waiting.
    """

    method: str
    deadline: bool


class _Status(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _not_found(what: str) -> _Status:
    return _Status(grpc.StatusCode.NOT_FOUND, f"{what} was not found")


def _invalid(message: str) -> _Status:
    return _Status(grpc.StatusCode.INVALID_ARGUMENT, message)


class Emulator:
    """
    Both services on one port. Use as a context manager; `address` is what clients connect to.

    With `port` 0 the system chooses one. Raises CommandError for a port that cannot be had.
    """

    def __init__(self, world: World, port: int = 0) -> None:
        self.calls: list[Call] = []
        self._world = world
        alone = (("grpc.so_reuseport", 0),)  # or two servers could share a port, and its calls
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16), options=alone)
        self._server.add_generic_rpc_handlers((_CloudRun(self, world), _SecretManager(self, world)))
        try:
            self._port = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        except RuntimeError:
            hint = "choose another port, or 0 for any that is free"
            raise CommandError(f"port {port} is in use, or not allowed", hint=hint) from None

    @property
    def address(self) -> str:
        """What an emulator variable holds: host and port."""
        return f"{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()

    def _check(self, name: str) -> None:
        """Refuse what the world denies, and all below it."""
        if any(f"{name}/".startswith(f"{denied}/") for denied in self._world.denied):
            message = f"Permission denied on resource {name}"
            raise _Status(grpc.StatusCode.PERMISSION_DENIED, message)

    def wait(self) -> None:
        """Serve until interrupted."""
        self._server.wait_for_termination()

    def answer(self, method: str, name: str, reply: Callable[[], Any], context: Any) -> Any:
        """Count a call, refuse what the world denies, and turn a status into the call's end."""
        self.calls.append(Call(method, context.time_remaining() < PATIENCE))
        try:
            self._check(name)
            return reply()
        except _Status as status:
            context.abort(status.code, str(status))


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # no generic at run time
    """Routes the methods of one service to functions from request to reply."""

    package: str

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.methods: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = details.method.removeprefix(f"/{self.package}.")
        if method not in self.methods:
            return None
        message, function = self.methods[method]

        def handle(request: Any, context: Any) -> Any:
            name = getattr(request, "name", "") or getattr(request, "parent", "")
            return self._emulator.answer(method, name, lambda: function(request), context)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=message.pb().FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )


class _CloudRun(_Handler):
    package = "google.cloud.run.v2"

    def __init__(self, emulator: Emulator, world: World) -> None:
        super().__init__(emulator)
        self._page = world.page
        self._services: dict[str, Any] = {}
        self._revisions: dict[str, list[Any]] = {}
        for service, revisions in services(world):
            self._services[service["name"]] = _message(run_v2.Service, service)
            self._revisions[service["name"]] = [_message(run_v2.Revision, r) for r in revisions]
        self.methods = {
            "Services/ListServices": (run_v2.ListServicesRequest, self._list_services),
            "Services/GetService": (run_v2.GetServiceRequest, self._get_service),
            "Revisions/ListRevisions": (run_v2.ListRevisionsRequest, self._list_revisions),
            "Revisions/GetRevision": (run_v2.GetRevisionRequest, self._get_revision),
        }

    def _list_services(self, request: Any) -> Any:
        if request.parent.endswith("/locations/-"):
            raise _invalid("the location must be a region, and cannot be the - wildcard")
        found = [s for n, s in self._services.items() if n.startswith(f"{request.parent}/")]
        page, token = _page(found, request, self._page)
        reply = run_v2.ListServicesResponse.pb()(next_page_token=token)
        reply.services.extend(page)
        return reply

    def _get_service(self, request: Any) -> Any:
        if request.name not in self._services:
            raise _not_found(f"service {request.name}")
        return self._services[request.name]

    def _list_revisions(self, request: Any) -> Any:
        if request.parent.endswith("/services/-"):
            prefix = request.parent.removesuffix("-")
            found = [r for n, rs in self._revisions.items() if n.startswith(prefix) for r in rs]
        elif request.parent in self._revisions:
            found = self._revisions[request.parent]
        else:
            raise _not_found(f"service {request.parent}")
        page, token = _page(found, request, self._page)
        reply = run_v2.ListRevisionsResponse.pb()(next_page_token=token)
        reply.revisions.extend(page)
        return reply

    def _get_revision(self, request: Any) -> Any:
        service = request.name.partition("/revisions/")[0]
        for revision in self._revisions.get(service, ()):
            if revision.name == request.name:
                return revision
        raise _not_found(f"revision {request.name}")


class _SecretManager(_Handler):
    package = "google.cloud.secretmanager.v1"

    def __init__(self, emulator: Emulator, world: World) -> None:
        super().__init__(emulator)
        self._page = world.page
        self._numbers = world.numbers
        self._secrets = {f"projects/{s.project}/secrets/{s.name}": s for s in world.secrets}
        prefix = "SecretManagerService/"
        self.methods = {
            prefix + "ListSecrets": (sm.ListSecretsRequest, self._list_secrets),
            prefix + "GetSecret": (sm.GetSecretRequest, self._get_secret),
            prefix + "ListSecretVersions": (sm.ListSecretVersionsRequest, self._list_versions),
            prefix + "GetSecretVersion": (sm.GetSecretVersionRequest, self._get_version),
            prefix + "AccessSecretVersion": (sm.AccessSecretVersionRequest, self._access),
        }

    def _secret(self, name: str) -> WorldSecret:
        """A secret by its name, with the project as id or as number."""
        for known, secret in self._secrets.items():
            number = self._numbers.get(secret.project)
            if name in (known, f"projects/{number}/secrets/{secret.name}"):
                return secret
        raise _not_found(f"Secret [{name}]")

    def _name(self, secret: WorldSecret) -> str:
        """Answers name the project by number, whatever was asked (`cloud-run-api.md` §5.1)."""
        return f"projects/{self._numbers.get(secret.project, secret.project)}/secrets/{secret.name}"

    def _list_secrets(self, request: Any) -> Any:
        found = [s for n, s in self._secrets.items() if n.startswith(f"{request.parent}/")]
        page, token = _page(found, request, self._page)
        reply = sm.ListSecretsResponse.pb()(next_page_token=token, total_size=len(found))
        reply.secrets.extend(self._secret_message(s) for s in page)
        return reply

    def _get_secret(self, request: Any) -> Any:
        return self._secret_message(self._secret(request.name))

    def _secret_message(self, secret: WorldSecret) -> Any:
        body = {"name": self._name(secret), "versionAliases": secret.aliases}
        return _message(sm.Secret, {**body, "replication": {"automatic": {}}})

    def _list_versions(self, request: Any) -> Any:
        secret = self._secret(request.parent)
        page, token = _page(sorted(secret.versions, reverse=True), request, self._page)
        reply = sm.ListSecretVersionsResponse.pb()(next_page_token=token)
        reply.versions.extend(self._version_message(secret, n) for n in page)
        return reply

    def _get_version(self, request: Any) -> Any:
        name, _, asked = request.name.partition("/versions/")
        secret = self._secret(name)
        number = secret.aliases.get(asked)
        if asked == "latest":
            number = max(secret.versions, default=None)
        elif asked.isdecimal():
            number = int(asked)
        if number not in secret.versions:
            raise _not_found(f"Secret Version [{request.name}]")
        return self._version_message(secret, number)

    def _version_message(self, secret: WorldSecret, number: int) -> Any:
        name = f"{self._name(secret)}/versions/{number}"
        return _message(sm.SecretVersion, {"name": name, "state": secret.versions[number].upper()})

    def _access(self, request: Any) -> Any:
        raise _Status(grpc.StatusCode.PERMISSION_DENIED, f"payload of {request.name}")


def _message(kind: Any, body: Json) -> Any:
    return ParseDict(body, kind.pb()())


def _page(found: list[Any], request: Any, most: int) -> tuple[list[Any], str]:
    """One page and the token of the next; a token that we did not give out is refused."""
    size = min(request.page_size or most, most)
    token = request.page_token or "from-0"
    if not token.removeprefix("from-").isdecimal():
        raise _invalid("page_token is not valid")
    start = int(token.removeprefix("from-"))
    end = start + size
    return found[start:end], f"from-{end}" if end < len(found) else ""
