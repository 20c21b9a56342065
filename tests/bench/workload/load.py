"""Conversations to store: 200 go on at once, each of five questions and five answers."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from shared.events import Event, MessageAnswered, MessageEvent, MessagePosted, Trace
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import LOGGER_CHAT, Queue

AT_ONCE = 200
TURNS = 5
QUESTION = "Please find me a midsize jet from Teterboro to Aspen on Friday morning, for six people. "
ANSWER = "I have asked three operators; the first of them offers a Citation XLS for 33,500 USD, all included. " * 5
CHUNK = 1000  # messages on their way to the broker at once


def conversations() -> Iterator[MessageEvent]:
    """Yield the messages of ever new conversations, in the order in which they would be published."""
    while True:
        sessions = [(f"user-{number % 50}", str(new_id())) for number in range(AT_ONCE)]
        began = datetime.now(UTC)
        for turn in range(TURNS):
            asked_at = began + timedelta(seconds=2 * turn)
            yield from [_question(*session, asked_at) for session in sessions]
            yield from [_answer(*session, asked_at + timedelta(seconds=1)) for session in sessions]


def _question(user_id: str, session_id: str, at: datetime) -> MessagePosted:
    return MessagePosted(
        user_id=user_id,
        session_id=session_id,
        message_id=str(new_id()),
        role="user",
        content=QUESTION,
        parts=({"type": "text", "text": QUESTION},),
        created_at=at,
        turn_id=new_id(),
        model="sandbox-small",
        project_id="p1",
        helper="charter",
    )


def _answer(user_id: str, session_id: str, at: datetime) -> MessageAnswered:
    message_id = str(new_id())
    return MessageAnswered(
        user_id=user_id,
        session_id=session_id,
        message_id=message_id,
        content=ANSWER,
        parts=({"type": "text", "text": ANSWER},),
        created_at=at,
        turn_id=new_id(),
        model="sandbox-small",
        project_id="p1",
        helper="charter",
        status="complete",
        trace=Trace(
            trace_id=message_id,
            model="sandbox-small",
            provider="openai",
            status="ok",
            started_at=at,
            ttft_ms=120.0,
            duration_ms=900.0,
            input_tokens=400,
            output_tokens=120,
            usage_source="reported",
            finish_reason="stop",
        ),
    )


async def fill(settings: Settings, messages: Sequence[Event], queue: Queue = LOGGER_CHAT) -> None:
    """Put messages into a queue, each of them confirmed."""
    async with Publisher(settings, "bench") as publisher:
        for start in range(0, len(messages), CHUNK):
            await asyncio.gather(*(put(publisher, event, queue) for event in messages[start : start + CHUNK]))


async def put(publisher: Publisher, event: Event, queue: Queue = LOGGER_CHAT) -> None:
    """Put one message into one queue alone: nobody empties the others here."""
    await publisher.publish_to(
        queue.name, event.body(), name=type(event).__name__, message_id=str(event.event_id), headers={}
    )
