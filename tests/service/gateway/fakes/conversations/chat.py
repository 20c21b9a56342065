"""What a question of our own chat asks besides."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from services.gateway.account.identity import Caller
from services.gateway.account.projects import Projects, sees
from services.gateway.chat.memory import Remembered
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.turns.consent import Consent
from services.gateway.turns.past.kept import first_seen, kept_by
from services.gateway.turns.turn import Question
from shared.errors import NotFound
from tests.pure.gateway.samples import glimpse, said_in
from tests.service.gateway.fakes.stored import Stored


class FakeApproving:
    """Knows of nothing that waits."""

    def __init__(self, own: OwnSessions) -> None:
        self._own = own

    async def answer(self, caller: Caller, _account: str, session_id: str | None, _consents: Sequence[Consent]) -> None:
        await self._own.find(caller, session_id or "")
        raise NotFound("Nothing is asked so in this session.")


class FakeMemory:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of(
        self,
        user_ids: Sequence[str],
        session_id: str,
        about: Sequence[str] = (),
        resent: int = 0,
        projects: Projects = None,
    ) -> Remembered:
        known = [facts for facts in self._world.sessions if facts.user_id in user_ids]
        stored = next((facts for facts in known if facts.session_id == session_id), None)
        if stored is not None and stored.deleted:
            raise NotFound("this session was deleted")
        turns = [turn for turn in self._world.turns if turn.user_id in user_ids and turn.session_id == session_id]
        if stored is None and not turns:
            return Remembered(user_ids[0], [])
        kept = kept_by([glimpse(turn) for turn in turns], stored.stored if stored else None)
        return Remembered(first_seen({user_ids[0]: kept}, partial(sees, projects)) or "", said_in(turns), kept)

    async def question(self, user_id: str, session_id: str, message_id: str) -> Question | None:
        own = (turn.question for turn in self._world.turns if (turn.user_id, turn.session_id) == (user_id, session_id))
        return next((replace(asked, is_known=True) for asked in own if asked.message_id == message_id), None)
