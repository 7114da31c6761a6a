"""What databases and connectors take, as far as anything tells it; no number is assumed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.limits import (
    SqlInstance,
    VpcConnector,
    connector_of,
    connector_place,
    instance_place,
    memory,
)
from tests.builders import snapshot

CONNECTOR = "projects/shop/locations/europe-west1/connectors/c1"


def postgres(**more):
    return SqlInstance(name="shop:r1:db", engine="POSTGRES_16", **more)


@pytest.mark.parametrize(
    ("tier", "gigabytes", "connections"),
    [
        ("db-f1-micro", 0.6, 25),
        ("db-g1-small", 1.7, 50),
        ("db-custom-1-3840", 3.75, 100),
        ("db-custom-2-6143", 6143 / 1024, 100),
        ("db-custom-2-6144", 6, 200),
        ("db-custom-2-7679", 7679 / 1024, 200),
        ("db-custom-2-7680", 7.5, 400),
        ("db-custom-4-15359", 15359 / 1024, 400),
        ("db-custom-4-15360", 15, 500),
        ("db-custom-8-30720", 30, 600),
        ("db-custom-16-61440", 60, 800),
        ("db-custom-32-122880", 120, 1000),
        ("db-custom-96-638976", 624, 1000),
        ("db-n1-standard-1", 3.75, 100),
        ("db-n1-standard-4", 15, 500),
        ("db-n1-highmem-2", 13, 400),
        ("db-perf-optimized-N-2", 16, 500),
        ("db-perf-optimized-N-128", 1024, 1000),
        ("db-c4a-highmem-4", 32, 600),
        ("db-n4-standard-8", None, None),
        ("db-custom-2", None, None),
        ("db-custom-2-٧٦٨٠", None, None),
        ("D0", None, None),
        ("", None, None),
    ],
)
def test_default_of_postgresql(tier, gigabytes, connections):
    """Without a flag, memory decides; a tier whose memory is not documented tells nothing."""
    assert memory(tier) == gigabytes
    assert postgres(tier=tier).limit.most == connections


SIZES = st.integers(3840, 638_976)


@given(SIZES, SIZES)
def test_more_memory_never_takes_fewer(one, other):
    """A larger instance has at least the default of a smaller one."""
    small, large = sorted((one, other))
    limits = [postgres(tier=f"db-custom-2-{mb}").limit.most for mb in (small, large)]

    assert limits[0] <= limits[1]


SMALL, LARGE = "db-custom-1-3840", "db-custom-8-30720"


@pytest.mark.parametrize(
    ("instance", "most", "because"),
    [
        (postgres(tier=SMALL, flag=77), 77, "as its flag says"),
        (SqlInstance(name="x", engine="MYSQL_8_0", flag=99), 99, "as its flag says"),
        (SqlInstance(name="x", engine="MYSQL_8_0", tier=SMALL), None, "MYSQL_8_0 has no flag max_connections set"),
        (SqlInstance(name="x", engine="SQLSERVER_2019_WEB"), None, "SQLSERVER_2019_WEB has no flag user connections set"),
        (SqlInstance(name="x", exists=False), None, "its engine has no flag max_connections set"),
        (postgres(tier=SMALL, pooled=True, flag=77), None, "managed connection pooling is on"),
        (postgres(tier=SMALL, type="READ_POOL_INSTANCE", flag=77), None, "it is a pool of several nodes"),
        (postgres(tier=SMALL, replica=True, primary=postgres(tier=LARGE)), 600, "the default for 30 GB"),
        (postgres(tier=LARGE, replica=True, primary=postgres(tier=SMALL)), 600, "the default for 30 GB"),
        (postgres(tier=SMALL, replica=True, flag=77), 77, "as its flag says"),
        (postgres(tier=SMALL, replica=True), None, "its primary is not known"),
        (postgres(tier=SMALL, replica=True, primary=postgres(tier=SMALL, flag=500)), None, "its primary shop:r1:db has one of its own"),
        (postgres(tier=SMALL, replica=True, primary=postgres(tier="db-x")), None, "the memory of db-x is not known"),
        (
            postgres(tier=SMALL, replica=True, primary=postgres(tier=SMALL, replica=True, primary=postgres(tier=LARGE))),
            600, "the default for 30 GB",
        ),
        (postgres(tier=SMALL, replica=True, primary=postgres(tier=SMALL, replica=True)), None, "its primary is not known"),
    ],
)  # fmt: skip
def test_limit(instance, most, because):
    """A flag decides, else the default of the largest primary; the reason is said in both cases."""
    assert instance.limit == (most, because)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("shop:europe-west1:main", ("shop", "europe-west1", "main")),
        ("example.com:shop:europe-west1:main", ("example.com:shop", "europe-west1", "main")),
        ("shop:main", None),
        ("Shop:europe-west1:main", None),
        ("shop:europe-west1:../x", None),
        ("${PROJECT}:europe-west1:main", None),
        ("", None),
    ],
)
def test_names_of_instances(name, place):
    """Project, region and name are taken from what can be a name, and from nothing else."""
    assert instance_place(name) == place


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (CONNECTOR, ("shop", "europe-west1", "c1")),
        ("projects/example.com:shop/locations/r1/connectors/c1", ("example.com:shop", "r1", "c1")),
        ("c1", None),
        (f"{CONNECTOR}/../x", None),
        ("", None),
    ],
)
def test_names_of_connectors(name, place):
    """The same for connectors."""
    assert connector_place(name) == place


@pytest.mark.parametrize(
    ("written", "identity", "full"),
    [
        ("c1", {}, CONNECTOR),
        (CONNECTOR.replace("shop", "net"), {}, CONNECTOR.replace("shop", "net")),
        ("c1", {"project": "-"}, "c1"),
        ("c1", {"region": "-"}, "c1"),
        (None, {}, ""),
    ],
)
def test_connector_of_a_revision(written, identity, full):
    """A connector near the service is told by its full name, as far as the place is known."""
    side = {"settings": {"vpc.connector": written} if written else {}}

    assert connector_of(snapshot(side, **identity)) == full


@pytest.mark.parametrize(
    ("one", "says", "passing"),
    [
        (postgres(exists=False), "does not exist", False),
        (postgres(activation="NEVER", state="RUNNABLE"), "is stopped", False),
        (postgres(state="SUSPENDED"), "is in the state SUSPENDED", False),
        (postgres(state="MAINTENANCE"), "is in the state MAINTENANCE", True),
        (postgres(state="NEVER_HEARD_OF"), "is in the state NEVER_HEARD_OF", False),
        (VpcConnector(name="c", exists=False), "does not exist", False),
        (VpcConnector(name="c", state="ERROR"), "is in the state ERROR", False),
        (VpcConnector(name="c", state="CREATING"), "is in the state CREATING", True),
    ],
)
def test_trouble(one, says, passing):
    """What does not work says why, and whether that passes by itself."""
    assert one.trouble == (says, passing)


@pytest.mark.parametrize(
    "one",
    [postgres(), postgres(state="RUNNABLE", activation="ALWAYS"), VpcConnector(name="c", state="UPDATING")],
)  # fmt: skip
def test_no_trouble(one):
    """What works, or whose state is not told, is in no trouble."""
    assert one.trouble is None
