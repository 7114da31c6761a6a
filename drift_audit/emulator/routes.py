"""
Which method a URL asks for. One server answers for every host, so the path alone decides; of the
host only the region counts, as in `us-central1-run.googleapis.com`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from google.protobuf.json_format import ParseDict, ParseError

from drift_audit.emulator.deployed import Json
from drift_audit.emulator.desk import Asked, Rpc
from drift_audit.emulator.secret_manager import SERVICE
from drift_audit.emulator.status import invalid, not_found
from drift_audit.emulator.world import World

V1 = (
    ("GET", "services", "v1.Services/ListServices"),
    ("POST", "services", "v1.Services/CreateService"),
    ("GET", "services/{}", "v1.Services/GetService"),
    ("PUT", "services/{}", "v1.Services/ReplaceService"),
    ("DELETE", "services/{}", "v1.Services/DeleteService"),
    ("GET", "services/{}:getIamPolicy", "v1.Services/GetIamPolicy"),
    ("POST", "services/{}:setIamPolicy", "v1.Services/SetIamPolicy"),
    ("POST", "services/{}:testIamPermissions", "v1.Services/TestIamPermissions"),
    ("GET", "revisions", "v1.Revisions/ListRevisions"),
    ("GET", "revisions/{}", "v1.Revisions/GetRevision"),
    ("DELETE", "revisions/{}", "v1.Revisions/DeleteRevision"),
)
"""Below a namespace, whose region is that of the host, and below a location of a project."""

V1_JOBS = (
    ("POST", "jobs", "v1.Jobs/CreateJob"),
    ("GET", "jobs/{}", "v1.Jobs/GetJob"),
    ("PUT", "jobs/{}", "v1.Jobs/ReplaceJob"),
    ("DELETE", "jobs/{}", "v1.Jobs/DeleteJob"),
)
"""The same for jobs, which have a group of their own."""

V2 = (
    ("GET", "services", "Services/ListServices"),
    ("POST", "services", "Services/CreateService"),
    ("GET", "services/{}", "Services/GetService"),
    ("PATCH", "services/{}", "Services/UpdateService"),
    ("DELETE", "services/{}", "Services/DeleteService"),
    ("GET", "services/{}/revisions", "Revisions/ListRevisions"),
    ("GET", "services/{}/revisions/{}", "Revisions/GetRevision"),
    ("GET", "workerPools", "WorkerPools/ListWorkerPools"),
    ("GET", "workerPools/{}", "WorkerPools/GetWorkerPool"),
    ("PATCH", "workerPools/{}", "WorkerPools/UpdateWorkerPool"),
    ("DELETE", "workerPools/{}", "WorkerPools/DeleteWorkerPool"),
    ("GET", "workerPools/{}/revisions", "Revisions/ListRevisions"),
    ("GET", "workerPools/{}/revisions/{}", "Revisions/GetRevision"),
    ("GET", "jobs", "Jobs/ListJobs"),
    ("GET", "jobs/{}", "Jobs/GetJob"),
    ("PATCH", "jobs/{}", "Jobs/UpdateJob"),
    ("DELETE", "jobs/{}", "Jobs/DeleteJob"),
)

SECRETS = (
    ("GET", "secrets", "ListSecrets"),
    ("POST", "secrets", "CreateSecret"),
    ("GET", "secrets/{}", "GetSecret"),
    ("PATCH", "secrets/{}", "UpdateSecret"),
    ("DELETE", "secrets/{}", "DeleteSecret"),
    ("GET", "secrets/{}:getIamPolicy", "GetIamPolicy"),
    ("POST", "secrets/{}:testIamPermissions", "TestIamPermissions"),
    ("POST", "secrets/{}:addVersion", "AddSecretVersion"),
    ("GET", "secrets/{}/versions", "ListSecretVersions"),
    ("GET", "secrets/{}/versions/{}", "GetSecretVersion"),
    ("GET", "secrets/{}/versions/{}:access", "AccessSecretVersion"),
    ("POST", "secrets/{}/versions/{}:destroy", "DestroySecretVersion"),
)


PROJECT = (
    ("GET", "/locations", "Locations/ListLocations"),
    ("POST", ":testIamPermissions", "Projects/TestIamPermissions"),
    ("GET", "/services/{}", "ServiceUsage/GetService"),
)

SQL = (("GET", "instances/{}", "SqlInstancesService/Get"),)
VPC_ACCESS = (("GET", "connectors/{}", "VpcAccessService/GetConnector"),)

_ROOTS = (
    (r"/apis/serving\.knative\.dev/v1/namespaces/(?P<project>{})/(?P<rest>", V1, ""),
    (r"/apis/run\.googleapis\.com/v1/namespaces/(?P<project>{})/(?P<rest>", V1_JOBS, ""),
    ("/v1/projects/(?P<project>{})/locations/(?P<region>{})/(?P<rest>", V1, ""),
    ("/v2/(?P<name>projects/{}/locations/{}/", V2, ""),
    ("/v1/(?P<name>projects/{}/(?:locations/{}/)?", SECRETS, f"{SERVICE}/"),
    ("/v1/(?P<name>projects/{}", PROJECT, ""),
    ("/(?:v1|sql/v1beta4)/(?P<name>projects/{}/", SQL, ""),
    ("/v1/(?P<name>projects/{}/locations/{}/", VPC_ACCESS, ""),
)


class Route(NamedTuple):
    """A verb and a pattern of paths, what may stand after their colon, and the method."""

    verb: str
    path: re.Pattern[str]
    custom: str
    method: str


def _routes() -> Iterator[Route]:
    for root, table, prefix in _ROOTS:
        for verb, written, method in table:
            tail, _, custom = written.partition(":")
            path = re.compile(f"{root}{tail})".replace("{}", "[^/:]+"))
            yield Route(verb, path, custom, prefix + method)


ROUTES = tuple(_routes())


@dataclass(frozen=True)
class Received:
    """One HTTP request as it came. `target` may name the host, as it does to a proxy."""

    verb: str
    target: str
    host: str = ""
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path alone."""
        return unquote(urlsplit(self.target).path).rstrip("/")

    @property
    def region(self) -> str:
        """The region that the host names; `-` where it names none."""
        found = _REGION.match(urlsplit(self.target).netloc or self.host)
        return found["region"] if found else "-"

    def query(self, *names: str) -> str:
        """A parameter by one of its names; empty where it is not given."""
        given = parse_qs(urlsplit(self.target).query)
        return next((given[name][-1] for name in names if name in given), "")

    def json(self) -> Any:
        """The body. Raises Refusal for one that is not JSON."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise invalid("the body is not JSON") from None

    @property
    def size(self) -> int:
        """How many items a page may have. Raises Refusal for what is no number."""
        asked = self.query("pageSize", "limit") or "0"
        if not re.fullmatch(r"-?[0-9]{1,9}", asked):
            raise invalid("the size of a page is not a number")
        return int(asked)


_REGION = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]{1,2})-run\.")


def asking(received: Received, rpcs: Mapping[str, Rpc], world: World) -> tuple[str, Any]:
    """The method that a request is for, and the message for it. Raises Refusal."""
    path, _, custom = received.path.partition(":")
    for route in ROUTES:
        found = route.path.fullmatch(path)
        if found and (route.verb, route.custom) == (received.verb, custom):
            rpc = rpcs.get(route.method)
            if rpc is None:
                break
            if rpc.request in (Asked, None):
                return route.method, _asked(received, found.groupdict(), rpc, world)
            return route.method, _message(received, found["name"], rpc)
    raise not_found(f"the URL {received.path}")


def _asked(received: Received, found: Mapping[str, str], rpc: Rpc, world: World) -> Asked:
    """A request of v1. What is asked of a namespace is of the region that the host names."""
    name = found.get("name", "").removesuffix("/locations")
    if not name:
        region = found.get("region", received.region)
        name = f"projects/{world.project(found['project'])}/locations/{region}"
        collection, _, short = found["rest"].partition("/")
        name += f"/{collection}/{short}" if short else ""
    return Asked(
        name,
        page_size=received.size if rpc.paged else 0,
        page_token=received.query("continue", "pageToken"),
        selector=received.query("labelSelector"),
        body=received.json(),
    )


def _message(received: Received, name: str, rpc: Rpc) -> Any:
    """A request of the other APIs: the message that gRPC would have brought."""
    fields: Json = {"name": name}
    if rpc.paged:
        token = received.query("pageToken")
        fields = {"parent": name.rpartition("/")[0], "pageSize": received.size, "pageToken": token}
    elif "resource" in rpc.request.DESCRIPTOR.fields_by_name:
        body = received.json()
        fields = {"resource": name} | (body if isinstance(body, dict) else {})
    try:
        return ParseDict(fields, rpc.request())
    except ParseError:
        raise invalid("the body is not the message of this method") from None
