"""What the next turn of a session knows: its newest messages, stored or not, and whose session it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.gateway.chat.queries import branches, message_of, stored_messages
from services.gateway.turns.history import HistoryMessage, branch, merge_history, missing_parents, newest
from services.gateway.turns.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.database import Pool
from shared.errors import NotFound

REMEMBERED = 200  # stored messages of a session, the newest


@dataclass(frozen=True)
class Remembered:
    user_id: str
    history: list[HistoryMessage]
    known_until: datetime | None = None  # the place of the newest turn that is in it
    turns: Sequence[Turn] = ()  # those of its newest turns that are kept


class Memory:
    """Reads a session's past through the select-only role."""

    def __init__(self, reader_pool: Pool, store: TurnStore) -> None:
        self._pool = reader_pool
        self._store = store

    async def of(
        self, user_ids: Sequence[str], session_id: str, about: Sequence[str] = (), resent: int = 0
    ) -> Remembered:
        """Return the past of the session that the first of these users has; an unknown one is new, and the first's.

        Args:
            user_ids: Who asks, the owner of what is new first.
            session_id: Which session.
            about: Messages, by our ids or the client's, that are wanted however long ago they were said, with all that
                led to them.
            resent: How many of the session's first user messages are wanted, for a client that sends all of them again.

        Raises:
            NotFound: It was deleted.
        """
        turns = await self._store.session(user_ids, session_id)  # before the stored ones: see history.py
        rows = await stored_messages(self._pool, user_ids, session_id, about, resent=resent, newest=REMEMBERED)
        owners = {row["user_id"] for row in rows} | {turn.user_id for turn in turns}
        owner = next((user_id for user_id in user_ids if user_id in owners), user_ids[0])
        own_rows = [row for row in rows if row["user_id"] == owner]
        if any(row["deleted"] for row in own_rows):
            raise NotFound("This session was deleted.")
        own_turns = [turn for turn in turns if turn.user_id == owner]
        stored = [message for row in own_rows if (message := message_of(row)) is not None]
        history = merge_history(stored, own_turns)
        if missing := missing_parents(history, [*about, *_cut_off(history)]):
            history = merge_history(
                [*stored, *await branches(self._pool, owner, session_id, missing, REMEMBERED)], own_turns
            )
        known_until = max((turn.place for turn in own_turns), default=None)
        return Remembered(owner, history, known_until, own_turns)


def _cut_off(history: Sequence[HistoryMessage]) -> list[str]:
    """Name the newest message where little is known of what led to it, as of a question of long ago asked again."""
    leaf = newest(history)
    return [leaf] if leaf is not None and len(branch(history, leaf)) < REMEMBERED // 2 else []
