"""Give sessions their numbers, each written once and with its number, in three statements of somebody's transaction.

1. Look which of them have a row already.
2. Step each counter by how many of the others it counts. Whoever else counts there waits until we have ended.
3. Insert these with their numbers.

Between 1 and 3 another tagger may have tagged some of them, by the same counter or, in a question to another model, by
another one. Then fewer rows come of it than numbers were taken, and the whole transaction is rolled back, the counters
with it: so there is no gap. The next try holds the counters first, and finds those sessions there when it looks.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.tagger.counter import Candidate, CounterKey, SessionKey, Tag, number
from shared.database import Connection


@dataclass(frozen=True, slots=True)
class Known:
    """What the tables know of some sessions."""

    erased: Mapping[str, datetime]  # when their users were erased, of those that were
    stands: Collection[SessionKey]  # those that have their row, a tag's or a tombstone, of after that


async def hold_counters(db: Connection, candidates: Sequence[Candidate]) -> None:
    """Let nobody else count by these counters until the transaction ends, as far as they are there."""
    counters = {candidate.counter for candidate in candidates}
    await db.execute(
        """
        SELECT FROM tagging.counters JOIN unnest($1::text[], $2::uuid[]) AS held (user_id, model_id)
            USING (user_id, model_id)
        ORDER BY counters.user_id, counters.model_id FOR UPDATE OF counters
        """,
        [user_id for user_id, _ in counters],
        [model_id for _, model_id in counters],
    )


async def look_up(db: Connection, sessions: Collection[SessionKey]) -> Known:
    """Look whose users are erased, and which of them have their row."""
    if not sessions:
        return Known({}, ())
    rows = await db.fetch(
        """
        SELECT asked.user_id, asked.session_id, erased_at,
            since >= coalesce(erased_at, '-infinity') OR coalesce(deleted_at > erased_at, false) AS stands
        FROM unnest($1::text[], $2::text[]) AS asked (user_id, session_id)
        LEFT JOIN tagging.erased_users ON user_hash = tripthread.user_hash(asked.user_id)
        LEFT JOIN LATERAL (SELECT since, deleted_at FROM tagging.session_tags own
            WHERE own.user_id = asked.user_id AND own.session_id = asked.session_id OFFSET 0) tag ON true
        WHERE erased_at IS NOT NULL OR since IS NOT NULL
        """,
        [user_id for user_id, _ in sessions],
        [session_id for _, session_id in sessions],
    )
    return Known(
        {row["user_id"]: row["erased_at"] for row in rows if row["erased_at"] is not None},
        {(row["user_id"], row["session_id"]) for row in rows if row["stands"]},
    )


async def tag(db: Connection, candidates: Sequence[Candidate]) -> list[Tag]:
    """Tag sessions that have no row of after their users' erasure; an older one gives way.

    Counters are locked in the order of their keys, and then the sessions in that of theirs, as by every tagger.

    Raises:
        asyncpg.SerializationError: Another was quicker. Nothing of this transaction may be committed; try again.
    """
    if not candidates:
        return []
    tags = number(candidates, await _step_counters(db, candidates))
    await _insert_tags(db, tags)
    return tags


async def _step_counters(db: Connection, candidates: Sequence[Candidate]) -> dict[CounterKey, int]:
    """Step counters, which stay locked until the transaction ends; one of before an erasure begins again.

    Returns:
        Where each is now.

    Raises:
        asyncpg.SerializationError: One was begun again for an erasure that we had not seen.
    """
    since = {candidate.counter: candidate.since for candidate in candidates}
    counts = Counter(candidate.counter for candidate in candidates)
    rows = await db.fetch(
        """
        INSERT INTO tagging.counters AS counter (user_id, model_id, last_number, since)
        SELECT user_id, model_id, count, coalesce(since, '-infinity')
        FROM unnest($1::text[], $2::uuid[], $3::int[], $4::timestamptz[]) AS step (user_id, model_id, count, since)
        ORDER BY user_id COLLATE "C", model_id
        ON CONFLICT (user_id, model_id) DO UPDATE SET since = excluded.since, last_number =
            CASE WHEN counter.since < excluded.since THEN 0 ELSE counter.last_number END + excluded.last_number
            WHERE counter.since <= excluded.since
        RETURNING user_id, model_id, last_number
        """,
        [user_id for user_id, _ in counts],
        [model_id for _, model_id in counts],
        list(counts.values()),
        [since[key] for key in counts],
    )
    if len(rows) < len(counts):
        raise asyncpg.SerializationError("a user was erased meanwhile")
    return {(row["user_id"], row["model_id"]): row["last_number"] for row in rows}


async def _insert_tags(db: Connection, tags: Sequence[Tag]) -> None:
    sessions = [tag.candidate for tag in tags]
    done = await db.execute(
        """
        INSERT INTO tagging.session_tags AS tag (user_id, session_id, model_id, number, session_tag, event_id,
            accepted_at, since, experiment_name, reserved_at, mixed)
        SELECT user_id, session_id, model_id, number, session_tag, event_id,
            accepted_at, coalesce(since, '-infinity'), experiment_name, reserved_at, mixed
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::uuid[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::timestamptz[], $11::bool[]) AS new (user_id, session_id, model_id,
            number, session_tag, event_id, accepted_at, since, experiment_name, reserved_at, mixed)
        ORDER BY user_id COLLATE "C", session_id COLLATE "C"
        ON CONFLICT (user_id, session_id) DO UPDATE
            SET model_id = excluded.model_id, number = excluded.number, session_tag = excluded.session_tag,
                event_id = excluded.event_id, accepted_at = excluded.accepted_at, tagged_at = excluded.tagged_at,
                since = excluded.since, experiment_name = excluded.experiment_name,
                reserved_at = excluded.reserved_at, mixed = excluded.mixed, deleted_at = NULL
            WHERE tag.since < excluded.since AND (tag.deleted_at IS NULL OR tag.deleted_at <= excluded.since)
        """,
        [session.user_id for session in sessions],
        [session.session_id for session in sessions],
        [session.model_id for session in sessions],
        [tag.number for tag in tags],
        [str(tag) for tag in tags],
        [session.event_id for session in sessions],
        [session.accepted for session in sessions],
        [session.since for session in sessions],
        [session.experiment_name for session in sessions],
        [session.reserved_at for session in sessions],
        [session.mixed for session in sessions],
    )
    if int(done.split()[-1]) < len(tags):
        raise asyncpg.SerializationError("another tagger was quicker")
