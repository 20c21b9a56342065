"""PostgreSQL for every service: one pool a role, short transactions, and whose fault an error is."""

import asyncio
import enum
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from opentelemetry import trace
from prometheus_client import Gauge

from shared.broker.connection import describe
from shared.process.telemetry import spanning
from shared.topology import knowledge

Pool = asyncpg.Pool
Connection = PoolConnectionProxy

STATEMENT_TIMEOUT_MS = 10_000
# A process that was stopped in the middle of a transaction must not hold its locks for longer than this.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
ACQUIRE_TIMEOUT_S = 5.0
# For a whole reading, from the waiting for a connection to its last row: who reads is answered within 5 s.
READ_DEADLINE_S = 4.0
# Ends a slow statement of a reading a moment before: its connection is kept, and the server not left at work.
READ_STATEMENT_TIMEOUT_MS = 3_500
PROBE_DEADLINE_S = 2.5  # less than `Service` gives a probe
CLOSE_TIMEOUT_S = 3.0
NAME_LENGTH = 50  # the server cuts the whole name after 63 bytes

CONNECTIONS = Gauge("tripthread_database_connections", "Connections of a pool, by its login", ["login", "state"])
MOST_CONNECTIONS = Gauge("tripthread_database_connections_max", "Connections that a pool may have", ["login"])

SCHEMAS = ("chat", "gateway", "tagging", "workflow")
WRITING = ("SELECT", "INSERT", "UPDATE", "DELETE")
READING = ("SELECT",)

_tracer = trace.get_tracer("tripthread.database")


@asynccontextmanager
async def open_pool(
    url: str,
    application_name: str,
    size: int = 10,
    *,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    lock_timeout_ms: int = 0,
) -> AsyncIterator[Pool]:
    """Open a pool of up to `size` connections; the database need not be up yet.

    A connection is lent again as it was given back, a transaction left open aside: whoever sets something on its
    session ends that session. A lock is waited for as long as a statement may take, or for `lock_timeout_ms`.
    """
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=ACQUIRE_TIMEOUT_S,
        command_timeout=statement_timeout_ms / 1000 + 2,
        init=partial(_prepare, statement_timeout_ms, lock_timeout_ms),
        reset=_as_it_is,
        server_settings={"application_name": signed(application_name)},
    )
    _count_connections(pool, urlsplit(url).username or "", size)
    try:
        yield pool
    finally:
        # A database that hangs answers no farewell; asyncpg then ends the connections by itself.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await pool.close()


def _count_connections(pool: Pool, login: str, size: int) -> None:
    CONNECTIONS.labels(login, "idle").set_function(pool.get_idle_size)
    CONNECTIONS.labels(login, "busy").set_function(lambda: pool.get_size() - pool.get_idle_size())
    MOST_CONNECTIONS.labels(login).set(size)


def signed(application_name: str) -> str:
    """Add to a process's name which events it knows, by which `tripthread doctor` finds releases that are mixed."""
    return f"{application_name[:NAME_LENGTH]} {knowledge()}"


async def _prepare(statement_timeout_ms: int, lock_timeout_ms: int, connection: asyncpg.Connection) -> None:
    # Not at its start, where a pooler refuses what it does not know.
    await connection.execute(
        f"""
        SET statement_timeout = {int(statement_timeout_ms)};
        SET lock_timeout = {int(lock_timeout_ms)};
        SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}
        """
    )
    # Binary jsonb starts with its version, 1; the text format would be parsed by us and by the server.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def _as_it_is(_connection: asyncpg.Connection) -> None:
    # asyncpg's own reset is a round trip after each use: a fifth of the time of a lone message's commit.
    return


