"""The ledger of erased users that each consumer has in its own schema: a line is noted at once, and swept later.

From the commit of a line on, nothing of its user counts any more that was accepted until then. The line stays for good,
since events of before may come at any time; once nothing older is left in the schema, it knows only the user's hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.database import Connection, Pool
from shared.events import UserErased
from shared.ids import user_hash
from shared.sweeping import NOTED, PORTION, find_notes

Ledger = Literal["chat.erased_users", "tagging.erased_users", "workflow.erased_users"]


@dataclass(frozen=True, slots=True)
class Erasure:
    """A user of whom everything is to go that was accepted until then."""

    user_id: str
    erased_at: datetime


async def note_erased(db: Connection, ledger: Ledger, events: Sequence[UserErased]) -> None:
    """Enter users in the ledger, of each the latest erasure: safe to repeat, in any order."""
    latest = {event.user_id: event for event in sorted(events, key=lambda event: event.erased_at)}
    await db.execute(
        f"""
        INSERT INTO {ledger} AS line (user_hash, user_id, event_id, erased_at)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::timestamptz[]) AS erased (user_hash)
        ORDER BY user_hash
        ON CONFLICT (user_hash) DO UPDATE SET user_id = excluded.user_id, event_id = excluded.event_id,
            erased_at = excluded.erased_at, noted_by = excluded.noted_by, noted_at = excluded.noted_at, done_at = NULL
            WHERE line.erased_at < excluded.erased_at
        """,  # noqa: S608 - one of the names above
        [user_hash(user_id) for user_id in latest],
        list(latest),
        [event.event_id for event in latest.values()],
        [event.erased_at for event in latest.values()],
    )


async def next_erasure(pool: Pool, ledger: Ledger, portion: int = PORTION) -> Erasure | None:
    """Return a line to be swept, which nobody can write against any more who has not seen it."""
    await find_notes(pool, ledger, "done_at IS NULL", portion)
    row = await pool.fetchrow(
        f"SELECT user_id, erased_at FROM {ledger} WHERE done_at IS NULL AND {NOTED} ORDER BY noted_at LIMIT 1"  # noqa: S608
    )
    return None if row is None else Erasure(**row)


async def settle_erasure(pool: Pool, ledger: Ledger, erasure: Erasure) -> None:
    """Note that nothing older is left, and forget who it was; unless they were erased again meanwhile."""
    await pool.execute(
        f"""
        UPDATE {ledger} SET done_at = clock_timestamp(), user_id = NULL WHERE user_hash = $1 AND erased_at = $2
        """,  # noqa: S608 - one of the names above
        user_hash(erasure.user_id),
        erasure.erased_at,
    )
