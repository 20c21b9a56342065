"""Concurrent calls share a run, and a bad one is its own fault only."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest

from services.gateway.turns.stored.grouped import MOST_BYTES, BrokenOff, Grouped
from shared.database import Fault, fault_of
from tests.waiting import PATIENCE_S

Run = Callable[[Sequence[int]], Awaitable[list[int]]]


def lending(run: Run) -> Callable[[Sequence[int]], AbstractAsyncContextManager[list[int]]]:
    """Run each group in a block that ends at once."""

    @asynccontextmanager
    async def running(items: Sequence[int]) -> AsyncIterator[list[int]]:
        yield await run(items)

    return running


class Doubler:
    """Doubles each item of a group, and remembers the groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()

    async def run(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        await self.gate.wait()
        if any(item < 0 for item in items):
            raise asyncpg.CheckViolationError("negative")
        return [item * 2 for item in items]


async def test_what_comes_while_a_group_runs_is_the_next_group() -> None:
    doubler = Doubler()
    grouped = Grouped(lending(doubler.run))
    first = asyncio.create_task(grouped.call(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(grouped.call(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    doubler.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert doubler.groups == [[1], [2, 3, 4]]


async def test_a_group_has_at_most_so_many_calls() -> None:
    doubler = Doubler()
    doubler.gate.set()
    grouped = Grouped(lending(doubler.run), most=2)
    assert await asyncio.gather(*(grouped.call(item) for item in range(5))) == [0, 2, 4, 6, 8]
    assert max(len(group) for group in doubler.groups) == 2


async def test_heavy_calls_let_light_ones_pass_and_are_each_next_in_the_end() -> None:
    doubler = Doubler()
    grouped = Grouped(lending(doubler.run), weigh=lambda item: MOST_BYTES * item // 100)
    first = asyncio.create_task(grouped.call(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(grouped.call(item)) for item in (90, 300, 70, 10, 2)]
    await asyncio.sleep(0)
    doubler.gate.set()
    assert await asyncio.gather(first, *others) == [0, 180, 600, 140, 20, 4]
    assert doubler.groups == [[0], [90, 10], [300], [70, 2]]


async def test_a_call_that_can_t_be_stored_fails_alone() -> None:
    doubler = Doubler()
    doubler.gate.set()
    grouped = Grouped(lending(doubler.run))
    results = await asyncio.gather(*(grouped.call(item) for item in (1, -1, 2)), return_exceptions=True)
    assert (results[0], results[2]) == (2, 4)
    assert isinstance(results[1], asyncpg.CheckViolationError)


async def test_an_outage_is_everybody_s_and_the_next_call_runs_again() -> None:
    outages = [OSError("away")]

    async def run(items: Sequence[int]) -> list[int]:
        if outages:
            raise outages.pop()
        return list(items)

    grouped = Grouped(lending(run))
    results = await asyncio.gather(grouped.call(1), grouped.call(2), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError]
    assert await grouped.call(3) == 3


async def test_a_caller_that_gives_up_leaves_its_neighbours_their_results() -> None:
    doubler = Doubler()
    grouped = Grouped(lending(doubler.run))
    gone, stays = asyncio.create_task(grouped.call(1)), asyncio.create_task(grouped.call(2))
    await asyncio.sleep(0)
    gone.cancel()
    doubler.gate.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_results_that_are_too_few_are_an_error_of_their_group_only() -> None:
    missing = [1]

    async def run(items: Sequence[int]) -> list[int]:
        return list(items)[missing.pop() if missing else 0 :]

    grouped = Grouped(lending(run), most=2)
    async with asyncio.timeout(PATIENCE_S):
        results = await asyncio.gather(*(grouped.call(item) for item in range(4)), return_exceptions=True)
        assert [type(result) for result in results[:2]] == [ValueError, ValueError]
        assert results[2:] == [2, 3]
        assert await grouped.call(5) == 5


class Unforeseen(BaseException):
    """Nothing that anybody catches."""


@pytest.mark.parametrize("end", [asyncio.CancelledError, Unforeseen])
async def test_a_run_that_is_broken_off_fails_whoever_waits_and_the_next_call_runs_again(
    end: type[BaseException],
) -> None:
    ends = [end()]

    async def run(items: Sequence[int]) -> list[int]:
        if ends:
            raise ends.pop()
        return list(items)

    grouped = Grouped(lending(run), most=2)
    async with asyncio.timeout(PATIENCE_S):
        results = await asyncio.gather(*(grouped.call(item) for item in range(3)), return_exceptions=True)
        assert {type(result) for result in results} == {BrokenOff}
        assert fault_of(BrokenOff()) is Fault.TRANSIENT
        assert await grouped.call(5) == 5


async def test_a_call_that_waits_for_somebody_elses_row_fails_alone() -> None:
    async def run(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
        return list(items)

    grouped = Grouped(lending(run))
    results = await asyncio.gather(*(grouped.call(item) for item in (0, 1, 2)), return_exceptions=True)
    assert (results[0], results[2]) == (0, 2)
    assert isinstance(results[1], asyncpg.LockNotAvailableError)


async def test_results_are_there_before_the_connection_is_given_back() -> None:
    groups: list[list[int]] = []
    given_back = asyncio.Event()

    @asynccontextmanager
    async def run(items: Sequence[int]) -> AsyncIterator[list[int]]:
        groups.append(list(items))
        yield list(items)
        await given_back.wait()

    grouped = Grouped(run)
    async with asyncio.timeout(PATIENCE_S):
        assert await grouped.call(1) == 1
    second = asyncio.create_task(grouped.call(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert groups == [[1]]  # who comes before that is the next group
    given_back.set()
    assert await second == 2


async def test_a_group_that_ends_badly_after_its_answers_is_not_run_again() -> None:
    groups: list[list[int]] = []

    @asynccontextmanager
    async def run(items: Sequence[int]) -> AsyncIterator[list[int]]:
        groups.append(list(items))
        yield list(items)
        raise asyncpg.CheckViolationError("the fault of one, if it had come before")

    grouped = Grouped(run)
    assert [*await asyncio.gather(grouped.call(1), grouped.call(2))] == [1, 2]
    assert await grouped.call(3) == 3
    assert groups == [[1, 2], [3]]
