"""What was deleted, and who was erased."""

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.deletion.state import ErasureState
from services.gateway.deletion.store import Deletion, Erasure
from services.gateway.http.write_headers import Write
from shared import ids
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeDeleting:
    """Deletes at once, wherever the consumers are."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def delete(self, sessions: Sequence[tuple[str, str]], write: Write) -> tuple[list[Deletion], bool]:
        self._world.turns = [turn for turn in self._world.turns if (turn.user_id, turn.session_id) not in sessions]
        self._world.sessions = [
            replace(facts, deleted=True) if facts.key in sessions else facts for facts in self._world.sessions
        ]
        deletions = [Deletion(*key, ids.new_id(), write.correlation_id, NOON) for key in sessions]
        return deletions, not self._world.consumers_away and write.wait_s > 0

    async def erase(self, user_ids: Sequence[str], write: Write, *, operator: str | None = None) -> list[Erasure]:
        self._world.erased.update(user_ids)
        self._world.erased_by = operator
        return [Erasure(user_id, ids.new_id(), write.correlation_id, NOON) for user_id in user_ids]


class FakeErasureStates:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of(self, user_ids: Sequence[str]) -> ErasureState:
        if self._world.erased.isdisjoint(user_ids):
            return ErasureState("none", None, {})
        return ErasureState("pending", NOON, {"gateway": True, "logger": False, "tagger": True, "workflow": True})
