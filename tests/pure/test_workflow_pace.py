"""The token bucket and the waits: as fast as Avinode allows, and no faster."""

import asyncio
from time import monotonic

import pytest

from services.workflow.avinode.bucket import TokenBucket
from services.workflow.pace import Pace
from shared.errors import ShuttingDown


async def test_a_burst_is_free_and_the_rest_comes_at_the_rate() -> None:
    bucket = TokenBucket(per_s=50, burst=5)
    began = monotonic()
    for _ in range(5):
        await bucket.take()
    assert monotonic() - began < 0.05
    for _ in range(5):
        await bucket.take()
    assert 0.08 < monotonic() - began < 0.4


async def test_a_held_bucket_hands_out_nothing_for_that_long() -> None:
    bucket = TokenBucket(per_s=100, burst=100)
    waiting = asyncio.create_task(_take_at_empty(bucket))
    await asyncio.sleep(0)
    began = monotonic()
    bucket.hold(0.15)
    await waiting
    assert monotonic() - began >= 0.14


async def _take_at_empty(bucket: TokenBucket) -> None:
    for _ in range(101):
        await bucket.take()


async def test_a_closed_bucket_ends_every_wait() -> None:
    bucket = TokenBucket(per_s=0.001, burst=1)
    await bucket.take()
    waiting = [asyncio.create_task(bucket.take()) for _ in range(3)]
    await asyncio.sleep(0)
    bucket.close()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert [type(result) for result in results] == [ShuttingDown] * 3


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 1), (1, 1), (2, 2), (5, 16), (100, 300), (10**9, 300)])
def test_waits_double_up_to_the_longest(attempts: int, wait_s: float) -> None:
    assert Pace().retry_s(attempts) == wait_s


def test_unmatched_notices_may_wait_longer() -> None:
    assert Pace().retry_s(100, Pace().longest_unmatched_s) == 6 * 3600
