"""A broker whose consumers store at once."""

from collections.abc import Mapping, Sequence

from shared.errors import BrokerAway
from shared.events import Event, Outcome
from tests.service.gateway.fakes.stored import Stored


class FakePublisher:
    def __init__(self, world: Stored) -> None:
        self._world = world

    @property
    def away(self) -> str | None:
        return "gone" if self._world.broker_away else None

    @property
    def connection(self) -> None:
        """None: nobody can ask this broker how long its queues are."""
        return None

    async def publish(self, event: Event, *, key: str | None = None, **_: float | None) -> None:
        if self._world.broker_loses_all:
            raise BrokerAway
        assert not self._world.broker_away, "a real one waits for seconds here"
        self._world.published.append(event)
        if not self._world.consumers_away:
            self._world.store(event)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        self._world.announced += outcomes

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        assert not self._world.broker_away, "a real one waits for seconds here"
        self._world.sent_to.append((queue, body, message_id))
