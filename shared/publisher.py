"""Publishing: an event that `publish` has returned for is on the broker's disk, in every queue that hears it.

What is promised, and what makes it so:

- durable: persistent, mandatory, and confirmed by the broker before `publish` returns. A quorum queue confirms
  what a majority has written.
- never lost silently: an event that no queue takes comes back. A gateway declares the topology again; the event is
  sent once more, and then `BrokerAway` is raised. A refusal (`basic.nack`) is tried again.
- bounded: an attempt has `publish_timeout_s`, all attempts together `publish_deadline_s`, or what the caller gives.
  In between the connection is opened again as often as need be. After that it is `BrokerAway`, and the caller must
  hold the event to be unknown: a confirm that was lost on the way means a second copy, so consumers ignore repeats.
- nothing before the topology: the connection is handed out only when every exchange, queue and binding is declared,
  by a gateway, or the exchanges that `migrate` and gateways make are there.
- an alarm (`connection.blocked`) is seen: `away` says so, and nothing is sent until it ends.

`announce` promises nothing: outcomes are hints. They go by a channel of their own, so that neither waits for the
other, and an outage costs a hint, not a commit.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Self

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.exceptions import PublishError
from prometheus_client import Counter, Histogram

from shared.backoff import Delays
from shared.connection import Disconnected, disconnections, is_blocked, prepared, until_unblocked
from shared.declaring import Declaring, require
from shared.errors import BrokerAway, TooLarge
from shared.events import LARGEST_BODY, Event, Outcome
from shared.ids import NAMESPACE, derived_id
from shared.line import KeptLine, Line
from shared.message_spans import send_span
from shared.settings import Settings
from shared.telemetry import inject
from shared.topology import DEAD_EXCHANGE, DEAD_QUEUE, EVENTS_EXCHANGE, EXCHANGES, OUTCOMES_EXCHANGE, REPLAYS_EXCHANGE

OUTSTANDING = 128  # unconfirmed messages at once; measured: fewer wait for each other, more gain nothing
CLOSE_TIMEOUT_S = 5.0
ANNOUNCE_TIMEOUT_S = 0.5
PERSISTENT = 2  # AMQP's delivery mode

PUBLISH_SECONDS = Histogram("tripthread_publish_seconds", "From the call to the broker's confirm")
PUBLISH_FAILURES = Counter("tripthread_publish_failures_total", "Attempts that the broker did not confirm", ["reason"])

log = structlog.get_logger(__name__)


class _Unroutable(BrokerAway):
    """No queue takes this message."""


@dataclass
class _Outgoing:
    """One message on its way, and what went wrong with it last."""

    exchange: str
    key: str
    body: bytes
    properties: spec.Basic.Properties
    trouble: BrokerAway | None = None


class Publisher:
    """Sends events and outcomes by a connection of its own, which it opens again whenever it is lost.

    `async with Publisher(settings, "logger") as publisher: await publisher.publish(event)`
    """

    def __init__(self, settings: Settings, name: str, declaring: Declaring | None = None) -> None:
        """Prepare to publish.

        Args:
            settings: Where the broker is, and how long an attempt may take.
            name: Of the service, for the broker's list of connections.
            declaring: Makes what is missing, by a login that may; without it what is missing is waited for.
        """
        self._settings = settings
        self._declaring = declaring
        prepare = declaring.declare if declaring else partial(require, exchanges=EXCHANGES)
        self._kept = KeptLine(settings, f"{name} publisher", prepare)
        self._slots = asyncio.Semaphore(OUTSTANDING)
        self._mending = asyncio.Lock()
        self._untaken: str | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> Self:
        """Connect; a broker that is away does not fail this, `away` tells."""
        await self._kept.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Refuse new messages, wait a while for the confirms of the others, and close."""
        self._kept.refuse()
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.away else CLOSE_TIMEOUT_S):
                await self._idle.wait()
        await self._kept.close()

    @property
    def away(self) -> str | None:
        """Why nothing can be published now; None where it can."""
        return self._kept.away

    @property
    def connection(self) -> AbstractConnection | None:
        """The connection as it is now, to ask the broker for something; None while there is none."""
        return None if self._kept.line is None else self._kept.line.connection

    def fault(self) -> str | None:
        """Say for readiness what is wrong with the broker, also where publishing is still worth a try.

        That is what it lacks or has of another shape, and that it took the last message not, until it takes one.
        """
        return self.away or self._kept.lacks or self._untaken

    async def publish(self, event: Event, *, deadline_s: float | None = None) -> None:
        """Publish one event, and return when the broker has it.

        Args:
            event: What happened; its class says which queues hear it.
            deadline_s: For all attempts together; `publish_deadline_s` where it is not given.

        Raises:
            BrokerAway: The broker did not confirm it in time; it may or may not have it.
            TooLarge: No consumer would read it, and RabbitMQ 4 closes the channel that brings it.
        """
        body = event.body()
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"an event of {len(body)} bytes is too large")
        key, event_id = event.routing_key(), str(event.event_id)
        with send_span(EVENTS_EXCHANGE, key, event_id, len(body)):
            properties = spec.Basic.Properties(
                content_type="application/json",
                delivery_mode=PERSISTENT,
                message_id=event_id,
                correlation_id=str(event.correlation_id),
                message_type=type(event).__name__,
                headers=dict(inject()),
            )
            await self._deliver(_Outgoing(EVENTS_EXCHANGE, key, body, properties), deadline_s)

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        """Put a raw message into one queue, for parking and replay, with the same promises as `publish`.

        It goes by the exchange of parking or that of replays: the default one reaches every queue of a broker, so no
        login of a service may use it. A message without an id gets one that follows from its body, so that parking it
        twice is a repeat.
        """
        properties = spec.Basic.Properties(
            delivery_mode=PERSISTENT,
            message_id=message_id or str(derived_id(NAMESPACE, sha256(body).hexdigest())),
            message_type=name,
            headers=dict(headers),
        )
        exchange = DEAD_EXCHANGE if queue == DEAD_QUEUE else REPLAYS_EXCHANGE
        with send_span(exchange, queue, properties.message_id, len(body)):
            await self._deliver(_Outgoing(exchange, queue, body, properties), None)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        """Tell every gateway what was committed, in one message; nobody is told while the broker is away."""
        line = self._kept.line
        if not outcomes or line is None or self.away:
            return
        body = b"[" + b",".join(outcome.model_dump_json().encode() for outcome in outcomes) + b"]"
        properties = spec.Basic.Properties(content_type="application/json", headers=dict(inject()))
        try:
            async with _bounded(ANNOUNCE_TIMEOUT_S):
                channel = await line.hints.get_underlay_channel()
                await channel.basic_publish(body, exchange=OUTCOMES_EXCHANGE, properties=properties)
        except Disconnected as error:
            log.debug("outcomes not announced", count=len(outcomes), reason=error.detail)

    async def _deliver(self, outgoing: _Outgoing, deadline_s: float | None) -> None:
        """Try until the broker has it or the deadline has passed."""
        began = time.monotonic()
        try:
            with self._counted():
                async with asyncio.timeout(self._settings.publish_deadline_s if deadline_s is None else deadline_s):
                    await self._try_repeatedly(outgoing)
        except TimeoutError:
            why = self.away or (outgoing.trouble.detail if outgoing.trouble else "no confirm")
            self._untaken = f"not confirmed in time: {why}"
            raise BrokerAway(self._untaken) from outgoing.trouble
        except _Unroutable as error:
            if outgoing.exchange != REPLAYS_EXCHANGE:  # of a queue that perhaps never was
                self._untaken = error.detail
            raise
        self._untaken = None
        self._kept.worked()
        PUBLISH_SECONDS.observe(time.monotonic() - began)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Let the end wait for this."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _try_repeatedly(self, outgoing: _Outgoing) -> None:
        delays = Delays(first_s=0.05, longest_s=1.0)
        while True:
            try:
                return await self._attempt(outgoing)
            except Disconnected as error:
                outgoing.trouble = error
            except _Unroutable as error:
                if isinstance(outgoing.trouble, _Unroutable):
                    raise
                outgoing.trouble = error
                await self._declare_again()
            await asyncio.sleep(delays.next())

    async def _attempt(self, outgoing: _Outgoing) -> None:
        """Send it once, and wait for the confirm."""
        async with self._slots:
            line = await self._kept.get()
            try:
                async with _bounded(self._settings.publish_timeout_s):
                    await until_unblocked(line.connection)
                    channel = await line.confirmed.get_underlay_channel()
                    await channel.basic_publish(
                        outgoing.body,
                        exchange=outgoing.exchange,
                        routing_key=outgoing.key,
                        properties=outgoing.properties,
                        mandatory=True,
                    )
            except Disconnected as error:
                raise self._judge(error, line, outgoing) from error.__cause__

    def _judge(self, error: Disconnected, line: Line, outgoing: _Outgoing) -> BrokerAway:
        """Tell what a failed attempt means, for the message and for the connection."""
        cause = error.__cause__
        PUBLISH_FAILURES.labels(type(cause).__name__).inc()
        if isinstance(cause, PublishError):
            return _Unroutable(f"no queue takes {outgoing.key!r} from exchange {outgoing.exchange!r}")
        if isinstance(cause, TimeoutError) and not is_blocked(line.connection):
            # The other end may be gone without a word; heartbeats would tell in half a minute.
            line.lose(f"no confirm in {self._settings.publish_timeout_s} s")
        return error

    async def _declare_again(self) -> None:
        """Mend the topology, if that is ours: somebody deleted a queue or a binding while we were connected."""
        if self._declaring is None:
            return
        async with self._mending:
            line = await self._kept.get()
            with suppress(Disconnected):
                await prepared(line.connection, self._declaring.declare)


@asynccontextmanager
async def _bounded(timeout_s: float) -> AsyncIterator[None]:
    with disconnections():
        async with asyncio.timeout(timeout_s):
            yield
