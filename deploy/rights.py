"""Who may do what in the database, as far as it is not a table's: the roles, and the doors that are open by default."""

from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from shared.configured.urls import malformed
from shared.settings import Settings

OWNER = "tripthread_owner"
# Whoever migrates locks it. An advisory lock any login may hold, and so stop every `up`; this one only the owner.
LOCK_TABLE = "tripthread.migration"
SERVICE_URLS = (
    "gateway_database_url",
    "reader_database_url",
    "admin_database_url",
    "logger_database_url",
    "tagger_database_url",
    "workflow_database_url",
)
# How the statements of a login are planned; https://www.postgresql.org/docs/15/runtime-config-query.html
# A plan that is made while a table is small is kept until the table is analyzed, and its scans of the whole table
# become slower by each row meanwhile. An index is never much slower. A scan that there has to be starts no JIT.
_BY_INDEX = {"enable_seqscan": "off", "jit": "off"}
# The server expects an array to be longer than ours are, so it would make a plan anew for each call, to find the same:
# that took a third of the gateway's time in the database. Not for readings whose filters are often left out.
_ONE_PLAN = {"plan_cache_mode": "force_generic_plan"}
PLANNING = {
    "tripthread_gateway": _BY_INDEX | _ONE_PLAN,
    "tripthread_reader": _BY_INDEX,
    "tripthread_admin": _BY_INDEX,
    "tripthread_logger": _BY_INDEX | _ONE_PLAN,
    "tripthread_tagger": _BY_INDEX | _ONE_PLAN,
}
_LARGE_OBJECTS_OPEN = (
    "large objects can still be made by every login: only a superuser may take the lo_* functions from PUBLIC"
)


def prepare_database(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Make roles, rights and the migration's lock, in the transaction that is open.

    Returns:
        What could not be closed, in words.
    """
    _wait_for_others(connection)
    _create_roles(connection, settings)
    _set_planning(connection)
    _close_database(connection)
    notes = _close_large_objects(connection)
    connection.execute(f"SET LOCAL ROLE {OWNER}")
    connection.execute("CREATE SCHEMA IF NOT EXISTS tripthread")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {LOCK_TABLE} ()")
    connection.execute("RESET ROLE")
    return notes


def _wait_for_others(connection: psycopg.Connection) -> None:
    """Take the lock until the end of the transaction; before the first migration there is none."""
    schema, table = LOCK_TABLE.split(".")
    exists = connection.execute(
        "SELECT 1 FROM pg_tables WHERE (schemaname, tablename) = (%s, %s)", [schema, table]
    ).fetchone()
    if exists:
        connection.execute(f"SET LOCAL ROLE {OWNER}")
        connection.execute(f"LOCK TABLE {LOCK_TABLE} IN SHARE ROW EXCLUSIVE MODE")  # pg_dump's does not meet it
        connection.execute("RESET ROLE")


def _create_roles(connection: psycopg.Connection, settings: Settings) -> None:
    """Make the owner and the login role of each service's URL; where they exist, set their passwords."""
    database = sql.Identifier(connection.info.dbname)
    _ensure_role(connection, OWNER, "NOLOGIN")
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)))
    for name in SERVICE_URLS:
        if wrong := malformed(name, getattr(settings, name)):
            raise ValueError(wrong)
        url = urlsplit(getattr(settings, name))
        expected = f"tripthread_{name.removesuffix('_database_url')}"
        if url.username != expected or not url.password:
            raise ValueError(f"{name.upper()} must log in as {expected}, with a password")
        _ensure_role(connection, expected, "LOGIN", unquote(url.password))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(expected)))


def _ensure_role(connection: psycopg.Connection, role: str, login: str, password: str | None = None) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    statement = sql.SQL("{} ROLE {} {} PASSWORD {}").format(
        sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(role), sql.SQL(login), sql.Literal(password)
    )
    connection.execute(statement)


def _set_planning(connection: psycopg.Connection) -> None:
    """Say how each login's statements are planned, from its next connection on."""
    for role, planning in PLANNING.items():
        for name, value in planning.items():
            statement = sql.SQL("ALTER ROLE {} SET {} TO {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))


def _close_database(connection: psycopg.Connection) -> None:
    """Keep other logins of the server out, and temporary tables, which fill a disk, from ours."""
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO CURRENT_USER").format(database))
    connection.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))


def _close_large_objects(connection: psycopg.Connection) -> list[str]:
    """Take the functions that make and change large objects from everybody: they are rows without a policy."""
    rows = connection.execute(
        r"""
        SELECT oid::regprocedure::text, pg_has_role(proowner, 'MEMBER') FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
            AND (proname LIKE 'lo\_%' OR proname IN ('loread', 'lowrite'))
            AND has_function_privilege('public', oid, 'EXECUTE')
        """
    ).fetchall()
    if not all(ours for _, ours in rows):
        return [_LARGE_OBJECTS_OPEN]
    for function, _ in rows:
        connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    return []
