"""The worker and its leader, whatever the jobs are: one leads, nobody waits for another, a stop finishes what began."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from shared.backoff import Backoff
from shared.database import Pool, open_pool
from shared.jobs.leader import Leader
from shared.jobs.worker import Job, Worker
from shared.settings import Settings
from tests.waiting import until_true

QUICK = Backoff(0.01, 0.05)


async def nothing() -> None:
    """Be elected."""


@asynccontextmanager
async def working(
    pool: Pool, lock: int, *, idle_s: float = 0.01, share: float = 1.0, **jobs: Job
) -> AsyncIterator[Worker]:
    worker = Worker("test", Leader(pool, lock, nothing), jobs, idle_s=idle_s, backoff=QUICK, share=share)
    running = asyncio.create_task(worker.run())
    yield worker
    worker.shut_down()
    await running


async def test_workers_of_one_lock_have_one_leader_and_those_of_others_their_own(settings: Settings) -> None:
    worked: list[str] = []

    def job(name: str) -> Job:
        async def work() -> bool:
            worked.append(name)
            return False

        return work

    async with open_pool(settings.workflow_database_url, "test") as pool:
        async with working(pool, 1, job=job("first")):
            await until_true(lambda: "first" in worked)
            async with working(pool, 1, job=job("second")), working(pool, 2, job=job("other")):
                await until_true(lambda: "other" in worked)
                assert "second" not in worked
        async with working(pool, 1, job=job("second")):
            await until_true(lambda: "second" in worked)


@pytest.mark.parametrize(
    "error",
    [asyncpg.InterfaceError("the database is away"), KeyError("what nobody foresaw")],
    ids=["away", "unforeseen"],
)
async def test_a_job_that_waits_or_fails_holds_up_no_other(settings: Settings, error: Exception) -> None:
    release, worked = asyncio.Event(), []

    async def wait() -> bool:
        await release.wait()
        worked.append("waited")
        return False

    async def fail() -> bool:
        raise error

    async def work() -> bool:
        worked.append("worked")
        return False

    async with open_pool(settings.workflow_database_url, "test") as pool:
        async with working(pool, 1, wait=wait, fail=fail, work=work) as worker:
            await until_true(lambda: worked.count("worked") > 2 and worker.fault() is not None)
            assert worker.fault() == f"fail: {type(error).__name__}: {error}"
            assert worked.count("waited") == 0
            worker.shut_down()
            release.set()
        assert worked[-1] == "waited"  # what was begun is finished


async def test_a_job_that_has_a_share_of_the_time_leaves_the_rest_to_others(settings: Settings) -> None:
    worked: Counter[str] = Counter()

    def job(name: str) -> Job:
        async def work() -> bool:
            await asyncio.sleep(0.001)
            worked[name] += 1
            return True

        return work

    async with (
        open_pool(settings.workflow_database_url, "test") as pool,
        working(pool, 1, idle_s=10, share=0.02, job=job("modest")),
        working(pool, 2, job=job("greedy")),
    ):
        await until_true(lambda: worked["modest"] > 0)
        before = worked.copy()
        await until_true(lambda: worked["greedy"] - before["greedy"] >= 200)
        assert worked["modest"] - before["modest"] < 50
