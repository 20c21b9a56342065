"""One statement for many concurrent calls: whatever has come while the last group ran is the next group.

There is no window to wait for: a lone call runs at once, and a busy moment makes its own groups.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import asyncpg
import structlog

from shared.broker.connection import describe
from shared.database import Fault, fault_of

Item = TypeVar("Item")
Result = TypeVar("Result")


MOST_BYTES = 2 * 2**20  # of texts in one statement: more takes longer than those may wait who came with little

log = structlog.get_logger(__name__)


class BrokenOff(ConnectionError):
    """The statement of a group was broken off, as by a lost connection: it may have been committed, or not."""


class Grouped(Generic[Item, Result]):
    """Give concurrent callers of `call` one run of `run`, which answers each item in the items' order.

    They have their results in its block: what ends that, as giving back a connection, is waited for by the next group.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], AbstractAsyncContextManager[Sequence[Result]]],
        most: int = 200,
        weigh: Callable[[Item], int] = lambda _: 0,
    ) -> None:
        """Make groups of `most` calls, and of `MOST_BYTES` by what each weighs.

        Whoever has waited longest is in the next one; of the others those that are too heavy let lighter ones pass.
        """
        self._run = run
        self._most = most
        self._weigh = weigh
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def call(self, item: Item) -> Result:
        """Run `item` in the next group, and return its result or raise the error that it met."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        group: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                group = self._next_group()
                await self._settle(group)
        finally:  # where it ends before its time, cancelled say, nobody else would answer those who wait
            left, self._waiting, self._task = [*group, *self._waiting], [], None
            _fail(left, BrokenOff("the statement was broken off"))

    def _next_group(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        group: list[tuple[Item, asyncio.Future[Result]]] = []
        passed: list[tuple[Item, asyncio.Future[Result]]] = []
        room = MOST_BYTES
        for member in self._waiting:
            weight = self._weigh(member[0])
            fits = not group or (len(group) < self._most and weight <= room)
            (group if fits else passed).append(member)
            room -= weight if fits else 0
        self._waiting = passed
        return group

    async def _settle(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        is_answered = False
        try:
            async with self._run([item for item, _ in group]) as results:
                answers = list(zip(group, results, strict=True))
                is_answered = True
                for (_, future), result in answers:
                    if not future.done():
                        future.set_result(result)
        except Exception as error:  # noqa: BLE001 - handed to the callers, who wait for nothing else
            if is_answered:
                log.warning("a group ended badly after its answers", error=describe(error))
            else:
                await self._settle_error(group, error)

    async def _settle_error(self, group: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        """Hand the error out; but what is the fault of one alone, its neighbours run without it."""
        if len(group) > 1 and _is_of_one(error):
            for member in group:
                await self._settle([member])
            return
        _fail(group, error)


def _is_of_one(error: Exception) -> bool:
    """Tell whether one of a group is to blame: its row can't be stored, or waits for somebody else's."""
    return fault_of(error) is Fault.MESSAGE or isinstance(error, asyncpg.LockNotAvailableError)


def _fail(group: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
    """Let those of a group who have no result yet have this error."""
    for _, future in group:
        if not future.done():
            future.set_exception(error)
