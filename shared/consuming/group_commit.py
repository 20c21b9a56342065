"""Consuming a queue in groups: whatever has arrived when one commit ends is the next commit.

What is promised, and what makes it so:

- nothing is acknowledged before it is settled, that is committed or parked. There is one commit at a time, a group is
  a run of consecutive tags, undecodable bodies keep their place in it, and a cumulative ack follows it soon, on the
  channel that delivered it. Where that channel is gone, there is no ack and the group comes again: commits must be
  safe to repeat.
- no window: a lone message is committed at once, a flood in groups of up to `group_size`.
- a message that can never succeed is parked in `dead` with its reason, and its neighbours are stored: a group whose
  commit fails by the fault of a message is halved until the guilty one is alone. Only when parking fails too is it
  rejected, and dead-lettered by the broker.
- a database that is away is waited out with the same group; after `PATIENCE_S` the deliveries are given back, once an
  outage, since each time counts against the queue's delivery limit. The group that failed is the probe: when its
  commit succeeds, consuming begins anew, and what comes again is a repeat.
- a consumer that the broker has dropped, with or without saying so, is registered again, when its queue is there.
- any other error leaves `run`, and so ends the process: there is no task that could die unseen.
- it says which events it hears (`introduction.py`), so that it is sent what an older consumer did not know.
- `shut_down` cancels the consumer, commits and acknowledges what has arrived, closes the channel, then the connection.

`dead` itself has nowhere to park: what cannot be stored from there is waited for, loudly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog
from aio_pika.abc import AbstractConnection

from shared.broker.connection import Disconnected, open_connection
from shared.broker.declaring import require
from shared.broker.message_spans import process_span
from shared.broker.wire import WiredConnection
from shared.consuming.afterwards import Afterwards
from shared.consuming.bisection import bisect
from shared.consuming.consumer import Consumer
from shared.consuming.decoding import check_heard
from shared.consuming.introduction import SAID_AFTER_S
from shared.consuming.patient_commit import PATIENCE_S
from shared.consuming.subscription import Delivery, Subscription, subscribe
from shared.errors import Poison
from shared.events import Outcome
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import Queue

# How long nothing may arrive before the consumer takes a new channel. RabbitMQ 3.10 tells no consumer of a quorum
# queue's deletion where somebody declares it again at once, and the old channel would never hear of the new queue.
QUIET_S = 15.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    delivery: Delivery
    content: T


class GroupCommit(Consumer[T]):
    """Commits the messages of one queue in groups. See the module for what it promises."""

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        *,
        decode: Callable[[Delivery], T],
        commit: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]],
        publisher: Publisher,
        patience_s: float = PATIENCE_S,
        quiet_s: float = QUIET_S,
        said_after_s: Sequence[float] = SAID_AFTER_S,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to consume.

        Args:
            settings: `group_size` and `prefetch` are this consumer's.
            queue: Where from; where it is missing, it is waited for.
            decode: Makes one message's content; raises Poison for what can't be one.
            commit: One transaction for all of it, safe to repeat; returns the outcomes to announce. It raises a
                database error, Poison where one message is to blame, or Away; anything else ends `run`.
            publisher: Parks messages and announces outcomes.
            patience_s: How long an outage may last before the deliveries are given back.
            quiet_s: After how long without a delivery to register again, lest the broker has forgotten us.
            said_after_s: When to say which events the queue hears.
            begin: Called before the first group of each subscription: another consumer may have worked meanwhile.
        """
        super().__init__(queue, publisher, commit, patience_s=patience_s, said_after_s=said_after_s)
        self._settings = settings
        self._decode = decode
        self._quiet_s = quiet_s
        self._begin = begin
        self._exporting = bool(settings.otel_exporter_otlp_endpoint)
        self._subscription: Subscription | None = None
        self._group_arrived_at: float | None = None

    def shut_down(self) -> None:
        """Ask `run` to settle what has arrived and return."""
        self._stopping.set()
        if self._subscription is not None:
            self._subscription.wake()

    async def _consume(self) -> None:
        prepare = partial(require, queues=(self._queue,))
        async with open_connection(self._settings, self._queue.name, prepare, WiredConnection) as connection:
            log.debug("consuming", queue=self._queue.name)
            await self._consume_by(connection)

    async def _consume_by(self, connection: AbstractConnection) -> None:
        """Work on one channel after the other; each lasts until nothing has arrived for a while."""
        while not self._stopping.is_set():
            async with subscribe(connection, self._queue, self._settings.prefetch) as subscription:
                await self._work(subscription)
            if subscription.dropped:
                raise Disconnected("the broker cancelled the consumer")

    async def _work(self, subscription: Subscription) -> None:
        """Settle one group after the other until no more arrive."""
        self._subscription = subscription
        self._trouble = self._group_arrived_at = None
        self._introduction.begin()
        self._begin()
        afterwards = Afterwards(subscription, self._publisher, most=self._settings.prefetch // 4)
        try:
            while group := await self._next_group(subscription, afterwards):
                self._group_arrived_at = group[0].arrived_at
                await self._settle(subscription, group, afterwards)
                self._group_arrived_at = None
                self._delays.reset()  # not earlier: a queue that is broken refuses us after each successful connect
        finally:
            with suppress(Disconnected):
                await afterwards.say()

    async def _next_group(self, subscription: Subscription, afterwards: Afterwards) -> list[Delivery]:
        """Wait for whatever arrives first; nothing where nothing more will, or nothing did for a while."""
        while True:
            if self._stopping.is_set():
                await subscription.cancel()
            if group := subscription.take(self._settings.group_size):
                return group
            if subscription.ended:
                return []
            if (due_in_s := afterwards.due_in_s()) is not None:
                if not await subscription.wait(due_in_s):
                    await afterwards.say()
            elif not await subscription.wait(self._quiet_s):
                await subscription.cancel()

    async def _settle(self, subscription: Subscription, group: Sequence[Delivery], afterwards: Afterwards) -> None:
        """Commit or park every one of the group, and say so."""
        entries, undecodable = self._read(group)
        with (
            process_span(self._queue.name, group, exporting=self._exporting),
            structlog.contextvars.bound_contextvars(queue=self._queue.name, group=len(group)),
        ):
            if undecodable:
                await self._park_all(subscription, undecodable)
            outcomes: list[Outcome] = []
            if entries:
                outcomes = await bisect(
                    entries,
                    lambda part: self._database.commit([entry.content for entry in part]),
                    lambda entry, error: self._park(subscription, entry.delivery, error),
                )
            await afterwards.settled(group[-1].delivery_tag, outcomes)

    def _read(self, group: Sequence[Delivery]) -> tuple[list[_Entry[T]], list[tuple[Delivery, Poison]]]:
        entries: list[_Entry[T]] = []
        undecodable: list[tuple[Delivery, Poison]] = []
        for delivery in group:
            try:
                if type(content := self._content(delivery)) not in self._queue.no_longer_hears:
                    entries.append(_Entry(delivery, content))
            except Poison as error:
                undecodable.append((delivery, error))
        return entries, undecodable

    def _content(self, delivery: Delivery) -> T:
        content = self._decode(delivery)
        check_heard(content, self._queue)
        return content

    async def _park_all(self, subscription: Subscription, undecodable: Sequence[tuple[Delivery, Poison]]) -> None:
        parking = (self._park(subscription, delivery, error) for delivery, error in undecodable)
        for result in await asyncio.gather(*parking, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _park(self, subscription: Subscription, delivery: Delivery, error: BaseException) -> None:
        await self._parking.park(delivery, error, partial(subscription.reject, delivery))

    def _oldest_arrived_at(self) -> float | None:
        waiting = self._subscription.oldest_arrived_at if self._subscription is not None else None
        return self._group_arrived_at or waiting
