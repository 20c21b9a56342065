"""What a gateway says of what it has changed itself."""

from collections.abc import Sequence
from typing import cast

from services.gateway.live.listeners import Listeners
from services.gateway.writes.announcing import Announcing
from shared.events import Outcome, SessionTouched
from shared.publishing.publisher import Publisher


class Wire:
    def __init__(self) -> None:
        self.away: str | None = None
        self.announced: list[Outcome] = []

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        self.announced += outcomes


async def test_every_gateway_is_told_by_the_broker_and_this_one_as_the_others() -> None:
    wire, listeners = Wire(), Listeners()
    listener = listeners.open(["ann"])
    await Announcing(cast(Publisher, wire), listeners).touched("ann", ["s1", "s2"], "deleted")
    assert wire.announced == [
        SessionTouched(user_id="ann", session_id=session_id, changed=("deleted",)) for session_id in ("s1", "s2")
    ]
    assert listener.take() == []


async def test_while_the_broker_is_away_its_own_listeners_are_told_by_itself() -> None:
    wire, listeners = Wire(), Listeners()
    wire.away = "gone"
    listener = listeners.open(["ann"])
    announcing = Announcing(cast(Publisher, wire), listeners)
    await announcing.touched("ann", ["s1"], "deleted")
    assert [change.name for change in listener.take() or ()] == ["deleted"]
    await announcing.erased("ann")
    assert listener.take() is None
    assert wire.announced == []