def database_span(operation: str) -> AbstractContextManager[object]:
    """Span some work with the database, as https://opentelemetry.io/docs/specs/semconv/db/postgresql/ has it."""
    attributes = {"db.system.name": "postgresql", "db.operation.name": operation}
    return spanning(_tracer, operation, trace.SpanKind.CLIENT, attributes)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Run the block in one READ COMMITTED transaction."""
    with database_span("transaction"):
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def borrowed(pool: Pool, deadline_s: float | None = None) -> AsyncIterator[Connection]:
    """Lend a connection for a short use, the waiting for one and its return included; when the time is up, end it.

    A connection that does not answer can't be given back either: asyncpg would ask the server to cancel, and then for
    a ROLLBACK, and wait for both. Ended, it fails whoever waits for it at once, and makes room for another.

    Args:
        pool: Whose.
        deadline_s: In seconds; `READ_DEADLINE_S` where it is not given.

    Raises:
        TimeoutError: The time was up.
    """
    most_s = READ_DEADLINE_S if deadline_s is None else deadline_s
    loop = asyncio.get_running_loop()
    ends_at, is_late = loop.time() + most_s, False

    def end() -> None:
        nonlocal is_late
        is_late = True
        with suppress(asyncpg.InterfaceError):  # it has just been given back
            connection.terminate()

    try:
        async with asyncio.timeout_at(ends_at) as waiting:
            connection = await pool.acquire()
        ending = loop.call_at(ends_at, end)
        try:
            yield connection
        finally:
            await pool.release(connection)
            ending.cancel()
    except Exception as error:  # asyncpg raises anything where its connection ends in the middle of a statement
        if not is_late and not isinstance(error, DATABASE_ERRORS):
            raise
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError from error  # which the end of the connection has taken the place of
        if is_late or waiting.expired():
            raise TimeoutError(f"no answer from the database in {most_s:g} s") from error
        raise


async def fetched(pool: Pool, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """Run one short statement by a `borrowed` connection, and return its rows.

    Raises:
        TimeoutError: It took longer than `READ_DEADLINE_S`.
    """
    async with borrowed(pool) as connection:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows


@asynccontextmanager
async def reading(pool: Pool, *user_ids: str, first: str = "") -> AsyncIterator[Connection]:
    """Read what these users may see, and nothing else: row-level security knows them for this transaction only.

    Args:
        pool: Of a reader's login.
        user_ids: Whose rows.
        first: Constant statements to begin with, such as `SET LOCAL`, in the same round trip.

    Raises:
        TimeoutError: It took longer than `READ_DEADLINE_S`.
    """
    with database_span("read"):
        async with borrowed(pool) as connection:
            # In one round trip, and so not as a parameter: nothing but hexadecimal digits stands in its place.
            await connection.execute(
                "BEGIN READ ONLY; SELECT tripthread.read_as("
                f"convert_from(decode('{_spelled(user_ids)}', 'hex'), 'UTF8')::text[]); {first}"
            )
            try:
                yield connection
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")


def _spelled(texts: Sequence[str]) -> str:
    """Spell a text[] as PostgreSQL writes it out, in the hexadecimal digits of its bytes."""
    elements = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return ("{" + ",".join(f'"{element}"' for element in elements) + "}").encode().hex()


# Everything that a query can fail with. asyncpg raises InternalClientError where the server's last word to an idle
# connection (it is shutting down, the session was ended) arrives together with our next query.
DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def probe(pool: Pool, writes: str | None = None) -> str | None:
    """Say, for readiness, why the database is of no use; None where it answers, and lets this login do its work.

    Args:
        pool: Of the login.
        writes: The schema whose tables it writes; without one it reads those of every service.
    """
    try:
        async with borrowed(pool, PROBE_DEADLINE_S) as connection:
            return await lacking(connection, writes)
    except (*DATABASE_ERRORS, TimeoutError) as error:
        return describe(error)


async def lacking(connection: asyncpg.Connection | Connection, writes: str | None = None) -> str | None:
    """Say what this login lacks to do its work; None where nothing."""
    schemas, rights = ([writes], WRITING) if writes else (SCHEMAS, READING)
    (found,) = await connection.fetch(
        """
        SELECT current_setting('transaction_read_only')::boolean AS read_only, (
            SELECT min(schema || coalesce('.' || relname, ''))
            FROM unnest($1::text[]) AS schema
            LEFT JOIN pg_class ON relnamespace = to_regnamespace(schema) AND relkind IN ('r', 'p')
            WHERE relname IS NULL OR NOT has_schema_privilege(relnamespace, 'USAGE') OR NOT (
                SELECT bool_and(has_table_privilege(pg_class.oid, wanted)) FROM unnest($2::text[]) AS wanted
            )
        ) AS lacks
        """,
        schemas,
        rights,
    )
    if found["read_only"] and writes:
        return "the database is read-only"
    if found["lacks"]:
        return f"this login has not all of its rights to {found['lacks']}: run `tripthread migrate`"
    return None


class Fault(enum.Enum):
    """Whose fault a database error is, which decides what becomes of the message that met it."""

    MESSAGE = "message"  # its values can't be stored, ever: it is parked
    TRANSIENT = "transient"  # the same again, later
    LOGIN = "login"  # the server does not let us in, as while passwords are replaced: wait, and say so loudly
    INSTALLATION = "installation"  # a schema, grant or URL is wrong: wait, and say so loudly


# SQLSTATE classes, PostgreSQL documentation, appendix A.
_MESSAGE_CLASSES = frozenset(("22", "23", "54"))  # 54: a value is too large, for an index say
_TRANSIENT_CLASSES = frozenset(("08", "25", "40", "53", "55", "57", "58"))
_LOGIN_CLASSES = frozenset(("28", "3D"))  # 3D: there is no such database


def fault_of(error: BaseException) -> Fault | None:
    """Tell whose fault a database error is; None where it is not a database error at all."""
    if isinstance(error, asyncpg.PostgresError):
        return _fault_of_sqlstate(error.sqlstate or "")
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return Fault.INSTALLATION  # a wrong URL, or a certificate that is not there: also a ValueError
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return Fault.MESSAGE  # asyncpg itself refused to encode an argument, such as a number out of range
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError):
        return Fault.TRANSIENT
    return None


def is_away(error: BaseException) -> bool:
    """Whether the database is of no use for now, whatever is asked of it: the same may go well later."""
    return fault_of(error) in {Fault.TRANSIENT, Fault.LOGIN}


def _fault_of_sqlstate(sqlstate: str) -> Fault:
    if sqlstate[:2] in _MESSAGE_CLASSES:
        return Fault.MESSAGE
    if sqlstate[:2] in _LOGIN_CLASSES:
        return Fault.LOGIN
    return Fault.TRANSIENT if sqlstate[:2] in _TRANSIENT_CLASSES else Fault.INSTALLATION
