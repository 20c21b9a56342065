"""Parking: a message that can never succeed goes to `dead` with its reason, and its queue goes on.

The body and its id, type and trace stay as they were. The headers say why: `x-reason` (a stable code), `x-error`
(one line) and `x-queue` (where it came from). What the broker itself dead-letters has `x-death` instead. The way back
is `send_back`.
"""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import structlog
from prometheus_client import Counter

from shared.broker.connection import describe
from shared.consuming.decoding import Carried
from shared.errors import BrokerAway, Poison, Unstorable
from shared.process.telemetry import passed_on
from shared.publishing.publisher import Publisher
from shared.topology import DEAD_QUEUE, Queue

ERROR_LENGTH = 1000

Headers = Mapping[str, object]

PARKED = Counter("tripthread_parked_messages_total", "Messages that can never succeed", ["queue", "reason"])

log = structlog.get_logger(__name__)


class Parking:
    """Parks the messages of one queue."""

    def __init__(self, publisher: Publisher, queue: Queue) -> None:
        self._publisher = publisher
        self._queue = queue

    async def park(self, delivery: Carried, error: BaseException, reject: Callable[[], Awaitable[None]]) -> None:
        """Settle one message without its effect: put it into `dead`, or else `reject` it: the broker dead-letters it.

        Raises:
            Disconnected: The broker took neither; it will deliver the message again.
        """
        reason = error.code if isinstance(error, Poison) else Unstorable.code
        about = {"event_id": delivery.message_id, "correlation_id": delivery.correlation_id, "reason": reason}
        try:
            await self._publisher.publish_to(
                DEAD_QUEUE,
                delivery.body,
                name=delivery.type,
                message_id=delivery.message_id,
                headers=self._headers(delivery, reason, error),
            )
        except BrokerAway as away:
            await reject()
            log.error("message rejected, since parking failed", away=away.detail, **about)
        else:
            log.error("message parked", error=describe(error), **about)
        PARKED.labels(self._queue.name, reason).inc()

    def _headers(self, delivery: Carried, reason: str, error: BaseException) -> dict[str, str]:
        why = {"x-reason": reason, "x-error": header_text(describe(error)), "x-queue": self._queue.name}
        return why | passed_on(delivery.headers)


async def send_back(
    publisher: Publisher, queue: str, body: bytes, *, name: str | None, event_id: UUID | None, headers: Headers
) -> None:
    """Put a parked message into the queue that refused it, as the same event, going on with its trace.

    Raises:
        BrokerAway: It could not be, or perhaps it was.
    """
    message_id = str(event_id) if event_id else None
    await publisher.publish_to(queue, body, name=name, message_id=message_id, headers=passed_on(headers))


def header_text(text: str) -> str:
    """Cut a text to what a header and a database column hold."""
    return text[:ERROR_LENGTH].encode("utf-8", "replace").decode().replace("\x00", "")
