"""
Google's clients, over TLS with application default credentials, or in plain text to a local
emulator.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import google.auth
import grpc
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.impersonated_credentials import Credentials as Impersonated
from google.auth.transport.requests import AuthorizedSession
from google.cloud import run_v2, secretmanager_v1

from drift_audit import quiet
from drift_audit.collector import account
from drift_audit.collector.rest import Rest
from drift_audit.errors import SourceError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

UNLIMITED = [("grpc.max_receive_message_length", -1)]
"""gRPC's own limit of 4 MiB is below one page of large revisions (`cloud-run-api.md` §0)."""


class CloudRunClients(NamedTuple):
    """One client for each kind of resource, on one channel where it is ours."""

    services: run_v2.ServicesClient
    revisions: run_v2.RevisionsClient
    worker_pools: run_v2.WorkerPoolsClient
    jobs: run_v2.JobsClient


def _channel(emulator: str) -> grpc.Channel | None:
    """The way to an emulator, None where there is none."""
    return grpc.insecure_channel(emulator, options=UNLIMITED) if emulator else None


@dataclass(frozen=True)
class Connection:
    """
    How to reach the APIs.

    An emulator host (`127.0.0.1:8085`) is spoken to in plain text and without credentials; `rest`
    is the one for the calls that go over HTTP. `impersonate` is a chain of service accounts, the
    last of them the one to act as.
    """

    run_emulator: str = ""
    secrets_emulator: str = ""
    rest_emulator: str = ""
    impersonate: Sequence[str] = ()

    @quiet.hushed()
    def cloud_run(self) -> CloudRunClients:
        """The clients of Cloud Run. Raises SourceError when there are no credentials."""
        channel = _channel(self.run_emulator)
        return CloudRunClients(
            self._client(run_v2.ServicesClient, channel),
            self._client(run_v2.RevisionsClient, channel),
            self._client(run_v2.WorkerPoolsClient, channel),
            self._client(run_v2.JobsClient, channel),
        )

    @quiet.hushed()
    def rest(self, what: str = "regions", hint: str = "give --region") -> Rest:
        """
        What asks over HTTP, and what to say where it cannot: what is not asked for then, and what
        to do. Raises SourceError when there are no credentials, and when the other calls go to an
        emulator and these have none: real credentials would leave for a test.
        """
        if self.rest_emulator:
            return Rest(requests.Session(), self.rest_emulator)
        if self.run_emulator:
            raise SourceError(
                f"CLOUD_RUN_EMULATOR_REST_HOST is not set, so {what} cannot be asked for",
                hint=hint,
            )
        return Rest(AuthorizedSession(self.credentials))

    @quiet.hushed()
    def secret_manager(self) -> secretmanager_v1.SecretManagerServiceClient:
        """The client of Secret Manager. Raises SourceError when there are no credentials."""
        channel = _channel(self.secrets_emulator)
        found: secretmanager_v1.SecretManagerServiceClient
        found = self._client(secretmanager_v1.SecretManagerServiceClient, channel)
        return found

    def _client(self, kind: Any, channel: grpc.Channel | None) -> Any:
        """A client of some kind: on a channel that is there, else with credentials."""
        if channel is None:
            return kind(credentials=self.credentials)
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))

    def whose(self) -> account.Account:
        """
        Who acts. A machine may know its account only after the first call. Raises SourceError when
        there are no credentials.
        """
        if self.run_emulator and self.secrets_emulator:
            return account.Account("nobody: emulators are asked, without credentials")
        return account.of(self.credentials)

    @cached_property
    def credentials(self) -> Any:
        """Those of the machine, or of whom it acts as. Raises SourceError when there are none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they name the file; doctor tells what they mean
                credentials, _ = google.auth.default(scopes=[SCOPE])
        except GoogleAuthError:
            raise SourceError(
                "no usable application default credentials were found",
                hint="gcloud auth application-default login, or audit exported files with --input",
            ) from None
        if not self.impersonate:
            return credentials
        *delegates, target = self.impersonate
        return Impersonated(
            source_credentials=credentials,
            target_principal=target,
            delegates=delegates,
            target_scopes=[SCOPE],
        )
