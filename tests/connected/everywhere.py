"""Look for a word in every column of every table, as the catalogue has them: a later table is searched, too."""

import asyncpg

SCHEMAS = ["chat", "gateway", "tagging", "workflow"]


async def tables(owner: asyncpg.Connection) -> list[str]:
    rows = await owner.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname = ANY ($1) ORDER BY 1", SCHEMAS
    )
    return [row["name"] for row in rows]


async def tables_of_users(owner: asyncpg.Connection) -> list[str]:
    """Return the tables whose rows are some user's."""
    rows = await owner.fetch(
        """
        SELECT table_schema || '.' || table_name AS name FROM information_schema.columns
        WHERE table_schema = ANY ($1) AND column_name = 'user_id' ORDER BY 1
        """,
        SCHEMAS,
    )
    return [row["name"] for row in rows]


async def where(owner: asyncpg.Connection, word: str) -> set[str]:
    """Return the tables in which a row has this word, bytes included."""
    as_bytes = word.encode().hex()
    found = set()
    for table in await tables(owner):
        query = f"SELECT EXISTS (SELECT FROM {table} t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0)"  # noqa: S608
        if await owner.fetchval(query, word, as_bytes):
            found.add(table)
    return found


async def rows_of(owner: asyncpg.Connection, user_id: str) -> dict[str, int]:
    """Count a user's rows, table by table."""
    names = await tables_of_users(owner)
    return {
        name: await owner.fetchval(f"SELECT count(*) FROM {name} WHERE user_id = $1", user_id)  # noqa: S608
        for name in names
    }
