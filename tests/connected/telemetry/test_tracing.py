"""One trace from the HTTP request through the broker to the transaction."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aio_pika
import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.consuming.handled_queue import HandledQueue
from shared.database import open_pool, transaction
from shared.events import DeadLetterDropped, Event, MessageAnswered, MessagePosted, Outcome, TripRefreshRequested
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import EVENTS_EXCHANGE, LOGGER_CHAT, WORKFLOW_TRIPS
from tests.connected.brokers import come
from tests.processes import running
from tests.tokens import token_for
from tests.waiting import PATIENCE_S

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_a_transaction_is_in_the_trace_of_the_event_that_caused_it(
    settings: Settings, spans: InMemorySpanExporter
) -> None:
    committed = asyncio.Event()
    async with Publisher(settings, "test") as publisher, open_pool(settings.logger_database_url, "test") as pool:

        async def commit(events: Sequence[Event]) -> list[Outcome]:
            async with transaction(pool) as db:
                await db.fetchval("SELECT 1")
            committed.set()
            return []

        consumer = GroupCommit(settings, LOGGER_CHAT, decode=decode_event, commit=commit, publisher=publisher)
        consuming = asyncio.create_task(consumer.run())
        with trace.get_tracer("test").start_as_current_span("request") as request:
            await publisher.publish(DeadLetterDropped(dead_letter_id=new_id(), operator="ann"))
        async with asyncio.timeout(PATIENCE_S):
            await committed.wait()
        consumer.shut_down()
        await consuming
    trace_id = request.get_span_context().trace_id
    names = {span.name for span in spans.get_finished_spans() if span.context and span.context.trace_id == trace_id}
    assert names >= {"request", "process logger.chat", "transaction"}


async def test_what_a_handler_does_is_in_the_trace_of_the_event_that_it_hears(
    settings: Settings, spans: InMemorySpanExporter
) -> None:
    """FastStream's own middleware makes the span, and names it after the exchange and the routing key."""
    heard = asyncio.Event()
    async with Publisher(settings, "test") as publisher, open_pool(settings.workflow_database_url, "test") as pool:

        async def hear(_event: Event) -> list[Outcome]:
            async with transaction(pool) as db:
                await db.fetchval("SELECT 1")
            heard.set()
            return []

        consumer = HandledQueue(settings, WORKFLOW_TRIPS, hear, publisher=publisher)
        consuming = asyncio.create_task(consumer.run())
        with trace.get_tracer("test").start_as_current_span("request") as request:
            await publisher.publish(TripRefreshRequested(user_id="ada", session_id="s1", trip_id=new_id()))
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
        consumer.shut_down()
        await consuming
    trace_id = request.get_span_context().trace_id
    names = {span.name for span in spans.get_finished_spans() if span.context and span.context.trace_id == trace_id}
    assert names >= {"request", "events.trip.refresh.requested process", "transaction"}


async def test_the_gateway_carries_its_caller_s_trace_into_the_events(settings: Settings, tmp_path: Path) -> None:
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        mine = settings.model_copy(update={"http_port": free_port(), "openai_base_url": f"{sandbox.model}/v1"})
        async with await aio_pika.connect(mine.amqp_url) as connection, aiohttp.ClientSession() as http:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            for event in (MessagePosted, MessageAnswered):
                await queue.bind(EVENTS_EXCHANGE, event.routing_key())
            async with running(mine, tmp_path, "gateway"):
                headers = {"Authorization": f"Bearer {token_for(mine, 'ann')}", "traceparent": TRACEPARENT}
                body = {"message": "[echo hi]", "stream": False}
                url = f"http://127.0.0.1:{mine.http_port}/api/chat"
                async with http.post(url, json=body, headers=headers) as response:
                    assert response.status == 200
            messages = await come(queue, 2)
    assert [message.type for message in messages] == ["MessagePosted", "MessageAnswered"]
    for message in messages:
        assert str(message.headers["traceparent"]).split("-")[1] == TRACE_ID
