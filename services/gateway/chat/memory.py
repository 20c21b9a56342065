"""What the next turn of a session knows: its newest messages, stored or not, and whose session it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from services.gateway.account.caller import Caller
from services.gateway.account.projects import Projects, sees
from services.gateway.chat.queries import REMEMBERED, branches, said_of, session_past, stored_calls, stored_question
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.past.kept import Kept, first_seen, kept_by, kept_in
from services.gateway.turns.past.said import Glimpse, Said, branch, missing_parents, newest, unite
from services.gateway.turns.stored.readings import CALLS_AMONG, TurnReadings
from services.gateway.turns.turn import Question
from shared.database import Pool
from shared.errors import NotFound

CALLS_BYTES = 256 * 1024  # of JSON that earlier calls of tools are, with what came of them


@dataclass(frozen=True)
class Remembered:
    user_id: str
    history: list[Said]
    kept: Kept | None = None  # what the session keeps; none: it is new
    known_until: datetime | None = None  # the place of the newest turn that is in it
    turns: Sequence[Glimpse] = ()  # those that are not stored yet
    is_recalled: bool = False  # nothing was read: it is what this gateway knew of the session, to be proved by a claim
    tag: str | None = None  # then, the one that it is known to have

    @property
    def is_new(self) -> bool:
        """Whether there is no such session yet."""
        return self.kept is None and self.known_until is None and not self.is_recalled


def recall(sessions: RecentSessions, caller: Caller, session_id: str) -> Remembered | None:
    """Take what this gateway knows of a session of the caller's, for one claim; None where that is nothing for them."""
    recent = sessions.take(caller.user_id, session_id)
    if recent is None or not caller.sees(recent.kept.project_id):
        return None
    history = list(recent.history)
    return Remembered(caller.user_id, history, recent.kept, recent.known_until, is_recalled=True, tag=recent.tag)


class Memory:
    """Reads a session's past through the select-only role."""

    def __init__(self, reader_pool: Pool, turns: TurnReadings, most_bytes: int) -> None:
        """Remember texts as far back as they are `most_bytes` together: what the model is told at most."""
        self._pool = reader_pool
        self._turns = turns
        self._most_bytes = most_bytes

    async def of(
        self,
        user_ids: Sequence[str],
        session_id: str,
        about: Sequence[str] = (),
        resent: int = 0,
        projects: Projects = None,
    ) -> Remembered:
        """Return the past of the session that the first of these users has; an unknown one is new, and the first's.

        Args:
            user_ids: Who asks, the owner of what is new first.
            session_id: Which session.
            about: Messages, by our ids or the client's, that are wanted however long ago they were said, with all that
                led to them.
            resent: How many of the session's first user messages are wanted, for a client that sends all of them again.
            projects: Those that who asks is limited to.

        Raises:
            NotFound: It was deleted, or is of a project that who asks does not see.
        """
        (turns, places), rows = await session_past(
            self._pool, user_ids, session_id, about, resent=resent, most_bytes=self._most_bytes
        )
        stored_as = {row["user_id"]: kept_in(row) for row in rows if row["deleted"] is not None}
        kept = {
            user_id: kept_by([turn for turn in turns if turn.user_id == user_id], stored_as.get(user_id))
            for user_id in user_ids
            if user_id in stored_as or user_id in places
        }
        owner = first_seen(kept, partial(sees, projects)) or user_ids[0]
        own_rows = [row for row in rows if row["user_id"] == owner]
        if not kept and len(user_ids) > 1 and await self._turns.was_deleted(user_ids[1:], session_id):
            raise NotFound("This session was deleted.")  # a claim proves that of the first alone
        if any(row["deleted"] for row in own_rows):
            raise NotFound("This session was deleted.")
        own_turns = [turn for turn in turns if turn.user_id == owner]
        stored = said_of(own_rows)
        history = unite(await self._unstored(own_turns, stored), stored)
        if missing := missing_parents(history, [*about, *_cut_off(history)]):
            history = unite(await self._branches(owner, session_id, missing), history)
        return Remembered(owner, history, kept.get(owner), places.get(owner), own_turns)

    async def question(self, user_id: str, session_id: str, message_id: str) -> Question | None:
        """Return a question of the session whole, to ask it again; None where it is gone."""
        stored = await stored_question(self._pool, user_id, session_id, message_id)
        if stored is not None:
            return stored
        saying = await self._turns.saying(user_id, session_id, message_id)
        for turn in await self._turns.whole([each.turn_id for each in saying]):
            for asked in (*turn.earlier(), turn):
                if asked.question.message_id == message_id and not asked.question.is_known:
                    return replace(asked.question, is_known=True, said_at=asked.asked_at, earlier=())
        return None

    async def calls(
        self, user_id: str, session_id: str, history: Sequence[Said]
    ) -> Mapping[str, Sequence[dict[str, Any]]]:
        """Return the parts of the newest answers of a session for which tools were called, by message id."""
        answers = [said.message_id for said in history if said.role == "assistant"][-CALLS_AMONG:]
        if not answers:
            return {}
        unstored = await self._turns.calls(user_id, session_id, CALLS_BYTES)
        others = [message_id for message_id in answers if message_id not in unstored]
        return unstored | await stored_calls(self._pool, user_id, session_id, others, CALLS_BYTES)

    async def _unstored(self, turns: Sequence[Glimpse], stored: Sequence[Said]) -> list[Said]:
        """Return, with their texts, the messages of these turns that are not stored."""
        known = {said.message_id for said in stored}
        said_by = {turn.turn_id: [said for said in turn.said() if said.message_id not in known] for turn in turns}
        unstored = {turn_id: new for turn_id, new in said_by.items() if new}
        if not unstored:
            return []
        texts = {text.message_id: text for text in await self._turns.texts(list(unstored), self._most_bytes)}
        return [
            replace(said, content=text.content, digest=text.digest) if (text := texts.get(said.message_id)) else said
            for new in unstored.values()
            for said in new
        ]

    async def _branches(self, owner: str, session_id: str, leaves: set[str]) -> list[Said]:
        return await branches(self._pool, owner, session_id, leaves, steps=REMEMBERED, most_bytes=self._most_bytes)


def _cut_off(history: Sequence[Said]) -> list[str]:
    """Name the newest message where little is known of what led to it, as of a question of long ago asked again."""
    leaf = newest(history)
    return [leaf] if leaf is not None and len(branch(history, leaf)) < REMEMBERED // 2 else []
