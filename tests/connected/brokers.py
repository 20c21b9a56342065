"""What tests of the broker's side share: a broker of their own to break, and ways to look into queues."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from deploy.supervisor.private.servers import RabbitMQ
from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from shared.events import MessageAnswered, MessagePosted
from shared.settings import Settings
from shared.topology import QUEUES, Queue
from tests.server_directory import server_directory
from tests.servers import login_definitions
from tests.settings import settings_for
from tests.waiting import PATIENCE_S

NO_DATABASE = "postgresql://nobody:nothing@127.0.0.1:1/none"
NOBODY = "amqp://guest:guest@127.0.0.1:1/"  # where no broker listens


def broker_settings(amqp_url: str, **overrides: object) -> Settings:
    """Return settings for tests that need no database."""
    return settings_for(NO_DATABASE, amqp_url, **overrides)


@asynccontextmanager
async def own_broker() -> AsyncIterator[RabbitMQ]:
    """Run a broker that a test may stop, kill and starve; everything is declared on it."""
    with server_directory("broker") as directory:
        broker = RabbitMQ(directory, durable=False)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(broker.import_definitions, login_definitions(broker.url))
        try:
            async with open_connection(broker_settings(broker.url), "test", Declaring().declare):
                # A node of 3.10 that is killed in the second after a declaration comes back with a dead queue.
                await asyncio.to_thread(broker.ctl, "eval", "[dets:sync(Table) || Table <- dets:all()].")
            yield broker
        finally:
            await asyncio.to_thread(broker.stop)


async def purge(settings: Settings) -> None:
    """Empty every queue, and keep it."""
    async with raw_channel(settings) as channel:
        for queue in QUEUES:
            await (await channel.get_queue(queue.name)).purge()


def posted(number: int, **fields: object) -> MessagePosted:
    """Make the event of one message, which two queues hear."""
    return MessagePosted.model_validate(_message(number) | {"role": "user"} | fields)


def answered(number: int, **fields: object) -> MessageAnswered:
    """Make the event of one answer, which the logger's queue alone hears."""
    return MessageAnswered.model_validate(_message(number) | {"status": "complete"} | fields)


def _message(number: int) -> dict[str, object]:
    return {
        "user_id": "ada",
        "session_id": "s1",
        "message_id": f"m{number}",
        "content": f"message {number}",
        "created_at": datetime.now(UTC),
    }


async def waiting(settings: Settings, queue: Queue) -> int:
    """Count what is in a queue and not delivered to anybody."""
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue.name, passive=True)
        return declared.declaration_result.message_count or 0


async def take(
    settings: Settings, queue: Queue, count: int, within_s: float = PATIENCE_S
) -> list[AbstractIncomingMessage]:
    """Take this many messages out of a queue for good, waiting for them."""
    async with asyncio.timeout(within_s), raw_channel(settings) as channel:
        await channel.set_qos(count)
        return await come(await channel.get_queue(queue.name), count)


async def come(queue: AbstractQueue, count: int) -> list[AbstractIncomingMessage]:
    """Wait for this many messages of a queue, and take them; `AbstractQueue.get` would wait for none."""
    taken: list[AbstractIncomingMessage] = []
    async with asyncio.timeout(PATIENCE_S), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            taken.append(message)
            if len(taken) == count:
                break
    return taken


@asynccontextmanager
async def raw_channel(settings: Settings) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """Open a channel for what only a test does: garbage, deletions."""
    async with await aio_pika.connect(settings.amqp_url) as connection:
        yield await connection.channel()
