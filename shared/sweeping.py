"""When what was deleted may be swept: once nobody writes any more who may not have seen the note of it.

A statement sees what was committed when it began, so one that began before the note's commit may still write what the
note forbids. What was given a transaction id is known to be over by the snapshot, whoever's it is; what has none yet,
by when it began, as far as the login may see that: its own.

The note itself can't tell when it was committed, and somebody may begin between its clock and its commit. So its
`noted_at` is 'infinity', which waits for everybody, until a sweep that finds it committed says when (`find_notes`).
"""

from shared.database import ACQUIRE_TIMEOUT_S, Pool

PORTION = 1000  # rows of one statement: each is a commit, so nobody waits long for it, and a kill costs nothing

# Of a table with both columns: `noted_at` is the clock when the note was found, `noted_by` the transaction id of the
# note, or of whoever found it.
NOTED = """pg_snapshot_xmin(pg_current_snapshot()) > noted_by AND NOT EXISTS (
    SELECT FROM pg_stat_activity AS writing
    WHERE writing.usename = current_user AND writing.pid <> pg_backend_pid() AND writing.xact_start < noted_at)"""


async def find_notes(pool: Pool, table: str, undone: str, portion: int = PORTION) -> None:
    """Write down when notes were found, a portion of them.

    By a statement of its own, lest under load nobody ever finds all at rest.

    Args:
        pool: Of the service whose table it is.
        table: With its schema; here and below a constant of the caller.
        undone: The condition for notes that are still to be swept, as the table's index has it.
        portion: How many at once.
    """
    await pool.execute(
        f"""
        UPDATE {table} SET noted_by = pg_current_xact_id(), noted_at = clock_timestamp()
        WHERE noted_at = 'infinity' AND ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE {undone} AND noted_at = 'infinity' LIMIT $1))
        """,  # noqa: S608
        portion,
    )


async def delete_in_portions(pool: Pool, which: str, *arguments: object, portion: int = PORTION) -> None:
    """Delete rows, portion by portion; `which` is what stands in a SELECT behind FROM: `schema.table WHERE ...`."""
    table = which.split(maxsplit=1)[0]
    await repeat(
        pool,
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {which} LIMIT {portion}))",  # noqa: S608
        *arguments,
    )


async def repeat(pool: Pool, statement: str, *arguments: object) -> None:
    """Run a statement that works a portion, until it finds no row any more."""
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
        while not (await db.execute(statement, *arguments)).endswith(" 0"):
            pass
