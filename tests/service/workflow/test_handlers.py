"""The workflow's handlers as FastStream runs them, in memory: what is stored, announced, repeated and parked."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import asyncpg
from faststream.rabbit import RabbitBroker, TestRabbitBroker
from prometheus_client import REGISTRY

from services.workflow.avinode.notices import Notice
from services.workflow.handlers import DeliveryHandler, TripHandler
from services.workflow.store.deliveries import DeliveryStore, Kept
from services.workflow.store.hearing.trips import TripStore
from shared import topology
from shared.consuming.handled_queue import HandledQueue
from shared.consuming.settling import Settling
from shared.errors import Unstorable
from shared.events import (
    DeliveryReprocessed,
    Event,
    MessagePosted,
    Outcome,
    SessionDeleted,
    TripAdvanced,
    TripRefreshRequested,
    WebhookReceived,
)
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.topology import Queue
from tests.settings import settings_for

SETTINGS = settings_for("postgresql://nobody:nothing@127.0.0.1:1/none", "amqp://guest:guest@127.0.0.1:1/")
BASE_URL = "https://avinode.test/api"
LATER = datetime(2026, 11, 30, tzinfo=UTC)


@dataclass
class Told:
    """The publisher: what was announced, and what was parked."""

    outcomes: list[Outcome] = field(default_factory=list)
    parked: list[tuple[bytes, str | None, Mapping[str, str]]] = field(default_factory=list)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        assert queue == topology.DEAD_QUEUE
        self.parked.append((body, name, headers))


@dataclass
class Trips:
    """The store of trips: what was done, in its order; what it fails with, each error once."""

    done: list[Event] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def note(self, deleted: Sequence[SessionDeleted], erased: Sequence[Event]) -> None:
        self.done += [*deleted, *erased]

    async def record(self, events: Sequence[TripRefreshRequested]) -> list[TripAdvanced]:
        if events and self.faults:
            raise self.faults.pop()
        self.done += events
        return [advanced(event) for event in events]


@dataclass
class Deliveries:
    """The store of notices."""

    kept: dict[UUID, tuple[WebhookReceived, Notice]] = field(default_factory=dict)

    async def keep(self, notices: Sequence[tuple[WebhookReceived, Notice]]) -> None:
        self.kept |= {event.delivery_id: (event, notice) for event, notice in notices}

    async def find(self, delivery_id: UUID) -> Kept | None:
        found = self.kept.get(delivery_id)
        return found and Kept(found[0].source, found[0].headers, found[0].payload)

    async def begin_anew(self, event: DeliveryReprocessed, notice: Notice) -> None:
        self.kept[event.delivery_id] = (self.kept[event.delivery_id][0], notice)


@dataclass
class Heard:
    """One queue with its handler, in memory."""

    queue: Queue
    broker: RabbitBroker
    settling: Settling
    consumer: HandledQueue
    told: Told

    async def bring(self, event: Event, **changed: Any) -> None:
        await self.bring_raw(event.body(), type(event).__name__, **changed)

    async def bring_raw(self, body: bytes, name: str | None, **changed: Any) -> None:
        await self.broker.publish(body, queue=self.queue.name, message_type=name, **changed)


@asynccontextmanager
async def hearing(
    queue: Queue, hear: Callable[[Any], Any], settled: Callable[[], None] = lambda: None
) -> AsyncIterator[Heard]:
    told = Told()
    consumer = HandledQueue(SETTINGS, queue, hear, publisher=cast(Publisher, told), settled=settled)
    settling = consumer.settling()
    async with TestRabbitBroker(consumer.broker(settling)) as broker:
        yield Heard(queue, broker, settling, consumer, told)


@asynccontextmanager
async def hearing_trips(store: Trips, wake: Callable[[], None] = lambda: None) -> AsyncIterator[Heard]:
    async with hearing(topology.WORKFLOW_TRIPS, TripHandler(cast(TripStore, store)).hear, wake) as heard:
        yield heard


@asynccontextmanager
async def hearing_notices(store: Deliveries) -> AsyncIterator[Heard]:
    handler = DeliveryHandler(cast(DeliveryStore, store), BASE_URL, most=10_000)
    async with hearing(topology.WORKFLOW_DELIVERIES, handler.hear) as heard:
        yield heard


def refresh() -> TripRefreshRequested:
    return TripRefreshRequested(user_id="ada", session_id="s1", trip_id=new_id())


def advanced(event: TripRefreshRequested) -> TripAdvanced:
    return TripAdvanced(
        user_id=event.user_id,
        session_id=event.session_id,
        causes=(event.event_id,),
        trip_id=event.trip_id,
    )


def settled(status: str) -> float:
    """Count what FastStream says to have become so of messages."""
    labels = {"app_name": "tripthread", "broker": "rabbitmq", "handler": "default.workflow.trips", "status": status}
    return REGISTRY.get_sample_value("faststream_received_processed_messages_total", labels) or 0.0


async def test_an_order_is_stored_and_its_outcome_announced() -> None:
    store, woken, event, before = Trips(), list[bool](), refresh(), settled("acked")
    async with hearing_trips(store, lambda: woken.append(True)) as heard:
        await heard.bring(event)
    assert store.done == [event]
    assert heard.told.outcomes == [advanced(event)]
    assert woken == [True]
    assert settled("acked") == before + 1


async def test_a_deletion_is_noted() -> None:
    store, event = Trips(), SessionDeleted(user_id="ada", session_id="s1")
    async with hearing_trips(store) as heard:
        await heard.bring(event)
    assert store.done == [event]
    assert heard.told.outcomes == []


async def test_a_notice_is_kept_as_it_came_with_what_it_says() -> None:
    store = Deliveries()
    ours = WebhookReceived(delivery_id=new_id(), payload=b'{"href": "https://avinode.test/api/rfqs/arfq-1"}')
    theirs = WebhookReceived(delivery_id=new_id(), payload=b"{}", source="stripe")
    async with hearing_notices(store) as heard:
        await heard.bring(ours)
        await heard.bring(theirs)
    assert [(event, notice.state) for event, notice in store.kept.values()] == [(ours, "due"), (theirs, "ignored")]


async def test_a_notice_is_read_again_as_it_came() -> None:
    store = Deliveries()
    event = WebhookReceived(delivery_id=new_id(), payload=b'{"href": "https://avinode.test/api/rfqs/arfq-1"}')
    store.kept[event.delivery_id] = event, Notice("refused")
    async with hearing_notices(store) as heard:
        await heard.bring(DeliveryReprocessed(delivery_id=event.delivery_id, operator="ann"))
    assert store.kept[event.delivery_id][1].state == "due"


async def test_what_the_database_did_not_take_is_stored_by_another_try() -> None:
    store, event = Trips(faults=[asyncpg.ConnectionDoesNotExistError("gone"), ConnectionRefusedError()]), refresh()
    async with hearing_trips(store) as heard:
        await heard.bring(event)
    assert store.done == [event]
    assert heard.told.outcomes == [advanced(event)]
    assert heard.settling.failure is None


async def test_what_can_never_be_stored_is_parked_with_its_reason() -> None:
    store, event, next_one = Trips(faults=[Unstorable("too much")]), refresh(), refresh()
    async with hearing_trips(store) as heard:
        await heard.bring(event)
        await heard.bring(next_one)
    ((body, name, headers),) = heard.told.parked
    assert (body, name) == (event.body(), "TripRefreshRequested")
    why = {name: text for name, text in headers.items() if name != "traceparent"}
    assert why == {"x-reason": "unstorable", "x-error": "Unstorable: too much", "x-queue": "workflow.trips"}
    assert store.done == [next_one]


async def test_garbage_is_parked_as_it_came() -> None:
    store = Trips()
    async with hearing_trips(store) as heard:
        await heard.bring_raw(b"\xff", "TripRequested")
        await heard.bring_raw(b"{}", "Nonsense")
        await heard.bring_raw(b"{}", None)
    reasons = [(body, headers["x-reason"]) for body, _, headers in heard.told.parked]
    assert reasons == [(b"\xff", "undecodable"), (b"{}", "unknown_type"), (b"{}", "undecodable")]
    assert store.done == []


async def test_what_a_queue_no_longer_hears_reaches_no_handler() -> None:
    reached = list[Event]()

    async def hear(event: Event) -> list[Outcome]:
        reached.append(event)
        return []

    event = MessagePosted(user_id="ada", session_id="s1", message_id="m1", content="hi", created_at=LATER, role="user")
    async with hearing(topology.WORKFLOW_TRIPS, hear) as heard:
        await heard.bring(event)
    assert (reached, heard.told.parked, heard.settling.failure) == ([], [], None)


async def test_headers_that_are_no_texts_and_a_wish_for_an_answer_change_nothing() -> None:
    store, event = Trips(), refresh()
    async with hearing_trips(store) as heard:
        await heard.bring(event, headers={"baggage": [1], "tracestate": {"a": 1}, "traceparent": 5}, reply_to="dead")
    assert store.done == [event]
    assert heard.settling.failure is None


async def test_after_an_error_that_nobody_can_mend_nothing_else_is_begun() -> None:
    bug = KeyError("a bug")
    store = Trips(faults=[bug])
    async with hearing_trips(store) as heard:
        await heard.bring(refresh())
        await heard.bring(refresh())
    assert heard.settling.failure is bug
    assert store.done == []
