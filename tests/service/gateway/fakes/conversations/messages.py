"""Messages that are stored."""

from collections.abc import Sequence

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.messages.ends import ReadEnd
from services.gateway.sessions.messages.pages import Listed, Window
from services.gateway.sessions.messages.queries import StoredEnd
from services.gateway.turns.past.history import HistoryMessage
from services.gateway.turns.past.kept import Kept, kept_by
from tests.pure.gateway.samples import glimpse
from tests.service.gateway.fakes.stored import Stored


class FakeMessages:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def listed(self, user_id: str, session_id: str, window: Window, limit: int) -> list[Listed]:
        held = (shown for shown in self._world.messages if window.holds(shown.place))
        return [Listed(shown.message_id, shown.created_at, len(shown.content)) for shown in held]

    async def whole(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[HistoryMessage]:
        return [shown for shown in self._world.messages if shown.message_id in message_ids]

    async def said(self, user_id: str, session_id: str, page: Sequence[Listed]) -> list[HistoryMessage]:
        return await self.whole(user_id, session_id, [listed.message_id for listed in page])

    async def missing(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[str]:
        known = {shown.message_id for shown in self._world.messages}
        return [each for each in message_ids if each not in known]

    async def feedback(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> dict[str, Feedback]:
        given = self._world.feedback
        return {each: given[user_id, session_id, each] for each in message_ids if (user_id, session_id, each) in given}

    async def named(self, user_id: str, session_id: str, names: Sequence[str]) -> list[HistoryMessage]:
        return await self.whole(user_id, session_id, names)

    async def ends(self, user_ids: Sequence[str], session_id: str) -> dict[str, StoredEnd]:
        own = (known for known in self._world.sessions if known.user_id in user_ids)
        newest = max((shown.place for shown in self._world.messages), default=None)
        return {
            known.user_id: StoredEnd(known.deleted, newest, kept_by([], known.stored))
            for known in own
            if known.session_id == session_id
        }

    async def read_ends(self, user_ids: Sequence[str], session_id: str, names: Sequence[str]) -> dict[str, ReadEnd]:
        self._world.ends_read += 1
        stored = await self.ends(user_ids, session_id)
        named = bool(await self.named(user_ids[0], session_id, names))
        return {user_id: self._read_end(user_id, session_id, stored.get(user_id), named) for user_id in user_ids}

    def _read_end(self, user_id: str, session_id: str, stored: StoredEnd | None, named: bool) -> ReadEnd:
        turns = [turn for turn in self._world.turns if (turn.user_id, turn.session_id) == (user_id, session_id)]
        opened = next(
            (
                each
                for each in self._world.openings.values()
                if (each.user_id, each.session_id) == (user_id, session_id)
            ),
            None,
        )
        opening = opened.opening if opened else {}
        return ReadEnd(
            place=max((turn.place for turn in turns), default=None),
            has_turns=any(turn.state != "posted" for turn in turns),
            is_stored=stored is not None,
            is_opened=opened is not None,
            is_deleted=stored is not None and stored.is_deleted,
            newest=stored.newest if stored else None,
            kept=stored.kept if stored else Kept(*(opening.get(name) for name in ("project_id", "helper", "model"))),
            is_named=named,
            unstored=[glimpse(turn) for turn in turns],
        )

    async def place_of(self, user_id: str, session_id: str, message_id: str) -> Place | None:
        return next((shown.place for shown in self._world.messages if shown.message_id == message_id), None)
