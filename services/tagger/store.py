"""A group's transaction, and the tables that it reads; `numbering.py` has the SQL of numbers.

Gapless numbers need a counter row: a sequence leaves gaps on rollback, and cannot exist per user and model. Any number
of taggers may run at once. Each waits for locks in one order only: the table of models, then counters by key, then
sessions by key. So whoever waits for another holds nothing that the other may come to want: there is no deadlock.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from services.tagger.counter import (
    Candidate,
    Heard,
    SessionKey,
    Tag,
    first_seen_models,
    named_models,
    not_erased,
    read_in_order,
    registered_models,
)
from services.tagger.notes import note_deleted
from services.tagger.numbering import hold_counters, look_up, tag
from services.tagger.registry import SHORT_DIGITS, Model
from services.tagger.reserving import batches_to_join, join_batches
from shared.database import Connection, Pool, transaction
from shared.events import SessionDeleted, UserErased
from shared.jobs.ledger import note_erased

TRIES = 10  # each time that another tagger is quicker there is less left to do


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
        new, tags = await self._tag_group(events, sessions)
        batches = batches_to_join(events, new)
        if batches:  # a transaction of its own, since it locks other sessions than those that were locked last
            async with transaction(self._pool) as db:
                await join_batches(db, batches)
        return tags

    async def _tag_group(
        self, events: Sequence[Heard], sessions: Sequence[SessionKey]
    ) -> tuple[list[Tag], dict[SessionKey, str]]:
        """Return the tags that are new, and those that the sessions have now.

        Raises:
            asyncpg.SerializationError: Others were quicker each time: the same again, later.
        """
        for tries in range(1, TRIES + 1):
            try:
                async with transaction(self._pool) as db:
                    new = await tag(db, await self._untagged(db, events, waits=tries > 1))
                    tags = {each.candidate.session: str(each) for each in new}
                    return new, tags | await _read_tags(db, [each for each in sessions if each not in tags])
            except asyncpg.SerializationError:
                if tries == TRIES:
                    raise
        raise AssertionError("unreachable")

    async def _untagged(self, db: Connection, events: Sequence[Heard], *, waits: bool) -> list[Candidate]:
        """Register the models of a group, and return the sessions that are to be tagged.

        Args:
            db: In whose transaction.
            events: The group.
            waits: Whether whoever counts by the same counters is waited for before the look.
        """
        models, taken = await self._models_of(db, events)
        candidates, changed = read_in_order(events, models, taken, tracks_new=self._tracks_new)
        await _save_models(db, changed)
        if not candidates:
            return []
        if waits:
            await hold_counters(db, candidates)
        known = await look_up(db, [candidate.session for candidate in candidates])
        if known.erased:  # a message that is gone may stand before one that is not
            models |= {model.model_id: model for model in changed if model.model_id not in registered_models(events)}
            candidates, _ = read_in_order(not_erased(events, known.erased), models, taken)
            candidates = [replace(candidate, since=known.erased.get(candidate.user_id)) for candidate in candidates]
        return [candidate for candidate in candidates if candidate.session not in known.stands]

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
