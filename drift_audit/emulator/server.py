"""
The emulator: Cloud Run and Secret Manager on loopback, from a world, and what services reach.

Payload calls are counted, as are calls that write and calls without a deadline, so that a test can
tell what a client did.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from drift_audit.emulator import capacity, cloud_run, cloud_run_v1, secret_manager
from drift_audit.emulator.desk import Answer, Call, Desk, Rpc
from drift_audit.emulator.faults import RELAYED, Fault
from drift_audit.emulator.relay import Relay
from drift_audit.emulator.rest import Rest
from drift_audit.emulator.state import State
from drift_audit.emulator.status import Refusal
from drift_audit.emulator.wire import oversize, truncated
from drift_audit.emulator.world import World
from drift_audit.errors import CommandError

LOOPBACK = "127.0.0.1"
PATIENCE = 3600.0
"""Seconds; without a deadline gRPC tells a time that outlasts the sun."""

WORKERS = 64
"""More than any client has in flight: calls that hang must not keep others from being answered."""


class Emulator:
    """
    All services, over gRPC at `address` and over HTTP at `rest`. Use as a context manager.

    With port 0 the system chooses one. What is deployed through one front shows on all. `faults`
    come to those of the world. Raises CommandError for a port that cannot be had, and for a fault
    that could never happen.
    """

    def __init__(
        self, world: World, port: int = 0, rest_port: int = 0, *, faults: Sequence[Fault] = ()
    ) -> None:
        state = State(world)
        rpcs = {
            cloud_run.PACKAGE: cloud_run.rpcs(state),
            secret_manager.PACKAGE: secret_manager.rpcs(world),
        }
        every = {name: rpc for known in rpcs.values() for name, rpc in known.items()}
        every |= cloud_run_v1.rpcs(state, world) | capacity.rpcs(world)
        planned = (*world.faults, *faults)
        self._desk = Desk(world, state, every, planned)
        alone = (("grpc.so_reuseport", 0),)  # or two servers could share a port, and its calls
        self._server = grpc.server(ThreadPoolExecutor(max_workers=WORKERS), options=alone)
        relayed = any(fault.kind in RELAYED for fault in planned)
        with _claiming(port):
            behind = self._server.add_insecure_port(f"{LOOPBACK}:{0 if relayed else port}")
            self._relay = Relay(LOOPBACK, port, behind) if relayed else None
        self._port = self._relay.port if self._relay else behind
        with _claiming(rest_port):
            self._rest = Rest(LOOPBACK, rest_port, self._desk, world)
        handlers = [
            _Handler(package, names, self._desk, self._relay) for package, names in rpcs.items()
        ]
        self._server.add_generic_rpc_handlers(handlers)

    @property
    def address(self) -> str:
        """What an emulator variable holds: host and port."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def rest(self) -> str:
        """The same for clients that speak HTTP."""
        return f"{LOOPBACK}:{self._rest.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call that came, in order."""
        return self._desk.calls

    @property
    def fired(self) -> list[Fault]:
        """The faults that took effect, as often as they did."""
        return self._desk.schedule.fired

    def __enter__(self) -> Self:
        self._server.start()
        self._rest.start()
        if self._relay:
            self._relay.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rest.stop()
        self._server.stop(grace=None).wait()
        if self._relay:
            self._relay.stop()

    def wait(self) -> None:
        """Serve until interrupted."""
        self._server.wait_for_termination()


@contextmanager
def _claiming(port: int) -> Iterator[None]:
    """Turn what fails for want of a port into CommandError."""
    try:
        yield
    except (RuntimeError, OSError):
        hint = "choose another port, or 0 for any that is free"
        raise CommandError(f"port {port} is in use, or not allowed", hint=hint) from None


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # no generic at run time
    """Routes the methods of one package to the desk, and carries out faults of their way back."""

    def __init__(
        self, package: str, rpcs: Mapping[str, Rpc], desk: Desk, relay: Relay | None
    ) -> None:
        self._package, self._rpcs, self._desk, self._relay = package, rpcs, desk, relay

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = details.method.removeprefix(f"/{self._package}.")
        if method == details.method:
            return None
        if method not in self._rpcs:
            self._desk.unserved(method, reads=method.partition("/")[2].startswith(("Get", "List")))
            return None
        message = self._rpcs[method].request

        def handle(request: Any, context: Any) -> bytes:
            deadline = context.time_remaining() < PATIENCE
            try:
                answer = self._desk.answer(method, request, deadline=deadline)
            except Refusal as refusal:
                _end(refusal, context)
            return self._sent(answer, context)

        read = message.FromString if message else None
        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=read)

    def _sent(self, answer: Answer, context: Any) -> bytes:
        """The bytes of a reply after what its faults make of them; one that hangs has none."""
        data = bytes(answer.reply.SerializeToString())
        for fault in answer.faults:
            self._desk.schedule.fire(fault)
            if fault.kind == "truncated":
                data = truncated(data)
            elif fault.kind == "oversize":
                data = oversize(answer.reply)
            elif fault.kind in RELAYED:
                assert self._relay is not None
                self._relay.line(context.peer()).order(fault.kind)
            if fault.kind in ("hang", "reset"):
                over = threading.Event()
                if context.add_callback(over.set):
                    over.wait()
        return data


def _end(refusal: Refusal, context: Any) -> None:
    """End a call with its status, and with RetryInfo where the client is told to wait."""
    if refusal.retry_after:
        details = AnyMessage()
        wait = error_details_pb2.RetryInfo()
        wait.retry_delay.FromMilliseconds(int(refusal.retry_after * 1000))
        details.Pack(wait)
        status = status_pb2.Status(
            code=refusal.code.value[0], message=str(refusal), details=[details]
        )
        told = status.SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", told),))
    context.abort(refusal.code, str(refusal))
