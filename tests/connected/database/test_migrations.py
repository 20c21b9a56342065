"""The schema: reversible, and every table with user data behind a policy."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from deploy.migrate import downgrade, migrate
from shared.database import open_pool, reading
from shared.settings import Settings

pytestmark = pytest.mark.no_broker

# Only administrators read these: they name several users, or none.
ADMIN_ONLY = {
    "chat.erased_users",
    "chat.search_progress",
    "gateway.queue_minutes",
    "tagging.erased_users",
    "workflow.bans",
    "workflow.deliveries",
    "workflow.erased_users",
}
PUBLIC = {"tagging.models", "workflow.avinode_status"}
WRITERS = {
    "chat": "tripthread_logger",
    "tagging": "tripthread_tagger",
    "gateway": "tripthread_gateway",
    "workflow": "tripthread_workflow",
}


async def dump(connection: asyncpg.Connection) -> list[str]:
    """Return the catalogue as text: columns, constraints, indexes, policies, functions and grants, in a fixed order."""
    rows = await connection.fetch(
        """
        SELECT format('column %s.%s %s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable,
                      column_default) AS line
        FROM information_schema.columns WHERE table_schema = ANY ($1)
        UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace::regnamespace::text = ANY ($1)
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = ANY ($1)
        UNION ALL SELECT format('policy %s %s %s %s %s %s', schemaname, tablename, policyname, roles, qual, with_check)
        FROM pg_policies WHERE schemaname = ANY ($1)
        UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace::regnamespace::text = ANY ($1)
        UNION ALL SELECT format('grants %s %s', oid::regclass, relacl)
        FROM pg_class WHERE relnamespace::regnamespace::text = ANY ($1) AND relkind IN ('r', 'v')
        ORDER BY line
        """,
        [*WRITERS, "tripthread"],
    )
    return [row["line"] for row in rows]


async def test_nothing_is_left_at_the_base(settings: Settings, owner: asyncpg.Connection) -> None:
    await asyncio.to_thread(downgrade, settings, "base")
    assert not [line for line in await dump(owner) if "chat" in line]


@pytest.mark.parametrize("revision", ["base", "0005_workflow"])
async def test_up_down_up_leaves_the_same_schema(settings: Settings, owner: asyncpg.Connection, revision: str) -> None:
    before = await dump(owner)
    await asyncio.to_thread(downgrade, settings, revision)
    await asyncio.to_thread(migrate, settings)
    assert await dump(owner) == before


async def test_migrating_again_changes_nothing(settings: Settings, owner: asyncpg.Connection) -> None:
    before = await dump(owner)
    await asyncio.to_thread(migrate, settings)
    assert await dump(owner) == before


async def test_an_older_database_keeps_its_orders(settings: Settings, owner: asyncpg.Connection) -> None:
    await asyncio.to_thread(downgrade, settings, "0005_workflow")
    rows = (("created", "s1", 1), ("refused", "s2", 2), ("created", "s3", 1))  # state, session, trip
    for number in (1, 2):
        await owner.execute("INSERT INTO workflow.trips (trip_id) VALUES ($1)", uuid(number))
    for number, (state, session_id, trip) in enumerate(rows, start=11):
        await old_request(owner, number, state, session_id, trip)

    await asyncio.to_thread(migrate, settings)

    found = await owner.fetch(
        "SELECT request_id, trip_id, promised_trip_id, kind, code FROM workflow.requests ORDER BY request_id"
    )
    assert [tuple(row) for row in found] == [
        (uuid(11), uuid(1), uuid(1), "request", None),
        (uuid(12), uuid(2), uuid(2), "request", "avinode_refused"),
        (uuid(13), uuid(1), uuid(13), "request", None),  # two of one trip cannot both be found by its id
    ]
    await owner.execute("INSERT INTO workflow.trips (trip_id) VALUES ($1)", uuid(3))
    await old_request(owner, 14, "intended", "s4", 3)  # by a workflow that does not know of promises
    assert await owner.fetchval("SELECT promised_trip_id FROM workflow.requests WHERE session_id = 's4'") == uuid(3)

    await asyncio.to_thread(downgrade, settings, "0005_workflow")
    assert await owner.fetchval("SELECT count(*) FROM workflow.requests") == 4


async def test_an_older_database_keeps_its_notices(settings: Settings, owner: asyncpg.Connection) -> None:
    await asyncio.to_thread(downgrade, settings, "0009_checkpoints")
    before = [("ignored", "no use for x"), ("refused", "no href"), ("refused", "unreadable: not JSON")]
    for state, error in before:
        await owner.execute(
            """
            INSERT INTO workflow.deliveries (delivery_id, source, payload, state, error, received_at, event_id)
            VALUES (gen_random_uuid(), 'avinode', '', $1, $2, now(), gen_random_uuid())
            """,
            state,
            error,
        )
    notices = "SELECT state, error FROM workflow.deliveries ORDER BY 1, 2"

    await asyncio.to_thread(migrate, settings)
    assert [tuple(row) for row in await owner.fetch(notices)] == [*before[:2], ("unreadable", "not JSON")]
    await asyncio.to_thread(downgrade, settings, "0009_checkpoints")
    assert [tuple(row) for row in await owner.fetch(notices)] == before


async def old_request(owner: asyncpg.Connection, number: int, state: str, session_id: str, trip: int) -> None:
    """Write an order as revision 0005 has it."""
    await owner.execute(
        """
        INSERT INTO workflow.requests (request_id, trip_id, user_id, session_id, segments, pax, state, event_id,
            created_at)
        VALUES ($1, $2, 'ann', $3, '[]', 1, $4, $1, now() + $5 * interval '1 second')
        """,
        uuid(number),
        uuid(trip),
        session_id,
        state,
        number,
    )


def uuid(number: int) -> UUID:
    return UUID(int=number)


async def tables(owner: asyncpg.Connection) -> set[str]:
    rows = await owner.fetch(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY ($1)", [*WRITERS]
    )
    return {row[0] for row in rows}


async def test_every_table_has_row_level_security_and_three_policies(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        """
        SELECT t.schemaname || '.' || t.tablename AS name, t.rowsecurity,
               array_agg(p.policyname::text ORDER BY p.policyname) AS policies
        FROM pg_tables t LEFT JOIN pg_policies p USING (schemaname, tablename)
        WHERE t.schemaname = ANY ($1) GROUP BY 1, 2
        """,
        [*WRITERS],
    )
    assert {row["name"]: (row["rowsecurity"], row["policies"]) for row in rows} == {
        name: (True, ["admin", "reader", "writer"]) for name in await tables(owner)
    }


async def test_the_reader_sees_only_rows_of_the_users_it_names(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        "SELECT schemaname || '.' || tablename AS name, qual FROM pg_policies WHERE policyname = 'reader'"
    )
    policies = {row["name"]: row["qual"] for row in rows}
    assert {name for name, qual in policies.items() if qual == "false"} == ADMIN_ONLY
    assert {name for name, qual in policies.items() if qual == "true"} == PUBLIC
    owned = {name: qual for name, qual in policies.items() if name not in ADMIN_ONLY | PUBLIC}
    assert {name for name, qual in owned.items() if "user_ids()" not in qual} == {"gateway.erasures"}
    assert "user_hashes()" in owned["gateway.erasures"]


async def test_only_its_own_service_may_write_a_table(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        """
        SELECT table_schema || '.' || table_name AS name, array_agg(DISTINCT grantee::text) AS grantees
        FROM information_schema.role_table_grants
        WHERE table_schema = ANY ($1) AND privilege_type <> 'SELECT' AND grantee <> 'tripthread_owner' GROUP BY 1
        """,
        [*WRITERS],
    )
    assert {row["name"]: row["grantees"] for row in rows} == {
        name: [WRITERS[name.split(".")[0]]] for name in await tables(owner)
    }


async def test_no_login_owns_a_table_or_escapes_its_policies(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tripthread\\_%' AND rolcanlogin"
        " AND (rolsuper OR rolbypassrls)"
    )
    owners = await owner.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = ANY ($1)", [*WRITERS])
    assert rows == []
    assert [row[0] for row in owners] == ["tripthread_owner"]


async def test_functions_have_their_callers_rights_but_for_a_few_and_are_called_by_one_login(
    owner: asyncpg.Connection,
) -> None:
    rows = await owner.fetch(
        """
        SELECT p.oid::regproc::text AS name, prosecdef AS escapes, proconfig AS settings, (
            SELECT array_agg(rolname::text) FROM pg_roles
            WHERE rolname LIKE 'tripthread\\_%' AND rolcanlogin AND has_function_privilege(rolname, p.oid, 'EXECUTE')
        ) AS callers
        FROM pg_proc p WHERE pronamespace = ANY ($1::text[]::regnamespace[])
        """,
        ["tripthread", *WRITERS],
    )
    # `` is not leakproof, so under row-level security no index is used for it; and what others share is theirs. What
    # these functions show to whom is tested in gateway/sessions/test_search.py and test_shared_with.py; the last
    # two say to the gateway yes or no, of a session that it names, and a number, of users that it names. The path is
    # fixed, so that nobody gives them other functions to call.
    escaping = [row for row in rows if row["escapes"]]
    assert {row["name"] for row in escaping} == {
        "chat.search_sessions",
        "chat.search_everywhere",
        "gateway.shared_page",
        "gateway.shared_one",
        "gateway.with_more_than_turns",
        "gateway.sessions_of",
    }
    assert all("search_path=pg_catalog, pg_temp" in row["settings"] for row in escaping)
    assert {row["name"]: row["callers"] for row in rows if row["name"].startswith(("gateway.", "chat.search"))} == {
        "chat.search_sessions": ["tripthread_reader"],
        "chat.search_everywhere": ["tripthread_reader"],
        "gateway.shared_page": ["tripthread_reader"],
        "gateway.shared_one": ["tripthread_reader"],
        "gateway.session_past": ["tripthread_reader"],
        "gateway.past_with_opening": ["tripthread_reader"],
        "gateway.claim_turns": ["tripthread_gateway"],
        "gateway.begin_turns": ["tripthread_gateway"],
        "gateway.take_turns": ["tripthread_gateway"],
        "gateway.with_more_than_turns": ["tripthread_gateway"],
        "gateway.take_posted": ["tripthread_gateway"],
        "gateway.take_turns_within": ["tripthread_gateway"],
        "gateway.count_against": ["tripthread_gateway"],
        "gateway.sessions_of": ["tripthread_gateway"],
        "gateway.uncount": ["tripthread_gateway"],
        "gateway.is_gone": ["tripthread_gateway"],
    }


async def test_a_reader_sees_nothing_of_another_user(settings: Settings, owner: asyncpg.Connection) -> None:
    await owner.execute(
        """
        INSERT INTO chat.sessions (user_id, session_id, last_activity_at, created_at)
        VALUES ('ann', 's1', now(), now()), ('bob', 's2', now(), now()), ('a,{b"', 's3', now(), now())
        """
    )
    async with open_pool(settings.reader_database_url, "test") as pool:
        for user, expected in (("ann", ["s1"]), ("bob", ["s2"]), ('a,{b"', ["s3"]), ("eve", [])):
            async with reading(pool, user) as db:
                assert [row[0] for row in await db.fetch("SELECT session_id FROM chat.sessions")] == expected
        assert await pool.fetch("SELECT session_id FROM chat.sessions") == []


async def test_a_reader_can_write_nothing(settings: Settings) -> None:
    async with open_pool(settings.reader_database_url, "test") as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("DELETE FROM chat.sessions")


async def test_the_owner_cannot_log_in(owner: asyncpg.Connection) -> None:
    assert await owner.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'tripthread_owner'") is False
