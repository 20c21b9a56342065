"""Publishing: an event that `publish` has returned for is on the broker's disk, in every queue that hears it.

What is promised, and what makes it so:

- durable: persistent, mandatory, and confirmed by the broker before `publish` returns. A quorum queue confirms
  what a majority has written.
- never lost silently: an event that no queue takes comes back; the topology is declared again and the event sent
  once more, and then `BrokerAway` is raised. A refusal (`basic.nack`) is tried again.
- bounded: an attempt has `publish_timeout_s`, all attempts together `publish_deadline_s`, or what the caller gives.
  In between the connection is opened again as often as need be. After that it is `BrokerAway`, and the caller must
  hold the event to be unknown: a confirm that was lost on the way means a second copy, so consumers ignore repeats.
- nothing before the topology: the connection is handed out only when every exchange, queue and binding is declared.
- an alarm (`connection.blocked`) is seen: `away` says so, and nothing is sent until it ends.

`announce` promises nothing: outcomes are hints. They go by a channel of their own, so that neither waits for the
other, and an outage costs a hint, not a commit.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Self

import orjson
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq import spec
from aiormq.exceptions import PublishError
from prometheus_client import Counter, Histogram

from shared.connection import (
    Delays,
    Disconnected,
    declare_topology,
    describe,
    disconnections,
    is_blocked,
    open_connection,
    until_unblocked,
)
from shared.errors import BrokerAway
from shared.events import Event, Outcome
from shared.ids import NAMESPACE, derived_id
from shared.settings import Settings
from shared.telemetry import inject
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE

OUTSTANDING = 128  # unconfirmed messages at once; measured: fewer wait for each other, more gain nothing
CLOSE_TIMEOUT_S = 5.0
ANNOUNCE_TIMEOUT_S = 0.5
BLOCKED = "blocked: the broker has a memory or disk alarm"

PUBLISH_SECONDS = Histogram("tripthread_publish_seconds", "From the first attempt to the broker's confirm")
PUBLISH_FAILURES = Counter("tripthread_publish_failures_total", "Attempts that the broker did not confirm", ["reason"])

log = structlog.get_logger(__name__)


class _Unroutable(BrokerAway):
    """No queue takes this message."""


@dataclass(frozen=True)
class _Line:
    """An open connection on which everything is declared."""

    connection: AbstractConnection
    confirmed: AbstractChannel
    hints: AbstractChannel
    lost: asyncio.Future[str]

    def lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


class Publisher:
    """Sends events and outcomes by a connection of its own, which it opens again whenever it is lost.

    `async with Publisher(settings, "logger") as publisher: await publisher.publish(event)`
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = f"{name} publisher"
        self._line: _Line | None = None
        self._trouble = "not connected yet"
        self._connected = asyncio.Event()
        self._tried = asyncio.Event()
        self._slots = asyncio.Semaphore(OUTSTANDING)
        self._declaring = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Connect; a broker that is away does not fail this, `away` tells."""
        self._keeper = asyncio.create_task(self._keep_connected(), name=self._name)
        await self._tried.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait a while for what is not confirmed yet, and close."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S if self.away is None else 0):
                for _ in range(OUTSTANDING):
                    await self._slots.acquire()
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper

    @property
    def away(self) -> str | None:
        """Why nothing can be published now; None where it can."""
        if self._line is None:
            return self._trouble
        return BLOCKED if is_blocked(self._line.connection) else None

    async def publish(self, event: Event, *, deadline_s: float | None = None) -> None:
        """Publish one event, and return when the broker has it.

        Args:
            event: What happened; its class says which queues hear it.
            deadline_s: For all attempts together; `publish_deadline_s` where it is not given.

        Raises:
            BrokerAway: The broker did not confirm it in time; it may or may not have it.
        """
        properties = spec.Basic.Properties(
            content_type="application/json",
            delivery_mode=2,
            message_id=str(event.event_id),
            correlation_id=str(event.correlation_id),
            message_type=type(event).__name__,
            timestamp=event.occurred_at,
            headers=dict(inject()),
        )
        await self._deliver(EVENTS_EXCHANGE, event.routing_key(), event.body(), properties, deadline_s)

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        """Put a raw message into one queue, for parking and replay, with the same promises as `publish`.

        A message without an id gets one that follows from its body, so that parking it twice is a repeat.
        """
        properties = spec.Basic.Properties(
            delivery_mode=2,
            message_id=message_id or str(derived_id(NAMESPACE, sha256(body).hexdigest())),
            message_type=name,
            headers=dict(headers),
        )
        await self._deliver("", queue, body, properties, None)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        """Tell every gateway what was committed, in one message; nobody is told while the broker is away."""
        if not outcomes or self._line is None or self.away is not None:
            return
        body = orjson.dumps([outcome.model_dump(mode="json") for outcome in outcomes])
        properties = spec.Basic.Properties(content_type="application/json", delivery_mode=1, headers=dict(inject()))
        try:
            with disconnections():
                async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                    channel = await self._line.hints.get_underlay_channel()
                    await channel.basic_publish(
                        body, exchange=OUTCOMES_EXCHANGE, properties=properties, mandatory=False
                    )
        except Disconnected as error:
            log.debug("outcomes not announced", count=len(outcomes), reason=error.detail)

    async def _deliver(
        self, exchange: str, key: str, body: bytes, properties: spec.Basic.Properties, deadline_s: float | None
    ) -> None:
        """Try until it is confirmed or the deadline has passed."""
        trouble: str | None = None
        delays = Delays(first_s=0.05, longest_s=1.0)
        unroutable = 0
        try:
            with PUBLISH_SECONDS.time():
                async with asyncio.timeout(self._settings.publish_deadline_s if deadline_s is None else deadline_s):
                    while True:
                        try:
                            return await self._attempt(exchange, key, body, properties)
                        except BrokerAway as error:
                            PUBLISH_FAILURES.labels(type(error.__cause__ or error).__name__).inc()
                            trouble = error.detail
                            if self._closed:
                                raise
                            if isinstance(error, _Unroutable):
                                unroutable += 1
                                if unroutable > 1:
                                    raise
                                await self._declare_again()
                        await asyncio.sleep(delays.next())
        except TimeoutError:
            raise BrokerAway(f"not confirmed in time: {self.away or trouble or 'no confirm'}") from None

    async def _attempt(self, exchange: str, key: str, body: bytes, properties: spec.Basic.Properties) -> None:
        if self._closed:
            raise BrokerAway("the publisher is closed")
        async with self._slots:
            line = await self._open_line()
            try:
                with disconnections():
                    async with asyncio.timeout(self._settings.publish_timeout_s):
                        await until_unblocked(line.connection)
                        channel = await line.confirmed.get_underlay_channel()
                        await channel.basic_publish(
                            body, exchange=exchange, routing_key=key, properties=properties, mandatory=True
                        )
            except Disconnected as error:
                if isinstance(error.__cause__, PublishError):
                    raise _Unroutable(f"no queue takes {key!r} from {exchange!r}") from error
                if isinstance(error.__cause__, TimeoutError) and not is_blocked(line.connection):
                    line.lose(f"no confirm in {self._settings.publish_timeout_s} s")
                raise

    async def _open_line(self) -> _Line:
        while self._line is None:
            await self._connected.wait()
        return self._line

    async def _declare_again(self) -> None:
        """Somebody deleted a queue or a binding while we were connected."""
        async with self._declaring:
            line = await self._open_line()
            with suppress(Disconnected):
                await declare_topology(line.connection)

    async def _keep_connected(self) -> None:
        delays = Delays()
        while True:
            try:
                async with open_connection(self._settings, self._name) as connection:
                    line = await _open(connection)
                    delays.reset()
                    self._use(line)
                    self._trouble = await line.lost
            except Disconnected as error:
                self._trouble = error.detail
            self._drop()
            log.warning("publisher disconnected", reason=self._trouble)
            await asyncio.sleep(delays.next())

    def _use(self, line: _Line) -> None:
        self._line = line
        self._connected.set()
        self._tried.set()
        log.info("publisher connected")

    def _drop(self) -> None:
        self._line = None
        self._connected.clear()
        self._tried.set()


async def _open(connection: AbstractConnection) -> _Line:
    with disconnections():
        confirmed = await connection.channel(publisher_confirms=True, on_return_raises=True)
        hints = await connection.channel(publisher_confirms=False)
    line = _Line(connection, confirmed, hints, asyncio.get_running_loop().create_future())
    for channel in (confirmed, hints):
        channel.close_callbacks.add(lambda _, error: line.lose(describe(error)))
    return line
