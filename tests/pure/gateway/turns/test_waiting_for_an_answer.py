"""Who waits for a task to be over learns nothing of how it ended, and can be cancelled."""

import asyncio

import pytest

from services.gateway.turns.here.runner import over


async def fail() -> None:
    raise ValueError("the model's")


async def test_a_task_that_fails_or_is_cancelled_is_over() -> None:
    failing, cancelled = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(cancelled.cancel)

    await over(failing)
    await over(cancelled)

    assert isinstance(failing.exception(), ValueError)
    assert cancelled.cancelled()


async def test_whoever_waits_can_be_cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    waiting = asyncio.create_task(over(task))
    await asyncio.sleep(0)  # it has begun to wait

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    task.cancel()
