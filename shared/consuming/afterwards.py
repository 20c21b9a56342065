"""What follows a commit: its outcomes are announced, and its messages acknowledged; in a flood, for several at once."""

import time
from collections.abc import Callable, Sequence

from shared.consuming.subscription import Subscription
from shared.events import Outcome
from shared.publishing.publisher import Publisher

# Each announcement goes to every gateway, and each acknowledgement through the log of a quorum queue.
EVERY_S = 0.02


class Afterwards:
    """Says of one channel's groups that they are settled: at once, or with those that follow within `EVERY_S`.

    Whoever waits for a lone message hears of it at once. What is not acknowledged yet when a process dies comes again,
    and is a repeat, as what died between its commit and its acknowledgement always was.
    """

    def __init__(
        self,
        subscription: Subscription,
        publisher: Publisher,
        most: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing to say.

        Args:
            subscription: Whose groups these are.
            publisher: Announces outcomes.
            most: Deliveries that may be unacknowledged though they are settled; the broker sends fewer meanwhile.
            now: A monotonic clock, in seconds.
        """
        self._subscription = subscription
        self._publisher = publisher
        self._most = most
        self._now = now
        self._said_at = -EVERY_S
        self._said_tag = self._settled_tag = 0
        self._outcomes: list[Outcome] = []

    def due_in_s(self) -> float | None:
        """Return when there will be something to say; None where all is said."""
        if self._settled_tag == self._said_tag:
            return None
        return max(0.0, self._said_at + EVERY_S - self._now())

    async def settled(self, tag: int, outcomes: Sequence[Outcome]) -> None:
        """Take note that everything up to this tag is settled, and say so if it is time.

        Raises:
            Disconnected: The channel is gone; the broker will deliver it again.
        """
        self._settled_tag = tag
        self._outcomes += outcomes
        if not self.due_in_s() or tag - self._said_tag >= self._most:
            await self.say()

    async def say(self) -> None:
        """Say what is not said yet.

        Raises:
            Disconnected: The channel is gone; the broker will deliver it again.
        """
        if self._settled_tag == self._said_tag:
            return
        outcomes, self._outcomes = self._outcomes, []
        self._said_at, self._said_tag = self._now(), self._settled_tag
        await self._publisher.announce(outcomes)
        await self._subscription.ack_up_to(self._said_tag)
