"""The rows of chat.conversation_reads: which administrator was shown what of whom, when and why."""

from collections.abc import Sequence

from shared.database import Connection
from shared.events import ConversationRead


async def store_reads(db: Connection, reads: Sequence[ConversationRead]) -> None:
    """Keep reads; of whom was erased since, as of all who were read before, the hash alone (`sweeps.py`).

    One statement, and so one transaction with what the ledger says: a sweep waits for that.
    """
    await db.execute(
        """
        INSERT INTO chat.conversation_reads (read_id, operator, kind, user_id, items, query, occurred_at)
        SELECT read.read_id, read.operator, read.kind,
            CASE WHEN e.user_hash IS NULL THEN read.user_id ELSE encode(e.user_hash, 'hex') END,
            read.items, CASE WHEN e.user_hash IS NULL THEN read.query ELSE '{}' END, read.accepted_at
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::jsonb[], $7::timestamptz[])
            AS read (read_id, operator, kind, user_id, items, query, accepted_at)
        LEFT JOIN chat.erased_users e
            ON e.user_hash = tripthread.user_hash(read.user_id) AND e.erased_at >= read.accepted_at
        ORDER BY read.read_id
        ON CONFLICT (read_id) DO NOTHING
        """,
        [read.event_id for read in reads],
        [read.operator for read in reads],
        [read.kind for read in reads],
        [read.user_id for read in reads],
        [read.items for read in reads],
        [read.query for read in reads],
        [read.accepted_at for read in reads],
    )
