"""Accept a write that another service stores: publish its events, and wait until what follows from them can be read."""

from collections.abc import Sequence
from typing import TypeVar

from services.gateway.writes.broker_gate import require_broker
from services.gateway.writes.receipts import Look, Receipts
from shared.events import Event
from shared.publishing.publisher import Publisher

Row = TypeVar("Row")


class Accepting:
    """What every write goes through."""

    def __init__(self, publisher: Publisher, receipts: Receipts) -> None:
        self._publisher = publisher
        self._receipts = receipts

    async def accept(
        self, events: Sequence[Event], look: Look[Row], wait_s: float, *, session: tuple[str, str] | None = None
    ) -> Row | None:
        """Publish these events, in this order, and return what `look` finds within `wait_s` seconds.

        Accepted is durable: the broker has all of them. Whoever finds None answers 202, with what the row is going to
        be, else 200 or 201. Where the broker goes away among several, those before are accepted: a repeat must make
        the same events again, by ids that follow from the caller's key.

        Args:
            events: In the order in which they are published.
            look: Finds what is waited for, once it is there.
            wait_s: In seconds; 0 does not even look.
            session: Owner and id of one in which anything that happens may be what is waited for.

        Raises:
            BrokerAway: Not all of them are with the broker.
        """
        require_broker(self._publisher)
        sessions = [session] if session else []
        with self._receipts.expecting(*(event.event_id for event in events), *sessions) as receipt:
            for event in events:
                await self._publisher.publish(event)
            return await receipt.until(look, wait_s)
