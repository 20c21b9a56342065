"""Adding a row of which a user may have so many.

As many as are added at once would all find the last place free else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.database import Connection, Pool, borrowed
from shared.ids import scoped


@asynccontextmanager
async def one_by_one(pool: Pool, what: str, user_id: str) -> AsyncIterator[Connection]:
    """Count and add in the block, in one transaction, while nobody else adds such a row of this user at any gateway.

    Args:
        pool: By which login.
        what: Of which kind of row.
        user_id: Whose.

    Raises:
        TimeoutError: It took too long.
    """
    async with borrowed(pool) as db, db.transaction():
        # A statement of its own: what counts must see what was added before this lock was had.
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", scoped(what, user_id))
        yield db
