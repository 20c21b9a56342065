"""Let go what erased users had, in portions: each is a commit of its own, so a sweep that was ended goes on.

What a user said after the erasure may have been tagged before the tagger heard of it: it is tagged anew, counted from
001 again. Deleted sessions need no sweep: their tombstones know which number of which model is taken, and nothing else.
"""

from dataclasses import replace

from services.tagger.counter import Candidate, is_newer
from services.tagger.numbering import look_up, tag
from shared.database import Pool, transaction
from shared.events import SessionTagged
from shared.jobs.leader import Leader
from shared.jobs.ledger import Erasure, Ledger, next_erasure, settle_erasure
from shared.jobs.worker import Worker
from shared.publishing.publisher import Publisher
from shared.sweeping import PORTION

LEADER_LOCK = 0x7474_5357  # "ttSW": of the tagger that sweeps
LEDGER: Ledger = "tagging.erased_users"


class Sweeper:
    """Sweeps one erasure after the other."""

    def __init__(self, pool: Pool, publisher: Publisher, portion: int = PORTION) -> None:
        self._pool = pool
        self._announce = publisher.announce
        self._portion = portion

    async def sweep(self) -> bool:
        """Let one portion go; tell whether there was anything to do."""
        erasure = await next_erasure(self._pool, LEDGER)
        if erasure is None:
            return False
        tagged = await self._tag_anew(erasure)
        await self._announce(tagged)
        if not tagged and not await self._let_go(erasure):
            await settle_erasure(self._pool, LEDGER, erasure)
        return True

    async def _tag_anew(self, erasure: Erasure) -> list[SessionTagged]:
        """Give sessions that are newer than the erasure, but were counted as of before, tags of after it."""
        async with transaction(self._pool) as db:
            rows = await db.fetch(
                """
                SELECT user_id, session_id, model_id, short_id, event_id, accepted AS created_at, accepted,
                    experiment_name, reserved_at, mixed
                FROM tagging.session_tags JOIN tagging.models USING (model_id),
                    LATERAL coalesce(accepted_at, tagged_at) AS accepted
                WHERE user_id = $1 AND since < $2 AND accepted > $2 AND deleted_at IS NULL
                ORDER BY accepted, session_id LIMIT $3
                """,
                erasure.user_id,
                erasure.erased_at,
                self._portion,
            )
            known = await look_up(db, [(row["user_id"], row["session_id"]) for row in rows])
            newer = [candidate for row in rows if is_newer(candidate := Candidate(**row), known.erased)]
            since = known.erased.get(erasure.user_id)
            untagged = [replace(each, since=since) for each in newer if each.session not in known.stands]
            tags = await tag(db, untagged)
        return [
            SessionTagged(
                user_id=each.candidate.user_id, session_id=each.candidate.session_id, session_tag=str(each), causes=()
            )
            for each in tags
        ]

    async def _let_go(self, erasure: Erasure) -> bool:
        """Let one portion of each kind go; tell whether there was any."""
        arguments = erasure.user_id, erasure.erased_at, self._portion
        rows = [row for query in (_TAGS, _TOMBSTONES, _COUNTERS) for row in await self._pool.fetch(query, *arguments)]
        return bool(rows)


# Rows are locked before they go, in the order of all taggers: what another has made of them meanwhile, stays.
_TAGS = """
    DELETE FROM tagging.session_tags WHERE user_id = $1 AND session_id IN (
        SELECT session_id FROM tagging.session_tags
        WHERE user_id = $1 AND since < $2 AND coalesce(deleted_at, accepted_at, tagged_at) <= $2
        ORDER BY session_id LIMIT $3 FOR UPDATE)
    RETURNING session_id
"""
# A session that was deleted after the erasure stays so, and had its tag before.
_TOMBSTONES = """
    UPDATE tagging.session_tags
    SET model_id = NULL, number = NULL, session_tag = NULL, tagged_at = deleted_at, accepted_at = NULL, since = $2
    WHERE user_id = $1 AND session_id IN (
        SELECT session_id FROM tagging.session_tags WHERE user_id = $1 AND since < $2 AND deleted_at > $2
        ORDER BY session_id LIMIT $3 FOR UPDATE)
    RETURNING session_id
"""
_COUNTERS = """
    DELETE FROM tagging.counters WHERE user_id = $1 AND model_id IN (
        SELECT model_id FROM tagging.counters WHERE user_id = $1 AND since < $2
        ORDER BY model_id LIMIT $3 FOR UPDATE)
    RETURNING model_id
"""


def sweeping(pool: Pool, sweeper: Sweeper) -> Worker:
    """Make what runs the job, wherever this tagger is the one that does."""
    # Nothing comes before: all is in the rows.
    return Worker("tagger.sweeps", Leader(pool, LEADER_LOCK), {"sweeps": sweeper.sweep}, is_vital=False)
