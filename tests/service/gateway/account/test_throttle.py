"""How many turns of one user may begin, and run at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.gateway.account.throttle import Throttle
from shared.errors import TooMany
from shared.settings import Settings


def throttle(at_once: int) -> Throttle:
    return Throttle(Settings(_env_file=None, environment="test", turns_at_once=at_once, turns_per_minute=3))


def nobody(_user_id: str) -> int:
    return 0


async def is_admitted(limits: Throttle, user_id: str = "u1") -> bool:
    try:
        async with limits.admitted(user_id, nobody):
            return True
    except TooMany:
        return False


async def test_turns_that_are_only_beginning_count_and_each_user_has_their_own() -> None:
    limits = throttle(at_once=2)
    async with limits.admitted("u1", nobody), limits.admitted("u1", nobody):
        assert not await is_admitted(limits)
        assert await is_admitted(limits, "u2")
    assert await is_admitted(limits)


async def test_turns_that_run_count() -> None:
    limits = throttle(at_once=2)
    with pytest.raises(TooMany) as refused:
        async with limits.admitted("u1", {"u1": 2}.__getitem__):
            pass
    assert refused.value.extra["retry_after_s"] >= 1


async def test_a_place_is_given_back_by_whoever_fails_is_refused_or_goes_away() -> None:
    limits = throttle(at_once=1)

    async def hold(failure: Exception | None, began: asyncio.Event) -> None:
        async with limits.admitted("u1", nobody):
            began.set()
            if failure is not None:
                raise failure
            await asyncio.Event().wait()

    with pytest.raises(LookupError):
        await hold(LookupError(), asyncio.Event())
    began = asyncio.Event()
    holding = asyncio.create_task(hold(None, began))
    await began.wait()
    holding.cancel()
    await asyncio.wait({holding})
    assert await is_admitted(limits)
    for _ in range(2):  # by the minute's limit, not for want of a place
        with pytest.raises(TooMany, match="a minute"):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(limits.admitted("u1", nobody))
