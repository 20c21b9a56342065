"""What we are compared with: a consumer written by hand for this one queue, with nothing but what the drain needs.

aio-pika and msgspec; one transaction and one multiple ack for whatever has arrived while the last one ran. It writes
the tables that the logger writes, by as few statements as that takes. What it does not have: versions of answers,
tombstones, parking, outcomes, metrics, traces, a database that may be away, two of it at once.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import aio_pika
import asyncpg
import msgspec
import uvloop
from aio_pika.abc import AbstractIncomingMessage

GROUP_SIZE = 500
PREFETCH = 1000


class Trace(msgspec.Struct):
    trace_id: str
    provider: str
    model: str
    status: str
    started_at: datetime
    ttft_ms: float | None = None
    duration_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usage_source: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    streaming: bool = True


class Message(msgspec.Struct):
    event_id: str
    user_id: str
    session_id: str
    message_id: str
    content: str
    parts: msgspec.Raw
    created_at: datetime
    role: str = "assistant"
    status: str = "complete"
    parent_id: str | None = None
    turn_id: str | None = None
    model: str | None = None
    project_id: str | None = None
    helper: str | None = None
    trace: Trace | None = None


SESSIONS = """
    INSERT INTO chat.sessions AS s (user_id, session_id, project_id, helper, model, title, title_source, message_count,
        last_message, last_message_at, last_activity_at, created_at)
    SELECT user_id, session_id, project_id, helper, model, left(title, 60), 'message', count, left(preview, 200), last,
        last, first
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[],
        $9::timestamptz[], $10::timestamptz[]) AS said (user_id, session_id, project_id, helper, model, title, count,
        preview, last, first)
    ORDER BY user_id, session_id
    ON CONFLICT (user_id, session_id) DO UPDATE SET message_count = s.message_count + excluded.message_count,
        model = excluded.model, last_message = excluded.last_message, last_message_at = excluded.last_message_at,
        last_activity_at = excluded.last_activity_at, updated_at = clock_timestamp()
"""
MESSAGES = """
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parts, model, status, parent_id,
        turn_id, event_id, created_at)
    SELECT user_id, session_id, message_id, role, content, parts::jsonb, model, status, parent_id, turn_id,
        event_id, created_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::uuid[], $11::uuid[], $12::timestamptz[]) AS said (user_id, session_id, message_id, role,
        content, parts, model, status, parent_id, turn_id, event_id, created_at)
    ON CONFLICT DO NOTHING
"""
TRACES = """
    INSERT INTO chat.traces (user_id, session_id, message_id, turn_id, event_id, trace_id, provider, model, status,
        started_at, ttft_ms, duration_ms, input_tokens, output_tokens, usage_source, finish_reason, error, streaming)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::timestamptz[], $11::float8[], $12::float8[], $13::int[], $14::int[], $15::text[], $16::text[],
        $17::text[], $18::bool[])
    ON CONFLICT DO NOTHING
"""


class RawConsumer:
    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database
        self._decode = msgspec.json.Decoder(Message).decode
        self._arrived: list[AbstractIncomingMessage] = []
        self._news = asyncio.Event()

    async def take(self, message: AbstractIncomingMessage) -> None:
        self._arrived.append(message)
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._arrived:
                group, self._arrived = self._arrived[:GROUP_SIZE], self._arrived[GROUP_SIZE:]
                await self._commit([self._decode(message.body) for message in group])
                await group[-1].ack(multiple=True)

    async def _commit(self, messages: list[Message]) -> None:
        async with self._database.transaction():
            await self._database.execute(SESSIONS, *_columns(_sessions(messages)))
            await self._database.execute(MESSAGES, *_columns(_messages(messages)))
            if traces := _traces(messages):
                await self._database.execute(TRACES, *_columns(traces))


def _columns(rows: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    return zip(*rows, strict=True)


def _sessions(messages: list[Message]) -> list[tuple[Any, ...]]:
    sessions: dict[tuple[str, str], list[Message]] = {}
    for message in messages:
        sessions.setdefault((message.user_id, message.session_id), []).append(message)
    return [_session(*key, said, said[0], said[-1]) for key, said in sessions.items()]


def _session(user_id: str, session_id: str, said: list[Message], first: Message, last: Message) -> tuple[Any, ...]:
    about = (user_id, session_id, first.project_id, first.helper, last.model)
    return (*about, first.content, len(said), last.content, last.created_at, first.created_at)


def _messages(messages: list[Message]) -> list[tuple[Any, ...]]:
    return [
        (
            m.user_id,
            m.session_id,
            m.message_id,
            m.role,
            m.content,
            bytes(m.parts).decode(),
            m.model,
            m.status,
            m.parent_id,
            m.turn_id,
            m.event_id,
            m.created_at,
        )
        for m in messages
    ]


def _traces(messages: list[Message]) -> list[tuple[Any, ...]]:
    return [
        (m.user_id, m.session_id, m.message_id, m.turn_id, m.event_id, *msgspec.structs.astuple(m.trace))
        for m in messages
        if m.trace
    ]


async def main() -> None:
    database = await asyncpg.connect(os.environ["LOGGER_DATABASE_URL"])
    broker = await aio_pika.connect(os.environ["AMQP_URL"])
    channel = await broker.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    queue = await channel.get_queue("logger.chat", ensure=False)
    consumer = RawConsumer(database)
    running = asyncio.create_task(consumer.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await queue.consume(consumer.take)
    try:
        await running
    except asyncio.CancelledError:
        await broker.close()
        await database.close()


if __name__ == "__main__":
    uvloop.run(main())
