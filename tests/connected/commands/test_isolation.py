"""The doctor says what is not any more as it was migrated, and who could get past it."""

import asyncpg
import pytest

from deploy.doctor.isolation import WRITTEN_DOWN, check_isolation, guards, spelled

pytestmark = pytest.mark.no_broker

OF_THIS_DATABASE = "DO $$ BEGIN EXECUTE format('{}', current_database()); END $$"
APART, PAST = "what keeps users apart", "logins past row-level security"


async def found(owner: asyncpg.Connection) -> dict[str, str]:
    return {each.subject: each.trouble async for each in check_isolation(owner) if each.trouble}


async def test_what_is_written_down_is_what_the_migrations_make(owner: asyncpg.Connection) -> None:
    """After a new revision: `python -m deploy.doctor.isolation`, with DATABASE_URL of a database that has it."""
    assert WRITTEN_DOWN.read_text(encoding="utf-8") == spelled(await guards(owner))
    assert await found(owner) == {}


@pytest.mark.parametrize(
    ("done", "subject", "says"),
    [
        ("ALTER TABLE chat.messages DISABLE ROW LEVEL SECURITY", APART, "table chat.messages: NO row security"),
        ("DROP POLICY reader ON gateway.turns", APART, "lacks `policy gateway.turns/reader"),
        ("CREATE POLICY more ON tagging.counters USING (true)", APART, "has `policy tagging.counters/more"),
        ("ALTER POLICY reader ON workflow.trips USING (true)", APART, "policy workflow.trips/reader"),
        ("ALTER POLICY admin ON chat.sessions TO tripthread_admin, tripthread_reader", APART, "chat.sessions/admin"),
        ("CREATE TABLE chat.loose (user_id text)", APART, "has `table chat.loose: NO row security"),
        ("CREATE VIEW chat.everything AS SELECT * FROM chat.messages", APART, "has `table chat.everything"),
        (
            "ALTER TABLE chat.traces OWNER TO tripthread_logger",
            APART,
            "chat.traces: row security, of tripthread_logger",
        ),
        (
            "CREATE OR REPLACE FUNCTION tripthread.user_ids() RETURNS text[] LANGUAGE sql STABLE "
            "AS $$ SELECT '{ann}'::text[] $$",
            APART,
            "tripthread.user_ids()",
        ),
        ("ALTER ROLE tripthread_reader BYPASSRLS", PAST, "tripthread_reader has BYPASSRLS"),
        ("ALTER ROLE tripthread_tagger SUPERUSER", PAST, "tripthread_tagger is a superuser"),
        ("ALTER ROLE tripthread_gateway CREATEROLE", PAST, "tripthread_gateway may make roles"),
        ("GRANT tripthread_owner TO tripthread_logger", PAST, "tripthread_logger is a member of tripthread_owner"),
        (
            "GRANT tripthread_admin TO tripthread_reader",
            PAST,
            "tripthread_reader is a member of another service's role",
        ),
        (
            "GRANT CREATE ON SCHEMA chat TO tripthread_tagger",
            PAST,
            "tripthread_tagger may make things in the schema chat",
        ),
        (
            "CREATE FUNCTION chat.open() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            PAST,
            "chat.open() runs as its owner with its caller's search_path",
        ),
    ],
)
async def test_what_was_changed_is_named(owner: asyncpg.Connection, done: str, subject: str, says: str) -> None:
    transaction = owner.transaction()
    await transaction.start()  # roles are the whole server's: nobody else is to see this
    try:
        await owner.execute(done)
        assert says in (await found(owner))[subject]
    finally:
        await transaction.rollback()
    assert await found(owner) == {}


async def test_a_login_of_somebody_elses_is_named(owner: asyncpg.Connection) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute("CREATE ROLE backups LOGIN BYPASSRLS")
        await owner.execute(OF_THIS_DATABASE.format("REVOKE CONNECT ON DATABASE %I FROM PUBLIC"))
        assert PAST not in await found(owner), "who may not even connect"
        await owner.execute(OF_THIS_DATABASE.format("GRANT CONNECT ON DATABASE %I TO backups"))
        assert "backups has BYPASSRLS" in (await found(owner))[PAST]
    finally:
        await transaction.rollback()
