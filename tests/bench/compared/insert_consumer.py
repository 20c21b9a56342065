"""What we are compared with: the usual consumer, a FastStream handler that runs one INSERT for each message.

It has the best of the usual settings: a hundred messages in work at once, on ten connections. It stores the message
and nothing else; what the logger writes besides is spared it, and the sessions are made beforehand.
"""

import json
import os
from datetime import datetime
from typing import Any

import asyncpg
import uvloop
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pydantic import BaseModel

from shared.topology import LOGGER_CHAT

INSERT = """
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parts, model, status, parent_id,
        turn_id, event_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT DO NOTHING
"""


class Message(BaseModel):
    event_id: str
    user_id: str
    session_id: str
    message_id: str
    content: str
    parts: list[dict[str, Any]]
    created_at: datetime
    role: str = "assistant"
    status: str = "complete"
    parent_id: str | None = None
    turn_id: str | None = None
    model: str | None = None


async def main() -> None:
    broker = RabbitBroker(os.environ["AMQP_URL"], logger=None)
    queue = RabbitQueue(LOGGER_CHAT.name, QueueType.QUORUM, durable=True, declare=False)
    async with asyncpg.create_pool(os.environ["LOGGER_DATABASE_URL"], max_size=10) as pool:

        @broker.subscriber(queue, channel=Channel(prefetch_count=100), ack_policy=AckPolicy.NACK_ON_ERROR)
        async def store(message: Message) -> None:
            await pool.execute(
                INSERT,
                message.user_id,
                message.session_id,
                message.message_id,
                message.role,
                message.content,
                json.dumps(message.parts),
                message.model,
                message.status,
                message.parent_id,
                message.turn_id,
                message.event_id,
                message.created_at,
            )

        await FastStream(broker).run()


if __name__ == "__main__":
    uvloop.run(main())
