"""Go on from a response: find its turn, and tell the model what led to it, with the calls of tools and their results.

The turn's row is looked at first, so that one goes on while the logger is away; once that is trimmed, what is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.chat.memory import CALLS_BYTES, Remembered
from services.gateway.http.held.room import Room
from services.gateway.turns.histories import Message
from services.gateway.turns.past.history import shown_of
from services.gateway.turns.past.said import Said
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.v1.past.response_readings import is_offered
from services.gateway.v1.past.way import Parts, known_of, told_with, way_to
from shared.database import Pool, fetched, reading
from shared.ids import answer_id

SPELLED = 2  # times that a text is in what is read of its message: as it is, and in its parts


@dataclass(frozen=True)
class Previous:
    """An answer that a request goes on from."""

    user_id: str
    session_id: str
    last_id: str  # its message
    is_running: bool = False


class PreviousTurns:
    """Reads turns and what led to them."""

    def __init__(self, own_pool: Pool, reader_pool: Pool, turns: TurnReadings, room: Room) -> None:
        self._own = own_pool
        self._reader = reader_pool
        self._turns = turns
        self._room = room  # for what is read and not spelled yet

    async def find(self, caller: Caller, turn_id: UUID) -> Previous | None:
        """Return a turn of this caller's that is not withheld, in whichever project; None where there is none."""
        rows = await fetched(
            self._own,
            f"""
            SELECT user_id, session_id, attempt, state FROM gateway.turns t
            WHERE turn_id = $1 AND user_id = ANY ($2) AND state <> 'posted'
                AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
                AND {is_offered("t")}
            """,  # noqa: S608 - a condition of ours, here and below
            turn_id,
            caller.user_ids,
        )
        for row in rows:
            last_id = str(answer_id(turn_id, row["attempt"]))
            return Previous(row["user_id"], row["session_id"], last_id, row["state"] == "running")
        async with reading(self._reader, *caller.user_ids) as db:
            stored = await db.fetchrow(
                f"""
                SELECT m.user_id, m.session_id, m.message_id
                FROM chat.messages m JOIN chat.sessions s USING (user_id, session_id)
                WHERE m.user_id = ANY ($1) AND m.turn_id = $2 AND m.role = 'assistant'
                    AND s.created_at <= m.created_at  -- which a fork's copies are older than
                    AND {is_offered("m")}
                ORDER BY m.created_at DESC LIMIT 1
                """,  # noqa: S608
                caller.user_ids,
                turn_id,
            )
        return Previous(stored["user_id"], stored["session_id"], stored["message_id"]) if stored else None

    async def messages(
        self,
        previous: Previous,
        remembered: Remembered,
        room_bytes: float,
        results: Sequence[tuple[str, str]] = (),
    ) -> list[Message]:
        """Return what was said up to the answer, as the model is told: the newest that fits.

        Args:
            previous: The answer.
            remembered: Its session.
            room_bytes: How long all of it may be.
            results: Of tools that it called: (call, its place in the request).

        Raises:
            Invalid: One of the results answers no call.
            ContextTooLong: They answer some of an answer that does not fit.
            Overloaded: There was no room for a while to read it.
        """
        path = way_to(previous.last_id, remembered.history)
        most_bytes = CALLS_BYTES + SPELLED * max(int(room_bytes), 0)
        async with self._room.for_bytes(most_bytes):
            parts = await self._parts(previous, remembered, path, most_bytes)
            return told_with(results, path, parts, room_bytes)

    async def _parts(
        self, previous: Previous, remembered: Remembered, path: Sequence[Said], most_bytes: int
    ) -> dict[str, Parts | None]:
        """Return the parts of what may have called a tool, or says what one gave, as far back as they are that much."""
        wanted = [said.message_id for said in known_of(path) if said.role in ("assistant", "tool")]
        unstored, size = await self._unstored(remembered, set(wanted), most_bytes)
        others = [message_id for message_id in wanted if message_id not in unstored]
        return unstored | await self._stored(previous, others, most_bytes - size)

    async def _unstored(
        self, remembered: Remembered, wanted: set[str], most_bytes: int
    ) -> tuple[dict[str, Parts | None], int]:
        """Return those of turns that are not stored, and how many bytes they are; none of what is too much."""
        said_by = {turn.turn_id: wanted & {said.message_id for said in turn.said()} for turn in remembered.turns}
        newest = [turn_id for turn_id, ids in said_by.items() if ids]
        sizes = await self._turns.sizes(newest, most_bytes) if newest else {}
        totals = accumulate(sizes.get(turn_id, most_bytes) for turn_id in newest)
        read = {turn_id: total for turn_id, total in zip(newest, totals, strict=True) if total <= most_bytes}
        unread = set[str]().union(*(ids for turn_id, ids in said_by.items() if turn_id not in read))
        parts: dict[str, Parts | None] = dict.fromkeys(unread)
        for turn in await self._turns.whole(list(read)) if read else ():
            parts |= {shown.message_id: shown.parts for shown in shown_of(turn) if shown.message_id in wanted}
        return parts, max(read.values(), default=0)

    async def _stored(self, previous: Previous, wanted: Sequence[str], most_bytes: int) -> dict[str, Parts | None]:
        """Return those that are stored and name a call, the newest first; none of the first that is too much.

        To measure parts is to unpack them, so one after the other is, until it is enough.
        """
        newest = list(reversed(wanted))
        async with reading(self._reader, previous.user_id) as db:
            rows = await db.fetch(
                """
                WITH RECURSIVE called (number, parts, total) AS (
                    SELECT 0, NULL::jsonb, 0::bigint
                    UNION ALL
                    SELECT number + 1, next.parts, total + coalesce(octet_length(next.parts::text), 0)
                    FROM called CROSS JOIN LATERAL (
                        SELECT (SELECT m.parts FROM chat.messages m
                            WHERE m.user_id = $1 AND m.session_id = $2 AND m.message_id = ($3::text[])[number + 1]
                                AND jsonb_path_exists(m.parts, '$[*].toolCallId')) AS parts) next
                    WHERE number < cardinality($3) AND total <= $4
                )
                SELECT number, CASE WHEN total <= $4 THEN parts END AS parts FROM called WHERE parts IS NOT NULL
                """,
                previous.user_id,
                previous.session_id,
                newest,
                most_bytes,
            )
        return {newest[row["number"] - 1]: row["parts"] for row in rows}
