"""Hear what the consumers have committed: every gateway has its own queue of hints, gone with its connection."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from pydantic import TypeAdapter, ValidationError

from shared.broker.connection import Disconnected, open_connection
from shared.broker.deliveries import Deliveries
from shared.broker.wire import WiredConnection, wire_of
from shared.events import LARGEST_BODY, AnyOutcome, Outcome
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import EXCHANGES, OUTCOMES_EXCHANGE, OUTCOMES_QUEUE

RECONNECT_S = 1.0

_outcomes = TypeAdapter(list[AnyOutcome])

log = structlog.get_logger(__name__)


class Hearer(Protocol):
    """Whoever outcomes are passed on to."""

    @property
    def only(self) -> type[Outcome] | None:
        """The one kind of outcome that it waits for; None: any. It may hear of others, too."""

    @property
    def are_awaited(self) -> bool:
        """Whether this one waits for any."""

    def hint(self, outcome: Outcome) -> None:
        """Hear of one."""

    def missed(self) -> None:
        """Hear that outcomes may have been lost, and that none will be from now on."""


class Outcomes:
    """The worker that passes outcomes on to hearers, connecting again by itself whenever it must."""

    def __init__(self, settings: Settings, *hearers: Hearer) -> None:
        self._settings = settings
        self._hearers = hearers
        self._stopping = asyncio.Event()
        self._hearing: _Hearing | None = None

    async def run(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        hearing = asyncio.create_task(self._keep_hearing(stopping))
        try:
            await asyncio.wait((hearing, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            hearing.cancel()
            await asyncio.wait({hearing})
        if not hearing.cancelled():
            hearing.result()  # raises what it ended by

    async def _keep_hearing(self, stopping: asyncio.Future[Any]) -> None:
        # Not for ever: Python 3.11's wait_for loses a cancellation that comes together with what it waits for.
        while not stopping.done():
            hearing = _Hearing(self._settings, self._hearers)
            try:
                async with open_connection(self._settings, "outcomes", hearing.begin, WiredConnection):
                    self._hearing = hearing
                    log.info("hearing outcomes")
                    for hearer in self._hearers:
                        hearer.missed()
                    await asyncio.wait((hearing.lost, stopping), return_when=asyncio.FIRST_COMPLETED)
                    self._hearing = None  # before the connection is closed, which may take its time
            except Disconnected as error:
                log.debug("outcomes not heard", reason=error.detail)
            finally:
                self._hearing = None
            await asyncio.wait({stopping}, timeout=RECONNECT_S)

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        """Nothing: whatever keeps hints away keeps the broker away, which `away` says."""
        return None

    def away(self) -> str | None:
        """Say why no hints come now; None where they do."""
        return None if self._hearing is not None else "not connected to the broker"

    def __str__(self) -> str:
        return "outcomes"


class _Hearing:
    """What is heard over one connection."""

    def __init__(self, settings: Settings, hearers: Sequence[Hearer]) -> None:
        # A name of its own: a gateway that comes back must not find its queue held by the connection it has lost.
        self._queue = f"{OUTCOMES_QUEUE.format(instance=settings.instance)}.{new_id().hex}"
        self._hearers = hearers
        self._channel: AbstractChannel | None = None  # held, since aio-pika forgets one that nobody holds
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def begin(self, connection: AbstractConnection) -> None:
        """Make the queue, and consume it; a hint is worth no acknowledgement."""
        self._channel = channel = await connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(self._lose)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._lose)
        deliveries = Deliveries(self._hear, is_wanted=self._is_wanted, largest=LARGEST_BODY)
        wire_of(connection).take(underlay.number, deliveries.take)
        exchange = await channel.declare_exchange(OUTCOMES_EXCHANGE, EXCHANGES[OUTCOMES_EXCHANGE], durable=True)
        queue = await channel.declare_queue(self._queue, exclusive=True, auto_delete=True)
        await queue.bind(exchange)
        await underlay.basic_consume(self._queue, _never, no_ack=True)

    def _lose(self, *_: object) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _is_wanted(self) -> bool:
        """Tell whether anybody waits; most outcomes are of chats, whose callers wait for none."""
        for hearer in self._hearers:  # noqa: SIM110 - each outcome comes by here: `any` makes a generator
            if hearer.are_awaited:
                return True
        return False

    def _hear(self, _method: bytes, _header: bytes, body: bytes) -> None:
        """Pass on what was committed together, if it can be what somebody waits for: it is read after a first look."""
        if not any(_may_hear(hearer, body) for hearer in self._hearers):
            return
        try:
            outcomes = _outcomes.validate_json(body)
        except ValidationError:
            log.debug("no outcomes", size=len(body))
            return
        for outcome in outcomes:
            for hearer in self._hearers:
                hearer.hint(outcome)


def _may_hear(hearer: Hearer, body: bytes) -> bool:
    return hearer.are_awaited and (hearer.only is None or hearer.only.__name__.encode() in body)


async def _never(_: aiormq.abc.DeliveredMessage) -> None:
    """Stand where deliveries would go that nobody takes before."""
