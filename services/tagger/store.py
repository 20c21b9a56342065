"""All SQL of the tagger.

Gapless numbers need a counter row: a sequence leaves gaps on rollback, and cannot exist per user and model. Any number
of taggers may run at once. Each waits for locks in one order only: the table of models, then sessions by key, then
counters by key. So whoever waits for another holds nothing that the other may come to want: there is no deadlock.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg

from services.tagger.counter import (
    Candidate,
    CounterKey,
    Heard,
    SessionKey,
    Tag,
    first_seen_models,
    named_models,
    not_erased,
    number,
    read_in_order,
    registered_models,
)
from services.tagger.notes import clear_erased, note_deleted, read_erasures
from services.tagger.registry import SHORT_DIGITS, Model
from services.tagger.reserving import batches_to_join, join_batches
from shared.database import Connection, Pool, transaction
from shared.events import SessionDeleted, UserErased
from shared.ledger import note_erased


class Store:
    """Models, tags and counters.

    Args:
        pool: Of the tagger's login.
        tracks_new: Whether a model that is first seen in a question is registered by that.
    """

    def __init__(self, pool: Pool, *, tracks_new: bool = False) -> None:
        self._pool = pool
        self._tracks_new = tracks_new

    async def note(self, deleted: Sequence[SessionDeleted], erased: Sequence[UserErased]) -> None:
        """Note what is gone, in one transaction that is safe to repeat: nothing of it gets or keeps a tag."""
        async with transaction(self._pool) as db:
            if erased:
                await note_erased(db, "tagging.erased_users", erased)
            if deleted:
                await note_deleted(db, deleted)

    async def tag_sessions(self, events: Sequence[Heard], sessions: Sequence[SessionKey]) -> dict[SessionKey, str]:
        """Register the models and tag the sessions of one group, in one transaction that is safe to repeat.

        Returns:
            The tag of each of `sessions` that has one now, whenever it was given.
        """
        async with transaction(self._pool) as db:
            known, taken = await self._models_of(db, events)
            candidates, changed = read_in_order(events, known, taken, tracks_new=self._tracks_new)
            await _save_models(db, changed)
            erased = await read_erasures(db, {candidate.user_id for candidate in candidates}) if candidates else {}
            if erased:  # a message that is gone may stand before one that is not
                known |= {model.model_id: model for model in changed if model.model_id not in registered_models(events)}
                candidates, _ = read_in_order(not_erased(events, erased), known, taken)
            new = await tag(db, candidates, erased)
            tags = {each.candidate.session: str(each) for each in new}
            tags |= await _read_tags(db, [session for session in sessions if session not in tags])
        batches = batches_to_join(events, new)
        if batches:  # a transaction of its own, since it locks sessions, and counters were locked last
            async with transaction(self._pool) as db:
                await join_batches(db, batches)
        return tags

    async def _models_of(self, db: Connection, events: Sequence[Heard]) -> tuple[dict[UUID, Model], set[str]]:
        """Return the known models, and the short ids that are taken already of those that new ones could want."""
        named = named_models(events)
        known = await _read_models(db, named)
        new = registered_models(events) | (first_seen_models(events, known) if self._tracks_new else set())
        if not new:
            return known, set()
        taken = await _hold_short_ids(db, new)
        return await _read_models(db, named), taken  # again: somebody may have registered them meanwhile


async def _hold_short_ids(db: Connection, models: Collection[UUID]) -> set[str]:
    """Let nobody else register models, and return the short ids, taken already, that these could want."""
    # Two taggers that registered at once could choose the same. Foreign keys are checked under this lock as ever.
    await db.execute("LOCK TABLE tagging.models IN SHARE ROW EXCLUSIVE MODE")
    rows = await db.fetch(
        "SELECT short_id FROM tagging.models WHERE left(short_id, $2) = ANY ($1::text[])",
        [model.hex[:SHORT_DIGITS] for model in models],
        SHORT_DIGITS,
    )
    return {row["short_id"] for row in rows}


async def _read_models(db: Connection, models: Collection[UUID]) -> dict[UUID, Model]:
    rows = await db.fetch(
        """
        SELECT model_id, provider, name, short_id, tracked, registered_at, stamped_at, stamped_by, display_name,
            renamed_at, renamed_by
        FROM tagging.models WHERE model_id = ANY ($1::uuid[])
        """,
        list(models),
    )
    return {row["model_id"]: Model(**row) for row in rows}


async def _save_models(db: Connection, models: Sequence[Model]) -> None:
    if not models:
        return
    await db.execute(
        """
        INSERT INTO tagging.models (model_id, provider, name, short_id, tracked, registered_at, stamped_at, stamped_by,
            display_name, renamed_at, renamed_by)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::timestamptz[],
            $7::timestamptz[], $8::uuid[], $9::text[], $10::timestamptz[], $11::uuid[])
        ON CONFLICT (model_id) DO UPDATE
            SET tracked = excluded.tracked, stamped_at = excluded.stamped_at, stamped_by = excluded.stamped_by,
                display_name = excluded.display_name, renamed_at = excluded.renamed_at,
                renamed_by = excluded.renamed_by
        """,
        [model.model_id for model in models],
        [model.provider for model in models],
        [model.name for model in models],
        [model.short_id for model in models],
        [model.tracked for model in models],
        [model.registered_at for model in models],
        [model.stamped_at for model in models],
        [model.stamped_by for model in models],
        [model.display_name for model in models],
        [model.renamed_at for model in models],
        [model.renamed_by for model in models],
    )


async def tag(db: Connection, candidates: Sequence[Candidate], erased: Mapping[str, datetime]) -> list[Tag]:
    """Give those sessions a tag that have none, and return it: a number is taken only for rows that are really new.

    Args:
        db: In whose transaction.
        candidates: Sessions in which users spoke, after they were erased if they were.
        erased: When they were, by user; a tag of before gives way.
    """
    if not candidates:
        return []
    if erased:
        candidates = [replace(candidate, since=erased.get(candidate.user_id)) for candidate in candidates]
        await clear_erased(db, [candidate for candidate in candidates if candidate.since is not None])
    new, last_numbers = await _insert_sessions(db, candidates)
    tags = number(new, last_numbers)
    if tags:
        await _number_sessions(db, tags)
    return tags


async def _insert_sessions(
    db: Connection, candidates: Sequence[Candidate]
) -> tuple[list[Candidate], dict[CounterKey, int]]:
    """Insert sessions without a number, and step their counters, which stay locked until the transaction ends.

    Counters are locked after all the sessions, since they are stepped by how many of these are new. One of before its
    user's erasure begins again.

    Returns:
        Those that were not there, tagged or deleted; and of each counter where it is now.

    Raises:
        asyncpg.SerializationError: A counter was begun again for an erasure that we had not seen.
    """
    rows = await db.fetch(
        """
        WITH new AS (
            INSERT INTO tagging.session_tags (user_id, session_id, model_id, event_id, accepted_at, since,
                experiment_name, reserved_at, mixed)
            SELECT user_id, session_id, model_id, event_id, accepted, coalesce(since, '-infinity'), experiment_name,
                reserved_at, mixed
            FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
                $7::text[], $8::timestamptz[], $9::bool[]) AS candidate (user_id, session_id, model_id, event_id,
                accepted, since, experiment_name, reserved_at, mixed)
            ORDER BY user_id, session_id
            ON CONFLICT (user_id, session_id) DO NOTHING
            RETURNING user_id, session_id, model_id, since
        ), stepped AS (
            INSERT INTO tagging.counters AS counter (user_id, model_id, last_number, since)
            SELECT user_id, model_id, count(*), since FROM new
            GROUP BY user_id, model_id, since ORDER BY user_id, model_id
            ON CONFLICT (user_id, model_id) DO UPDATE SET since = excluded.since, last_number =
                CASE WHEN counter.since < excluded.since THEN 0 ELSE counter.last_number END + excluded.last_number
                WHERE counter.since <= excluded.since
            RETURNING user_id, model_id, last_number
        )
        SELECT user_id, session_id, model_id, last_number FROM new LEFT JOIN stepped USING (user_id, model_id)
        """,
        [candidate.user_id for candidate in candidates],
        [candidate.session_id for candidate in candidates],
        [candidate.model_id for candidate in candidates],
        [candidate.event_id for candidate in candidates],
        [candidate.accepted for candidate in candidates],
        [candidate.since for candidate in candidates],
        [candidate.experiment_name for candidate in candidates],
        [candidate.reserved_at for candidate in candidates],
        [candidate.mixed for candidate in candidates],
    )
    if any(row["last_number"] is None for row in rows):
        raise asyncpg.SerializationError("a user was erased meanwhile")
    new = {(row["user_id"], row["session_id"]) for row in rows}
    return (
        [candidate for candidate in candidates if candidate.session in new],
        {(row["user_id"], row["model_id"]): row["last_number"] for row in rows},
    )


async def _number_sessions(db: Connection, tags: Sequence[Tag]) -> None:
    await db.execute(
        """
        UPDATE tagging.session_tags AS tag SET number = new.number, session_tag = new.session_tag
        FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS new (user_id, session_id, number, session_tag)
        WHERE tag.user_id = new.user_id AND tag.session_id = new.session_id
        """,
        [tag.candidate.user_id for tag in tags],
        [tag.candidate.session_id for tag in tags],
        [tag.number for tag in tags],
        [str(tag) for tag in tags],
    )


async def _read_tags(db: Connection, sessions: Sequence[SessionKey]) -> dict[SessionKey, str]:
    if not sessions:
        return {}
    rows = await db.fetch(
        """
        SELECT user_id, session_id, session_tag
        FROM tagging.session_tags tag JOIN unnest($1::text[], $2::text[]) AS wanted (user_id, session_id)
            USING (user_id, session_id)
        WHERE session_tag IS NOT NULL AND deleted_at IS NULL AND NOT EXISTS (SELECT FROM tagging.erased_users e
            WHERE e.user_hash = tripthread.user_hash(tag.user_id) AND e.erased_at > tag.since)
        """,
        [user_id for user_id, _ in sessions],
        [session_id for _, session_id in sessions],
    )
    return {(row["user_id"], row["session_id"]): row["session_tag"] for row in rows}
