"""Who writes what into the bucket of a deployment: the accounts may do what the program does, no more."""

from __future__ import annotations

import re

import pytest

from tests.bucket import NAME, bucket
from tests.command import run
from tests.deployment import LOST, allows, conditions, jobs, plan, ready, resources
from tests.worlds import playing, reached

STORE = f"--store=gs://{NAME}/drift"
PLACE = ("--project=shop", "--region=europe-west1", "--service=api", STORE)


def task(index, count):
    """What Cloud Run tells a task of the night."""
    return {
        "CLOUD_RUN_TASK_INDEX": str(index),
        "CLOUD_RUN_TASK_COUNT": str(count),
        "CLOUD_RUN_EXECUTION": "drift-audit-night-abc12",
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """
    The names of the objects that a promotion wrote, and those that nights wrote after it: one of
    three tasks that are merged, as in the plan, and one that is whole.
    """
    here = tmp_path_factory.mktemp("store")
    promote = ("baseline", "promote", "api-00001-a", "--reason=release 1", *PLACE)
    planned = {name: ready(job["args"]) for name, job in jobs().items()}
    night, merge = planned["drift-audit-night"], planned["drift-audit-merge"]
    with playing(LOST) as emulator, bucket() as cloud:
        env = {**reached(emulator), **cloud.env}
        digest = re.findall(r"sha256 (\w+)", run(*promote, "--dry-run", cwd=here, env=env).out)
        ran = [run(*promote, f"--sha256={digest[0]}", cwd=here, env=env)]
        first = dict(cloud.objects)
        env["DRIFT_AUDIT_FAIL_ON"] = "never"
        ran += [run(*night, cwd=here, env={**env, **task(n, 3)}) for n in range(3)]
        of_merge = {**task(0, 1), "CLOUD_RUN_EXECUTION": "drift-audit-merge-def34"}
        ran.append(run(*merge, cwd=here, env={**env, **of_merge}))
        ran.append(run(*night, "--night", cwd=here, env={**env, **task(0, 1)}))
        second = {n for n, one in cloud.objects.items() if first.get(n) != one}

    assert [one.code for one in ran] == [0] * 6, "".join(one.err for one in ran)
    assert "SERVICE_SECRET" in ran[4].out
    assert STORE in night
    return {*first}, second


def of_iam(name):
    return f"projects/_/buckets/{NAME}/objects/{name}"


def test_reader_may_write_what_a_night_writes(written):
    """Every object of a night lies where the reader may write, and none of a promotion does."""
    promotion, night = written
    may = conditions()["reports"]

    assert {n.split("/")[1] for n in night} == {"_nights", ".archive"}
    assert [n for n in night if not allows(may, of_iam(n))] == []
    assert [n for n in promotion if allows(may, of_iam(n))] == []


def test_promoter_may_write_what_a_promotion_writes(written):
    """Every object of a promotion lies where the promoter may write."""
    promotion, _ = written
    may = conditions()["baselines"]

    assert "drift/shop/europe-west1/api.json" in promotion
    assert [n for n in promotion if not allows(may, of_iam(n))] == []


def test_store_of_the_plan_is_the_bucket(written):
    """The bucket of the plan is the one that its jobs are told."""
    [made] = resources(plan(), "google_storage_bucket").values()

    assert made["name"] == NAME
