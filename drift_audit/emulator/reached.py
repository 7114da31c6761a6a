"""
What the services of a world reach beside Cloud Run: Cloud SQL instances and VPC connectors.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drift_audit.emulator.deployed import INT32, Part


class WorldDatabase(Part):
    """
    A Cloud SQL instance. `primary` names what it is a replica of, in its own project or as
    PROJECT:NAME; one with `nodes` is a pool of so many. `pooling` is the managed one.
    """

    project: str
    region: str
    database: str
    engine: str = "POSTGRES_16"
    tier: str = "db-custom-1-3840"
    edition: Literal["ENTERPRISE", "ENTERPRISE_PLUS"] = "ENTERPRISE"
    flags: dict[str, str] = {}
    state: str = "RUNNABLE"
    activation: Literal["ALWAYS", "NEVER"] = "ALWAYS"
    primary: str = ""
    nodes: int | None = Field(None, ge=1, le=INT32)
    pooling: bool = False

    @property
    def name(self) -> str:
        """The full resource name. It tells no region: no two of a project share a name."""
        return f"projects/{self.project}/instances/{self.database}"


class WorldConnector(Part):
    """A VPC connector, and how many instances of its own it may have."""

    project: str
    region: str
    connector: str
    network: str = "default"
    range: str = "10.8.0.0/28"
    machine_type: str = "e2-micro"
    min_instances: int = Field(2, ge=2, le=INT32)
    max_instances: int | None = Field(10, ge=3, le=INT32)
    state: str = "READY"

    @property
    def name(self) -> str:
        """The full resource name."""
        return f"projects/{self.project}/locations/{self.region}/connectors/{self.connector}"
