"""Look at the database: the logins, the schema's revision, mixed releases, and what waits in the tables."""

from collections import defaultdict
from collections.abc import AsyncIterator

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory
from yarl import URL

from deploy.doctor.finding import TIMEOUT_S, Finding
from deploy.doctor.isolation import check_isolation
from deploy.migrate import MIGRATIONS, is_known
from services.gateway.turns.stored.rows import IS_UNTOLD
from shared.configured.own_address import is_loopback
from shared.database import DATABASE_ERRORS, lacking
from shared.settings import Settings

# The schema that each login of the database writes; the others read.
WRITTEN_BY = {
    "gateway_database_url": "gateway",
    "reader_database_url": None,
    "admin_database_url": None,
    "logger_database_url": "chat",
    "tagger_database_url": "tagging",
    "workflow_database_url": "workflow",
}


async def check_database(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the owner's login, the schema's revision, every role, and what waits in the tables."""
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=TIMEOUT_S)
    except (*DATABASE_ERRORS, ValueError) as error:
        yield Finding("database", "away", f"cannot log in with DATABASE_URL: {error}")
        return
    try:
        yield Finding("database", f"PostgreSQL {connection.get_server_version().major}")
        revision = await _revision(connection)
        yield revision
        yield await _releases(connection)
        yield check_address(settings, await _hosts_of_gateways(connection))
        if revision.trouble is None:
            async for finding in check_isolation(connection):
                yield finding
            yield await _dead_letters(connection)
            yield await _abandoned_turns(connection)
            yield await _untold_turns(connection)
            yield await _stuck_deliveries(connection)
            yield await _unreadable_deliveries(connection)
            yield await _refused_credentials(connection)
    finally:
        await connection.close()
    for name, schema in WRITTEN_BY.items():
        yield await _login(name, getattr(settings, name), schema)


async def _revision(connection: asyncpg.Connection) -> Finding:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    exists = await connection.fetchval("SELECT to_regclass('tripthread.revision') IS NOT NULL")
    current = await connection.fetchval("SELECT version_num FROM tripthread.revision") if exists else None
    trouble = None if current == head else f"it should be at {head}: run `tripthread migrate`"
    if current is not None and not is_known(current):
        trouble = f"this version of Tripthread ends at {head}: a later one has migrated the database, so run that one"
    return Finding("schema", f"at {current or 'nothing'}", trouble)


async def _releases(connection: asyncpg.Connection) -> Finding:
    # Each process signs its connections with what it knows; one that has done nothing for five minutes has none.
    rows = await connection.fetch(
        r"""
        SELECT DISTINCT parts[1] AS instance, parts[2] AS knowledge
        FROM pg_stat_activity, regexp_match(application_name, '^(.*) ([0-9a-f]{8})$') AS parts
        WHERE datname = current_database() AND parts IS NOT NULL ORDER BY instance
        """
    )
    releases: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        releases[row["knowledge"]].append(row["instance"])
    apart = "; others than ".join(", ".join(instances) for instances in releases.values())
    trouble = f"{apart} know: finish the upgrade, consumers before gateways" if len(releases) > 1 else None
    return Finding("events that processes know", f"{len(rows)} processes, {len(releases)} releases", trouble)


async def _hosts_of_gateways(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval(
        """
        SELECT count(DISTINCT client_addr) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'tripthread_gateway'
        """
    )
    return count


def check_address(settings: Settings, hosts: int) -> Finding:
    """Look whether gateways, which are on so many hosts now, are told an address at which each finds only itself."""
    told = settings.reachable_at
    may_be_many = hosts > 1 or (settings.environment == "production" and not settings.internal_url)
    is_lost = may_be_many and is_loopback(URL(told).host or "")
    trouble = "there a gateway on another host finds only itself: set each gateway's INTERNAL_URL"
    return Finding("where other gateways find this one", told, trouble if is_lost else None)


async def _dead_letters(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(
        "SELECT count(*) AS count, min(received_at) AS oldest FROM chat.dead_letters WHERE state = 'parked'"
    )
    count = row["count"] if row else 0
    trouble = (
        f"the oldest is from {row['oldest']:%Y-%m-%d %H:%M}: see `tripthread dead list`" if row and count else None
    )
    return Finding("dead letters", f"{count} parked", trouble)


async def _abandoned_turns(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        "SELECT count(*) FROM gateway.turns WHERE state = 'running' AND lease_until < clock_timestamp()"
    )
    trouble = (
        "their gateway died; each is ended as interrupted within a minute, by a gateway that lives" if count else None
    )
    return Finding("turns past their lease", str(count), trouble)


async def _untold_turns(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        f"SELECT count(*) FROM gateway.turns WHERE {IS_UNTOLD} AND place < clock_timestamp() - interval '1 minute'"  # noqa: S608 - a constant
    )
    trouble = (
        "the broker has not confirmed their events: callers see them, the other services do not" if count else None
    )
    return Finding("messages not told", str(count), trouble)


async def _stuck_deliveries(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        """
        SELECT count(*) FROM workflow.deliveries
        WHERE state = 'due' AND due_at < clock_timestamp() - interval '5 minutes'
        """
    )
    trouble = "they are long due: is the workflow running, and does Avinode answer?" if count else None
    return Finding("webhook deliveries overdue", str(count), trouble)


async def _unreadable_deliveries(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        """
        SELECT count(*) FROM workflow.deliveries
        WHERE state = 'unreadable' AND received_at > clock_timestamp() - interval '7 days'
        """
    )
    trouble = (
        "they came in the last 7 days with the right password, and what they say is lost on us: `payload` and `error`"
        " are in workflow.deliveries"
        if count
        else None
    )
    return Finding("webhook deliveries unreadable", str(count), trouble)


async def _refused_credentials(connection: asyncpg.Connection) -> Finding:
    refusal = await connection.fetchval(
        "SELECT refusal FROM workflow.avinode_status WHERE held_until > clock_timestamp()"
    )
    trouble = f"{refusal} See AVINODE_API_TOKEN, AVINODE_AUTH_TOKEN" if refusal else None
    return Finding("Avinode's login", "refused" if refusal else "not refused", trouble)


async def _login(name: str, url: str, writes: str | None) -> Finding:
    role = name.removesuffix("_database_url")
    try:
        connection = await asyncpg.connect(url, timeout=TIMEOUT_S)
        lacks = await lacking(connection, writes)
        await connection.close()
    except (*DATABASE_ERRORS, ValueError) as error:
        return Finding(
            f"login of {role}", "refused", f"{name.upper()}: {error}; `tripthread migrate` sets its password"
        )
    return Finding(f"login of {role}", "works" if lacks is None else "is of no use", lacks)
