"""
A store in a bucket of Cloud Storage. The only module that knows google-cloud-storage.

Every write names the generation that it replaces, so the bucket itself refuses the second of two
(`ux-ecosystem.md` §4). That also makes a write safe to repeat, and the client repeats it; where the
repetition finds its own first try, what lies there is what was to be written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from drift_audit import quiet
from drift_audit.errors import StoreError
from drift_audit.store.home import LIMIT, Conflict, Stored

_NAME = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(?P<prefix>.*))?")

SECONDS, PATIENCE = 30.0, 120.0
"""How long one call may take, and all its repetitions together."""

IN_FLIGHT = 16
"""Files that are read beside each other."""

NO_TRACES = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""
Unless the environment says `true`, the client asks for the bucket itself in a thread of its own, to
tell tracing where it lies: a call that nobody needs, and a permission that the auditor lacks.
"""

NO_BUCKET = "specified bucket does not exist"
"""What tells a bucket that is not there from a file that is not; both are 404."""


class Bucket:
    """
    A home below a prefix of a bucket. Generations are those that Cloud Storage counts. `seconds`
    and `patience` are how long one call may take, and all its repetitions together.
    """

    def __init__(
        self,
        client: storage.Client,
        bucket: str,
        prefix: str,
        *,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        self._client, self._bucket = client, client.bucket(bucket)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._seconds, self._patience = seconds, DEFAULT_RETRY.with_timeout(patience)

    def read(self, path: str, *, limit: int = LIMIT) -> Stored | None:
        """What lies at a path. Raises StoreError."""
        blob = self._blob(path)
        with self._asking("read", path):
            try:
                data = blob.download_as_bytes(
                    end=limit, timeout=self._seconds, retry=self._patience
                )
            except api.RequestRangeNotSatisfiable:
                raise StoreError(f"{self.where(path)}: empty") from None
            except api.NotFound as error:
                if NO_BUCKET in str(error):
                    raise
                return None
        if len(data) > limit:
            raise StoreError(f"{self.where(path)}: too-big: larger than {limit // 2**20} MiB")
        return Stored(data, str(blob.generation))

    def read_all(self, paths: Collection[str], *, limit: int = LIMIT) -> Mapping[str, Stored]:
        """What lies at several paths, asked for beside each other. Raises StoreError."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            read = pool.map(lambda path: self.read(path, limit=limit), paths)
            found = zip(paths, read, strict=True)
            return {path: stored for path, stored in found if stored is not None}

    def write(self, path: str, data: bytes, *, over: str | None) -> None:
        """Write a file whole or not at all. Raises Conflict and StoreError."""
        blob = self._blob(path)
        kind = "application/gzip" if path.endswith(".gz") else _KINDS.get(path.rpartition(".")[2])
        with self._asking("write", path):
            try:
                blob.upload_from_string(
                    data,
                    content_type=kind or "text/plain",
                    if_generation_match=int(over or 0),
                    timeout=self._seconds,
                    retry=self._patience,
                )
            except api.PreconditionFailed:
                done = False
            else:
                done = True
        there = None if done else self.read(path)
        if not done and (there is None or there.data != data):
            raise Conflict(f"{self.where(path)}: somebody else wrote it in the meantime")

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder, sorted. Raises StoreError."""
        files, folders = self._list(folder)
        return sorted((*files, *folders))

    def names_all(self, folders: Collection[str]) -> Mapping[str, list[str]]:
        """What lies in several folders, asked for beside each other. Raises StoreError."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return dict(zip(folders, pool.map(self.names, folders), strict=True))

    def versions(self, folder: str) -> Mapping[str, str]:
        """The files of a folder by their generations. Raises StoreError."""
        return self._list(folder)[0]

    def where(self, path: str) -> str:
        """The path as gcloud takes it."""
        return f"gs://{self._bucket.name}/{self._prefix}{path}"

    def _list(self, folder: str) -> tuple[dict[str, str], list[str]]:
        """The files of a folder by their generations, and the folders in it."""
        below = self._prefix + folder
        with self._asking("list", folder):
            listed = self._client.list_blobs(
                self._bucket,
                prefix=below,
                delimiter="/",
                timeout=self._seconds,
                retry=self._patience,
            )
            files = {blob.name.removeprefix(below): str(blob.generation) for blob in listed}
            return files, [name.removeprefix(below) for name in listed.prefixes]

    def _blob(self, path: str) -> Any:
        return self._bucket.blob(self._prefix + path)

    @contextmanager
    def _asking(self, verb: str, path: str) -> Iterator[None]:
        """Tell in our words what the bucket refuses."""
        try:
            yield
        except (api.NotFound, api.Forbidden, api.Unauthorized) as error:
            told = "no such bucket" if isinstance(error, api.NotFound) else "permission denied"
            hint = f"gcloud storage ls gs://{self._bucket.name}"
            raise StoreError(f"cannot {verb} {self.where(path)}: {told}", hint=hint) from None
        except GoogleAuthError:
            raise StoreError(
                f"cannot {verb} {self.where(path)}: no usable credentials",
                hint="gcloud auth application-default login",
            ) from None
        except (api.GoogleAPIError, requests.RequestException, OSError) as error:
            told = f"{type(error).__name__}: it did not answer as it should"
            raise StoreError(f"cannot {verb} {self.where(path)}: {told}") from None


_KINDS = {"json": "application/json", "html": "text/html", "md": "text/markdown"}
"""What a browser is to take a file for."""


@quiet.hushed()
def open_bucket(name: str, emulator: str, credentials: Callable[[], Any]) -> Bucket:
    """
    The home that `gs://BUCKET/PREFIX` names. A local server (`http://127.0.0.1:9023`) gets no
    credentials. Raises StoreError, and what `credentials` does.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise StoreError(f"{name}: not the name of a bucket", hint="give gs://BUCKET/PREFIX")
    client = storage.Client(
        project="-",  # of no use: a bucket is known by its name alone
        credentials=AnonymousCredentials() if emulator else credentials(),
        client_options={"api_endpoint": emulator} if emulator else None,
    )
    return Bucket(client, found["bucket"], found["prefix"] or "")
