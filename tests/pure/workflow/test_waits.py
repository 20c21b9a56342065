"""The token bucket and the waits: as fast as Avinode allows, and no faster."""

import asyncio
from time import monotonic

import pytest

from services.workflow.avinode.bucket import TokenBucket
from services.workflow.waits import Waits
from shared.errors import ShuttingDown
from tests.waiting import PATIENCE_S


async def test_a_burst_is_free() -> None:
    bucket = TokenBucket(per_s=50, burst=5, clock=lambda: 0.0)  # no time passes, so nothing is refilled
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(5):
            await bucket.take()


async def test_what_comes_after_the_burst_comes_at_the_rate() -> None:
    bucket = TokenBucket(per_s=50, burst=1)
    began = monotonic()
    for _ in range(6):
        await bucket.take()
    assert monotonic() - began >= 0.09


async def test_a_bucket_that_is_held_holds_who_waits_already() -> None:
    bucket = TokenBucket(per_s=5, burst=1)
    await bucket.take()
    waiting = asyncio.create_task(bucket.take())
    await asyncio.sleep(0)
    began = monotonic()
    bucket.hold(0.4)
    await waiting
    assert monotonic() - began >= 0.39


async def test_a_closed_bucket_ends_every_wait() -> None:
    bucket = TokenBucket(per_s=0.001, burst=1)
    await bucket.take()
    waiting = [asyncio.create_task(bucket.take()) for _ in range(3)]
    await asyncio.sleep(0)
    bucket.close()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_S)
    assert [type(result) for result in results] == [ShuttingDown] * 3


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 1), (1, 1), (2, 2), (5, 16), (100, 300), (10**9, 300)])
def test_waits_double_up_to_the_longest(attempts: int, wait_s: float) -> None:
    assert Waits().retry_s(attempts) == wait_s


def test_unmatched_notices_may_wait_longer() -> None:
    assert Waits().retry_s(100, Waits().longest_unmatched_s) == 6 * 3600


async def test_urgent_calls_come_before_those_that_wait_longer() -> None:
    bucket = TokenBucket(per_s=10, burst=1)
    await bucket.take()
    order: list[str] = []

    async def call(name: str, *, is_urgent: bool) -> None:
        await bucket.take(is_urgent=is_urgent)
        order.append(name)

    usual = [asyncio.create_task(call(name, is_urgent=False)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)  # they wait already
    urgent = [asyncio.create_task(call(f"urgent {number}", is_urgent=True)) for number in range(4)]
    await asyncio.gather(*usual, *urgent)
    assert order == ["urgent 0", "urgent 1", "urgent 2", "urgent 3", "first", "second", "third"]


async def test_an_urgent_call_that_is_given_up_holds_nobody_up() -> None:
    bucket = TokenBucket(per_s=20, burst=1)
    await bucket.take()
    urgent = asyncio.create_task(bucket.take(is_urgent=True))
    await asyncio.sleep(0)
    urgent.cancel()
    await bucket.take()
