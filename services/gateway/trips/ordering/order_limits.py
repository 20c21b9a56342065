"""How many trips somebody may order, and how often name one that is not theirs: whoever names one first has it.

What is said of an attachment may come long after its answer, so each is looked at again before the next.
"""

from collections import OrderedDict
from uuid import UUID

from prometheus_client import Counter

from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.trips.queries import TripQueries
from shared.events import TripAttached
from shared.settings import Settings

MOST_ACCOUNTS = 10_000  # whose attachments are looked at again
WRONG = Counter("tripthread_trip_guesses_total", "Attachments of trips that are somebody else's, or nobody's.")
GUESSES = "trips that are not yours to attach"


class OrderLimits:
    """Accounts are those that turns are counted for."""

    def __init__(self, settings: Settings, buckets: Buckets, queries: TripQueries) -> None:
        self._orders = Rate(settings.trip_orders_per_minute, "trip_orders", "orders of trips")
        self._guesses = Rate(settings.trip_guesses_per_hour, "trip_guesses", GUESSES, per="hour")
        self._buckets = buckets
        self._queries = queries
        # By account: the owners of orders without an answer, and the trips that these were promised.
        self._unanswered: OrderedDict[str, set[tuple[str, UUID]]] = OrderedDict()

    async def count_order(self, account: str) -> None:
        """Count an order.

        Raises:
            TooMany: It is one too many within a minute.
        """
        await self._buckets.take(self._orders, account)

    async def count_attachment(self, account: str, order: TripAttached) -> None:
        """Let somebody attach another trip, and remember that until it is known what became of it.

        Raises:
            TooMany: Too many were wrong within an hour, those without an answer taken for wrong.
        """
        await self.look_again(account)
        room = len(self._unanswered.get(account, ())) + 1
        await self._buckets.require(self._guesses, account, room)
        self._unanswered.setdefault(account, set()).add((order.user_id, order.trip_id))
        self._unanswered.move_to_end(account)
        if len(self._unanswered) > MOST_ACCOUNTS:
            self._unanswered.popitem(last=False)

    async def count_wrong(self, account: str, order: TripAttached) -> None:
        """Count an attachment that came to nothing since it was not theirs to have."""
        await self._settle(account, (order.user_id, order.trip_id), is_wrong=True)

    async def look_again(self, account: str) -> None:
        """Look what became of this account's attachments."""
        for user_id, promised in list(self._unanswered.get(account, ())):
            order = await self._queries.order((user_id,), promised)
            if order is not None and order.settled:
                await self._settle(account, (user_id, promised), is_wrong=order.is_wrong_guess)

    async def _settle(self, account: str, order: tuple[str, UUID], *, is_wrong: bool) -> None:
        unanswered = self._unanswered.get(account, set())
        if order not in unanswered:
            return  # counted already, by a request beside this one
        unanswered.discard(order)
        if not unanswered:
            del self._unanswered[account]
        if is_wrong:
            WRONG.inc()
            await self._buckets.count(self._guesses, account)
