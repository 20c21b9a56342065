"""Read and write how far the turns have come: with the broker, and stored where everybody reads them.

A confirm of the broker does not make a turn stored, since a queue may be deleted, nor does an outcome, which is a hint:
it is when its messages were seen in `chat.messages`. That is looked for as administrators see it, by whole keys: the
role that sees some users' rows would go through the list of them for each message.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from services.gateway.turns.stored.rows import IS_TOLD, IS_UNTOLD, columns
from services.gateway.turns.turn import Turn, Version
from shared.database import Pool, fetched
from shared.events import POSTED_RANK, rank_of
from shared.ids import answer_id

AT_ONCE = 200  # turns that one look finds
ASKED_AT_ONCE = 200  # turns of which it is asked whether they are stored
TRIMMED_AT_ONCE = 1000
KEPT_H = 24  # how long a key names its turn at least

Row = tuple[str, str, datetime]  # where a look at what is not stored left off: owner, session, place
FIRST: Row = ("", "", datetime(1970, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Told:
    """What is told of a turn; its state and revision tell an answer from one that replaces it."""

    turn_id: UUID
    attempt: int
    state: str
    revision: int
    user_id: str
    session_id: str
    messages: tuple[Version, ...]

    @classmethod
    def of(cls, turn: Turn) -> "Told":
        revision = turn.answer.revision if turn.answer else 0
        return cls(
            turn.turn_id, turn.attempt, turn.state, revision, turn.user_id, turn.session_id, tuple(turn.versions())
        )


@dataclass(frozen=True)
class Unstored:
    """A turn that nobody is known to have stored."""

    told: Told
    place: datetime
    age_s: float  # since then
    is_told: bool
    is_retold: bool

    @property
    def row(self) -> Row:
        return self.told.user_id, self.told.session_id, self.place


class Outbox:
    """The turns as their readers have them."""

    def __init__(self, pool: Pool, admin: Pool) -> None:
        self._pool = pool
        self._admin = admin

    async def stored(self, told: Sequence[Told]) -> set[UUID]:
        """Return those whose messages can all be read, in this version or a greater one, or whose session is gone."""
        portions = [told[at : at + ASKED_AT_ONCE] for at in range(0, len(told), ASKED_AT_ONCE)]
        return {turn_id for portion in portions for turn_id in await self._stored(portion)}

    async def _stored(self, told: Sequence[Told]) -> list[UUID]:
        messages = [
            {"turn": str(each.turn_id), "owner": each.user_id, "session": each.session_id, **version._asdict()}
            for each in told
            for version in each.messages
        ]
        rows = await fetched(
            self._admin,
            """
            SELECT said.turn
            FROM json_to_recordset($1::json) AS said (turn uuid, owner text, session text, message_id text,
                revision integer, rank integer)
            GROUP BY said.turn
            HAVING bool_and(  -- each row is looked up by itself: a join may read all sessions
                coalesce((SELECT (m.revision, m.rank) >= (said.revision, said.rank) FROM chat.messages m
                    WHERE m.user_id = said.owner AND m.session_id = said.session
                        AND m.message_id = said.message_id), false)
                OR coalesce((SELECT s.deleted_at IS NOT NULL FROM chat.sessions s
                    WHERE s.user_id = said.owner AND s.session_id = said.session), false))
            """,
            orjson.dumps(messages).decode(),
        )
        return [row["turn"] for row in rows]

    async def mark(self, told: Sequence[Told], stored: set[UUID]) -> None:
        """Note that all events of these turns are confirmed; and of some, that their messages are stored."""
        await self._pool.execute(
            """
            UPDATE gateway.turns t SET question_published = true, answer_published = t.answer IS NOT NULL,
                past = CASE WHEN NOT m.is_stored THEN t.past END,
                stored_at = CASE WHEN m.is_stored THEN clock_timestamp() ELSE t.stored_at END
            FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::boolean[])
                AS m (id, number, state, revision, is_stored)
            WHERE t.turn_id = m.id AND t.attempt = m.number AND t.state = m.state
                AND coalesce((t.answer ->> 'revision')::integer, 0) = m.revision
            """,
            *columns([(t.turn_id, t.attempt, t.state, t.revision, t.turn_id in stored) for t in told]),
        )

    async def untold(self, older_than_s: float, unfit: Collection[UUID] = ()) -> list[list[UUID]]:
        """Return turns that said all they have to say so long ago, and of which the broker is not known to have all.

        Each list is of one session, in its order; the sessions of the oldest come first. The unfit are left out.
        """
        rows = await fetched(
            self._pool,
            f"""
            SELECT array_agg(turn_id ORDER BY place) AS turns FROM (
                SELECT turn_id, user_id, session_id, place FROM gateway.turns
                WHERE {IS_UNTOLD}
                    AND place <= clock_timestamp() - make_interval(secs => $1) AND turn_id <> ALL ($2::uuid[])
                ORDER BY asked_at LIMIT {AT_ONCE}) untold
            GROUP BY user_id, session_id ORDER BY min(place)
            """,  # noqa: S608 - constants of this module, here and below
            older_than_s,
            list(unfit),
        )
        return [row["turns"] for row in rows]

    async def unstored(self, older_than_s: float, after: Row = FIRST) -> list[Unstored]:
        """Return the next turns that said all so long ago and are not known to be stored, after this row."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT turn_id, attempt, state, user_id, session_id, place, question ->> 'message_id' AS asked,
                jsonb_path_query_array(question, '$.earlier[*].message_id') AS earlier,
                answer -> 'revision' AS revision,
                jsonb_path_query_array(past, '$[*].attempt') AS attempts,
                jsonb_path_query_array(past, '$[*].answer.revision') AS revisions,
                jsonb_path_query_array(past, '$[*].answer.status') AS statuses,
                {IS_TOLD} AS is_told,
                retold_at IS NOT NULL AS is_retold,
                extract(epoch FROM clock_timestamp() - place)::float8 AS age_s
            FROM gateway.turns
            WHERE stored_at IS NULL AND state <> 'running'
                AND (user_id, session_id, place) > ($2, $3, $4)
                AND place <= clock_timestamp() - make_interval(secs => $1)
            ORDER BY user_id, session_id, place LIMIT {AT_ONCE}
            """,  # noqa: S608
            older_than_s,
            *after,
        )
        return [_unstored(dict(row)) for row in rows]

    async def mark_retold(self, turn_id: UUID) -> None:
        """Note that the events of a turn were published once more."""
        await self._pool.execute("UPDATE gateway.turns SET retold_at = clock_timestamp() WHERE turn_id = $1", turn_id)

    async def trim(self) -> int:
        """Delete turns whose day is over and that can be read where they are stored; return how many."""
        deleted: str = await self._pool.execute(
            f"""
            DELETE FROM gateway.turns
            WHERE stored_at IS NOT NULL  -- looked at once more where it has begun to run again meanwhile
                AND turn_id IN (SELECT turn_id FROM gateway.turns
                    -- No index is looked up by the clock's time: turns_to_trim is to be, and no other.
                    WHERE asked_at < now() - interval '{KEPT_H} hours'
                        AND place < clock_timestamp() - interval '{KEPT_H} hours' AND stored_at IS NOT NULL
                        AND waits_until IS NULL  -- its user may still answer
                    LIMIT {TRIMMED_AT_ONCE})
            """  # noqa: S608
        )
        return int(deleted.removeprefix("DELETE "))


def _unstored(row: dict[str, Any]) -> Unstored:
    turn_id = row["turn_id"]
    messages = [Version(message_id, 0, POSTED_RANK) for message_id in (*(row["earlier"] or ()), row["asked"])]
    for attempt, revision, status in zip(
        row["attempts"] or (), row["revisions"] or (), row["statuses"] or (), strict=True
    ):
        messages.append(Version(str(answer_id(turn_id, attempt)), revision, rank_of(status)))
    if row["state"] != "posted":
        messages.append(Version(str(answer_id(turn_id, row["attempt"])), row["revision"] or 0, rank_of(row["state"])))
    told = Told(
        turn_id, row["attempt"], row["state"], row["revision"] or 0, row["user_id"], row["session_id"], tuple(messages)
    )
    return Unstored(told, row["place"], row["age_s"], row["is_told"], row["is_retold"])
