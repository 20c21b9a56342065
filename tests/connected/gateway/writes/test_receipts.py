"""Outcomes on a real broker: heard by every gateway, and heard again after the connection was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aiormq import spec
from pamqp.header import ContentHeader

from services.gateway.writes.outcomes import Hearer, Outcomes
from services.gateway.writes.receipts import Receipts
from shared.events import Outcome, SessionTagged, Stored, TripAdvanced
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import OUTCOMES_EXCHANGE
from tests.connected.brokers import broker_settings, own_broker, raw_channel
from tests.waiting import PATIENCE_S, until_true


@asynccontextmanager
async def hearing(settings: Settings, *hearers: Hearer) -> AsyncIterator[Outcomes]:
    """Run the worker for the length of the block."""
    outcomes = Outcomes(settings, *hearers)
    running = asyncio.create_task(outcomes.run())
    try:
        yield outcomes
    finally:
        outcomes.shut_down()
        await running


async def found() -> bool:
    """Find whatever is looked for: nothing is there but the hint."""
    return True


async def heard(receipts: Receipts, publisher: Publisher, outcome: Outcome) -> None:
    """Announce this until a receipt hears of it; nothing is there to be found but the hint."""
    with receipts.expecting(outcome.causes[0]) as receipt:
        waiting = asyncio.create_task(receipt.until(found, PATIENCE_S))
        async with asyncio.timeout(PATIENCE_S):
            while not waiting.done():
                await publisher.announce([outcome])
                await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def hints_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.writes.receipts.LOOK_AT_S", ())


async def test_every_outcome_is_heard_by_every_gateway(settings: Settings) -> None:
    first, second = Receipts(), Receipts()
    async with Publisher(settings, "test") as publisher, hearing(settings, first), hearing(settings, second):
        event_id, trip_id = new_id(), new_id()
        for receipts in (first, second):
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(event_id,)))
            await heard(receipts, publisher, SessionTagged(user_id="u1", causes=(event_id,), session_tag="t"))
            await heard(receipts, publisher, TripAdvanced(user_id="u1", causes=(event_id,), trip_id=trip_id))


async def test_what_is_no_outcome_is_passed_over(settings: Settings) -> None:
    receipts = Receipts()
    async with Publisher(settings, "test") as publisher, hearing(settings, receipts) as outcomes:
        await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
        async with await aio_pika.connect(settings.amqp_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(OUTCOMES_EXCHANGE)
            for body in (b"", b"garbage", b"{}", b'[{"outcome": "Unheard"}]', b"\xff"):
                await exchange.publish(aio_pika.Message(body, content_type="application/json"), "")
        await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
        assert outcomes.away() is None


async def test_properties_that_cannot_be_read_do_not_end_the_hearing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type that is not UTF-8 kills the connection of whoever decodes it."""
    receipts = Receipts()
    async with Publisher(settings, "test") as publisher, hearing(settings, receipts) as outcomes:
        await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
        outcome = Stored(user_id="u1", session_id="s1", causes=(new_id(),))
        body = f"[{outcome.model_dump_json()}]".encode()
        readable = ContentHeader(body_size=len(body), properties=spec.Basic.Properties(message_type="type")).marshal()
        with receipts.expecting(outcome.causes[0]) as receipt:
            async with raw_channel(settings) as channel:
                exchange = await channel.get_exchange(OUTCOMES_EXCHANGE)
                with monkeypatch.context() as patched:
                    patched.setattr(ContentHeader, "marshal", lambda _: readable.replace(b"type", b"\xff\xfepe"))
                    await exchange.publish(aio_pika.Message(body), "")
            assert await receipt.until(found, PATIENCE_S)  # it, too, is heard
        assert outcomes.away() is None


async def test_a_gateway_without_its_broker_says_so_and_waits(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"amqp_url": "amqp://guest:guest@127.0.0.1:1/"})
    async with hearing(nowhere, Receipts()) as outcomes:
        await asyncio.sleep(0)
        assert outcomes.away() is not None


@pytest.mark.fault
async def test_outcomes_are_heard_again_after_the_broker_was_away() -> None:
    async with own_broker() as broker:
        settings, receipts = broker_settings(broker.url), Receipts()
        async with Publisher(settings, "test") as publisher, hearing(settings, receipts) as outcomes:
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
            await asyncio.to_thread(broker.ctl, "close_all_connections", "test")
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
            await asyncio.to_thread(broker.ctl, "stop_app")
            await until_true(lambda: outcomes.away() is not None)
            await asyncio.to_thread(broker.ctl, "start_app")
            await until_true(lambda: outcomes.away() is None)
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))


@pytest.mark.fault
async def test_outcomes_are_heard_again_after_their_queue_was_deleted() -> None:
    async with own_broker() as broker:
        settings, receipts = broker_settings(broker.url), Receipts()
        async with Publisher(settings, "test") as publisher, hearing(settings, receipts) as outcomes:
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
            listed = await asyncio.to_thread(broker.ctl, "list_queues", "--silent", "--no-table-headers", "name")
            (name,) = [name for name in listed.split() if name.startswith("outcomes.")]
            is_lost = asyncio.create_task(until_true(lambda: outcomes.away() is not None))  # for a second
            await asyncio.to_thread(broker.ctl, "delete_queue", name)
            await is_lost
            await heard(receipts, publisher, Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
            assert outcomes.away() is None


class TagsAwaited:
    """Whoever waits for tags, and for nothing else."""

    only = SessionTagged
    are_awaited = True

    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def hint(self, outcome: Outcome) -> None:
        self.heard.append(outcome)

    def missed(self) -> None:
        self.heard.clear()


async def test_what_is_no_news_to_those_who_wait_is_not_read(settings: Settings) -> None:
    tags = TagsAwaited()
    stored = Stored(user_id="ann", session_id="s1", causes=(new_id(),))
    tagged = SessionTagged(user_id="ann", session_id="s1", session_tag="chat_model_0_001", causes=(new_id(),))
    async with Publisher(settings, "test") as publisher, hearing(settings, Receipts(), tags) as outcomes:
        await until_true(lambda: outcomes.away() is None)
        await publisher.announce([stored])
        await publisher.announce([stored, tagged])
        await until_true(lambda: len(tags.heard) >= 2)
    assert tags.heard == [stored, tagged]
