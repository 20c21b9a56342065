"""What is kept for clients of OpenAI's."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.chat.memory import Remembered
from services.gateway.turns.past.history import shown_of
from services.gateway.v1.past.previous import Previous
from services.gateway.v1.past.response_readings import KeptAnswer, KeptResponse
from services.gateway.v1.past.way import told_with, way_to
from services.gateway.v1.told.input_items import AskedItem
from tests.service.gateway.fakes.stored import Stored


class FakeJoining:
    """Knows no history."""

    async def session(self, _user_id: str, _conversation: str) -> None:
        return


class FakePrevious:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def find(self, caller: Caller, turn_id: UUID) -> Previous | None:
        known = () if turn_id in self._world.withheld else self._world.turns
        own = (turn for turn in known if turn.turn_id == turn_id and turn.user_id in caller.user_ids)
        return next((Previous(turn.user_id, turn.session_id, turn.answer_id) for turn in own), None)

    async def messages(
        self,
        previous: Previous,
        remembered: Remembered,
        room_bytes: float,
        results: Sequence[tuple[str, str]] = (),
    ) -> list[dict[str, Any]]:
        parts = {shown.message_id: shown.parts for turn in self._world.turns for shown in shown_of(turn)}
        return told_with(results, way_to(previous.last_id, remembered.history), parts, room_bytes)


class FakeResponses:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def withhold(self, _user_id: str, _session_id: str, turn_id: UUID) -> None:
        self._world.withheld.add(turn_id)

    async def forget_unbegun(self, _user_id: str, turn_id: UUID) -> None:
        if turn_id not in {turn.turn_id for turn in self._world.turns}:
            self._world.withheld.discard(turn_id)

    async def answers(self, user_ids: Sequence[str], turn_ids: Sequence[UUID]) -> list[KeptAnswer]:
        shown = set(turn_ids) - self._world.withheld
        kept = [turn for turn in self._world.turns if turn.turn_id in shown and turn.user_id in user_ids]
        return [KeptAnswer(turn.turn_id, turn.project_id, turn.answer) for turn in kept if turn.answer]

    async def find(self, user_ids: Sequence[str], turn_id: UUID) -> KeptResponse | None:
        known = () if turn_id in self._world.withheld else self._world.turns
        turn = next((turn for turn in known if turn.turn_id == turn_id and turn.user_id in user_ids), None)
        return None if turn is None else KeptResponse.of(turn, previous=None)

    async def asked(self, kept: KeptResponse) -> Sequence[AskedItem]:
        return kept.asked
