"""
The floor: every revision listed over raw gRPC and parsed, and nothing else done.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.cloud import run_v2

from bench import place
from bench.tally import Tally, Target

IN_FLIGHT = 16
PAGE = 500
PATIENCE = 60.0

_REVISIONS = run_v2.ListRevisionsRequest.pb()
_SERVICES = run_v2.ListServicesRequest.pb()


class Raw:
    """The two list methods, from message to message."""

    def __init__(self, address: str) -> None:
        channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self.revisions = channel.unary_unary(
            "/google.cloud.run.v2.Revisions/ListRevisions",
            request_serializer=_REVISIONS.SerializeToString,
            response_deserializer=run_v2.ListRevisionsResponse.pb().FromString,
        )
        self.services = channel.unary_unary(
            "/google.cloud.run.v2.Services/ListServices",
            request_serializer=_SERVICES.SerializeToString,
            response_deserializer=run_v2.ListServicesResponse.pb().FromString,
        )


def pages(method: Any, request: Any) -> Iterator[Any]:
    """Every page, one after the other."""
    while True:
        page = method(request, timeout=PATIENCE)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def wildcard(target: Target) -> Tally:
    """All revisions of a region in one list."""
    raw, tally = Raw(target.address), Tally()
    request = _REVISIONS(parent=f"{place.LOCATION}/services/-", page_size=PAGE)
    for page in pages(raw.revisions, request):
        for revision in page.revisions:
            tally.add(revision.name, len(revision.containers[0].env))
    return tally


def fan_out(target: Target) -> Tally:
    """The services, and then the revisions of each, 16 calls in flight."""
    raw, tally = Raw(target.address), Tally()
    request = _SERVICES(parent=place.LOCATION, page_size=PAGE)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        listed = pages(raw.services, request)
        jobs = [
            pool.submit(_one, raw, service.name) for page in listed for service in page.services
        ]
        for job in jobs:
            for name, keys in job.result():
                tally.add(name, keys)
    return tally


def _one(raw: Raw, service: str) -> list[tuple[str, int]]:
    """The revisions of one service, looked at; the messages are not kept."""
    found = pages(raw.revisions, _REVISIONS(parent=service, page_size=PAGE))
    return [(r.name, len(r.containers[0].env)) for page in found for r in page.revisions]


def obvious(target: Target) -> Tally:
    """What one would write first: google's client, its pager, and attributes read one by one."""
    from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport

    channel = grpc.insecure_channel(target.address, [("grpc.max_receive_message_length", -1)])
    client = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))
    tally = Tally()
    request = run_v2.ListRevisionsRequest(parent=f"{place.LOCATION}/services/-", page_size=PAGE)
    for revision in client.list_revisions(request=request, timeout=PATIENCE):
        env = {}
        for entry in revision.containers[0].env:
            if "value_source" in entry:
                ref = entry.value_source.secret_key_ref
                env[entry.name] = f"{ref.secret}:{ref.version}"
            else:
                env[entry.name] = entry.value
        tally.add(revision.name, len(env))
    return tally
