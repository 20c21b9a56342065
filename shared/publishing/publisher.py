"""Publishing: an event that `publish` has returned for is on the broker's disk, in every queue that hears it.

What is promised, and what makes it so:

- durable: persistent, mandatory, and confirmed by the broker before `publish` returns. A quorum queue confirms
  what a majority has written.
- never lost silently: an event that no queue takes comes back. A gateway declares the topology again; the event is
  sent once more, and then `BrokerAway` is raised. A refusal (`basic.nack`) is tried again.
- bounded: `publish_deadline_s`, or what the caller gives, for all attempts together. In between the connection is
  opened again as often as need be: whenever it is lost, and when a confirm is waited for and nothing at all was heard
  for `publish_timeout_s`. After the deadline it is `BrokerAway`, and the caller must hold the event to be unknown: a
  confirm that was lost on the way means a second copy, so consumers ignore repeats.
- nothing before the topology: the connection is handed out only when every exchange, queue and binding is declared,
  by a gateway, or the exchanges that `migrate` and gateways make are there.
- an alarm (`connection.blocked`) is seen: `away` says so, and nothing is sent until it ends.

`announce` promises nothing: outcomes are hints. They go by a channel of their own, so that neither waits for the
other, and an outage costs a hint, not a commit.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Self

import structlog
from aio_pika.abc import AbstractConnection
from prometheus_client import Counter, Histogram

from shared.backoff import Delays
from shared.broker.connection import Disconnected, prepared
from shared.broker.declaring import Declaring, require
from shared.broker.message_spans import send_span
from shared.errors import BrokerAway, TooLarge
from shared.events import LARGEST_BODY, Event, Outcome
from shared.ids import NAMESPACE, derived_id
from shared.process.telemetry import inject
from shared.publishing.confirms import Refused, Unroutable
from shared.publishing.line import KeptLine
from shared.publishing.publication import Publication
from shared.settings import Settings
from shared.topology import DEAD_EXCHANGE, DEAD_QUEUE, EVENTS_EXCHANGE, EXCHANGES, OUTCOMES_EXCHANGE, REPLAYS_EXCHANGE

OUTSTANDING = 128  # unconfirmed messages at once; measured: fewer wait for each other, more gain nothing
CLOSE_TIMEOUT_S = 5.0
JSON = "application/json"

PUBLISH_SECONDS = Histogram("tripthread_publish_seconds", "From the call to the broker's confirm")
PUBLISH_FAILURES = Counter("tripthread_publish_failures_total", "Attempts that the broker did not confirm", ["reason"])

log = structlog.get_logger(__name__)


@dataclass
class _Outgoing:
    """One message on its way, and what went wrong with it last."""

    publication: Publication
    until: float  # all attempts together, by the loop's clock
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

    async def __aenter__(self) -> Self:
        """Connect; a broker that is away does not fail this, `away` tells."""
        self._loop = asyncio.get_running_loop()
        await self._kept.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Refuse new messages, wait a while for the confirms of the others, and close."""
        self._kept.refuse()
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.away else CLOSE_TIMEOUT_S):
                while self._under_way:
                    self._idle.clear()
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

    async def publish(self, event: Event, *, deadline_s: float | None = None, key: str | None = None) -> None:
        """Publish one event, and return when the broker has it.

        Args:
            event: What happened; its class says which queues hear it.
            deadline_s: For all attempts together; `publish_deadline_s` where it is not given.
            key: By which it goes, where that is not its class's own.

        Raises:
            BrokerAway: The broker did not confirm it in time; it may or may not have it.
            TooLarge: No consumer would read it, and RabbitMQ 4 closes the channel that brings it.
        """
        body = event.body()
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"an event of {len(body)} bytes is too large")
        key, event_id = key or event.routing_key(), str(event.event_id)
        with send_span(EVENTS_EXCHANGE, key, event_id, len(body)):
            publication = Publication(
                EVENTS_EXCHANGE,
                key,
                body,
                headers=inject(),
                content_type=JSON,
                is_persistent=True,
                correlation_id=str(event.correlation_id),
                message_id=event_id,
                type=type(event).__name__,
            )
            await self._deliver(publication, deadline_s)

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        """Put a raw message into one queue, for parking and replay, with the same promises as `publish`.

        It goes by the exchange of parking or that of replays: the default one reaches every queue of a broker, so no
        login of a service may use it. A message without an id gets one that follows from its body, so that parking it
        twice is a repeat.
        """
        exchange = DEAD_EXCHANGE if queue == DEAD_QUEUE else REPLAYS_EXCHANGE
        message_id = message_id or str(derived_id(NAMESPACE, sha256(body).hexdigest()))
        with send_span(exchange, queue, message_id, len(body)):
            publication = Publication(
                exchange, queue, body, headers=headers, is_persistent=True, message_id=message_id, type=name
            )
            await self._deliver(publication, None)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        """Tell every gateway what was committed, in one message; nobody is told while the broker is away."""
        line = self._kept.line
        if not outcomes or line is None or self.away:
            return
        body = b"[" + b",".join(outcome.model_dump_json().encode() for outcome in outcomes) + b"]"
        publication = Publication(OUTCOMES_EXCHANGE, "", body, headers=inject(), content_type=JSON)
        if not line.hints.send(publication):
            log.debug("outcomes not announced", count=len(outcomes))

    async def _deliver(self, publication: Publication, deadline_s: float | None) -> None:
        """Try until the broker has it or the deadline has passed."""
        began = self._loop.time()
        most_s = self._settings.publish_deadline_s if deadline_s is None else deadline_s
        outgoing = _Outgoing(publication, began + most_s)
        self._under_way += 1
        try:
            await self._try_repeatedly(outgoing)
        except TimeoutError:
            PUBLISH_FAILURES.labels(TimeoutError.__name__).inc()
            why = self.away or (outgoing.trouble.detail if outgoing.trouble else "no confirm")
            self._untaken = f"not confirmed in time: {why}"
            raise BrokerAway(self._untaken) from outgoing.trouble
        except Unroutable as error:
            if publication.exchange != REPLAYS_EXCHANGE:  # of a queue that perhaps never was
                self._untaken = error.detail
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        self._untaken = None
        self._kept.worked()
        PUBLISH_SECONDS.observe(self._loop.time() - began)

    async def _try_repeatedly(self, outgoing: _Outgoing) -> None:
        delays: Delays | None = None
        while True:
            try:
                return await self._attempt(outgoing)
            except (Disconnected, Refused) as error:
                self._failed(outgoing, error)
            except Unroutable as error:
                if isinstance(outgoing.trouble, Unroutable):
                    raise
                self._failed(outgoing, error)
                async with asyncio.timeout_at(outgoing.until):
                    await self._declare_again()
            delays = delays or Delays(first_s=0.05, longest_s=1.0)
            await asyncio.sleep(min(delays.next(), outgoing.until - self._loop.time()))
            if self._loop.time() >= outgoing.until:
                raise TimeoutError

    def _failed(self, outgoing: _Outgoing, error: BrokerAway) -> None:
        outgoing.trouble = error
        PUBLISH_FAILURES.labels(type(error).__name__).inc()

    async def _attempt(self, outgoing: _Outgoing) -> None:
        """Send it once, and wait for the confirm."""
        confirm = self._sent_at_once(outgoing.publication)
        if confirm is None:
            async with asyncio.timeout_at(outgoing.until), self._slots:
                line = await self._kept.get()
                await line.until_unblocked()
                if line.confirmed.is_full:
                    line.lose("too much is unconfirmed")
                await line.confirmed.publish(outgoing.publication)
            return
        giving_up = self._loop.call_at(outgoing.until, _give_up, confirm)
        try:
            await confirm
        finally:
            giving_up.cancel()

    def _sent_at_once(self, publication: Publication) -> asyncio.Future[None] | None:
        """Send a message where nothing is in its way, as nearly always, and return its confirm; None where it waits."""
        line = self._kept.line
        if line is None or self._slots.locked() or self.away is not None:
            return None
        channel = line.confirmed
        if channel.unconfirmed >= OUTSTANDING or channel.is_full or not channel.is_writable:
            return None
        return channel.send(publication)

    async def _declare_again(self) -> None:
        """Mend the topology, if that is ours: somebody deleted a queue or a binding while we were connected."""
        if self._declaring is None:
            return
        async with self._mending:
            line = await self._kept.get()
            with suppress(Disconnected):
                await prepared(line.connection, self._declaring.declare)


def _give_up(confirm: asyncio.Future[None]) -> None:
    if not confirm.done():
        confirm.set_exception(TimeoutError())
