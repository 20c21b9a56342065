"""Turns that end at once, and what is kept of them."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.past.said import Glimpse, Said
from services.gateway.turns.running import OnBusy
from services.gateway.turns.stored.claims import Claim, turn_of
from services.gateway.turns.stored.readings import Spoken, Unstored
from services.gateway.turns.turn import Turn
from shared.errors import DatabaseAway, TripthreadError
from tests.pure.gateway.samples import NOON, glimpse
from tests.service.gateway.fakes.stored import Stored


def claimed(claim: Claim) -> Turn:
    """Return the turn of a claim that got its session."""
    return turn_of(claim, claim.question, NOON)


class FakeTurns:
    """Answers every question at once, with the question."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def start(
        self,
        claim: Claim,
        history: Sequence[Said],
        session: Sequence[Glimpse] = (),
        *,
        again: bool = False,
        on_busy: OnBusy | None = None,
        retold: Retold | None = None,
    ) -> TurnBuffer:
        running = TurnBuffer(claimed(claim))
        self._world.turns.append(running.turn)
        self._world.published.append(running.turn.posted())
        if self._world.database_leaves:
            running.fail(DatabaseAway())
            return running
        if self._world.turns_break:
            running.fail(TripthreadError("Something went wrong on our side."))
            return running
        self._world.answer(running)
        return running


class FakeTelling:
    def __init__(self, world: Stored) -> None:
        self._world = world

    def tell(self, turn: Turn, *, session: Sequence[Glimpse]) -> asyncio.Future[bool]:
        self._world.published += turn.asked()
        told = asyncio.get_running_loop().create_future()
        told.set_result(True)
        return told


class FakeTurnStore:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def running(self, user_ids: Sequence[str], session_id: str) -> Turn | None:
        own = (turn for turn in self._world.turns if turn.user_id in user_ids and turn.session_id == session_id)
        return next((turn for turn in own if turn.state == "running"), None)

    async def find(self, turn_id: UUID) -> Turn | None:
        return next((turn for turn in self._world.turns if turn.turn_id == turn_id), None)

    async def claim(self, claim: Claim) -> Turn:
        self._world.turns.append(claimed(claim))
        return self._world.turns[-1]

    async def by_key(self, user_id: str, key: str) -> None:
        return None

    async def is_gone(self, _user_id: str, _session_id: str) -> bool:
        return False

    async def take(self, *_copy: str) -> None:
        return None


class FakeTurnReadings:
    """Knows no window: a session's turns are few here."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def session(self, user_ids: Sequence[str], session_id: str) -> Unstored:
        own = (turn for turn in self._world.turns if turn.user_id in user_ids)
        turns = [glimpse(turn) for turn in own if turn.session_id == session_id]
        return Unstored(turns, {turn.user_id: turn.place for turn in turns})

    async def sessions_of(self, user_ids: Sequence[str]) -> list[Glimpse]:
        return [glimpse(turn) for turn in self._world.turns if turn.user_id in user_ids]

    async def said_between(self, user_id: str, session_id: str, *_window: Any, **_direction: Any) -> list[Glimpse]:
        return (await self.session([user_id], session_id)).turns

    async def was_deleted(self, user_ids: Sequence[str], session_id: str) -> bool:
        return any(
            known.deleted and known.key[0] in user_ids and known.key[1] == session_id for known in self._world.sessions
        )

    async def last_spoken(self, user_ids: Sequence[str]) -> list[Spoken]:
        turns = (turn for turn in self._world.turns if turn.user_id in user_ids)
        return [Spoken(turn.user_id, turn.session_id, turn.place, turn.project_id) for turn in turns]

    async def previews(self, turn_ids: Sequence[UUID], length: int) -> dict[UUID, str]:
        return {
            turn.turn_id: (turn.answer.content if turn.answer else turn.question.content)[:length]
            for turn in await self.whole(turn_ids)
        }

    async def sizes(self, turn_ids: Sequence[UUID], most_bytes: int) -> dict[UUID, int]:
        return {turn.turn_id: len(turn.question.content) for turn in await self.whole(turn_ids)}

    async def whole(self, turn_ids: Sequence[UUID]) -> list[Turn]:
        return [turn for turn in self._world.turns if turn.turn_id in turn_ids]
