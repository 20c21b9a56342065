"""Look whether the database still keeps users apart: row-level security and its policies as they were migrated.

What the migrations make is written down in `deploy/migrations/guards.txt`, by `python -m deploy.doctor.isolation` on a
database that was just migrated; a test compares the two. Here a database that is in use is compared with it.
"""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import asyncpg

from deploy.doctor.finding import Finding
from deploy.rights import OWNER, SERVICE_URLS
from shared.database import SCHEMAS

WRITTEN_DOWN = Path(__file__).parents[1] / "migrations" / "guards.txt"
MOST_NAMED = 5  # of what is amiss
LOGINS = [f"tripthread_{name.removesuffix('_database_url')}" for name in SERVICE_URLS]
OURS = [*SCHEMAS, "tripthread"]


async def check_isolation(connection: asyncpg.Connection) -> AsyncIterator[Finding]:
    """Compare tables, policies and functions with what was migrated, and look who could get past them."""
    expected, found = set(WRITTEN_DOWN.read_text(encoding="utf-8").splitlines()), set(await guards(connection))
    gone, added = sorted(expected - found), sorted(found - expected)
    differences = [*(f"lacks `{each}`" for each in gone), *(f"has `{each}`" for each in added)]
    yield Finding("what keeps users apart", f"{len(found)} guards", _amiss(differences, "it is not as it was migrated"))
    past = [*await _past_policies(connection), *await _makers(connection), *await _open_functions(connection)]
    yield Finding("logins past row-level security", f"{len(past)}", _amiss(past, "take that back"))


async def guards(connection: asyncpg.Connection) -> list[str]:
    """Return a line for each table, policy and function that keeps users apart, in order."""
    tables = await connection.fetch(
        """
        SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity, c.relforcerowsecurity,
            pg_get_userbyid(c.relowner) AS owner
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'f', 'm', 'v')
        """,
        SCHEMAS,
    )
    policies = await connection.fetch(
        """
        SELECT schemaname || '.' || tablename AS name, policyname, permissive, cmd,
            array_to_string(roles, ',') AS roles, coalesce(qual, '') AS qual, coalesce(with_check, '') AS with_check
        FROM pg_policies WHERE schemaname = ANY ($1)
        """,
        SCHEMAS,
    )
    functions = await connection.fetch(
        """
        SELECT format('%s.%s(%s)', p.pronamespace::regnamespace, p.proname,
                pg_get_function_identity_arguments(p.oid)) AS name,
            pg_get_userbyid(p.proowner) AS owner, p.prosecdef,
            coalesce(array_to_string(p.proconfig, ','), '') AS settings,
            coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS body
        FROM pg_proc p WHERE p.pronamespace::regnamespace::text = ANY ($1)
        """,
        OURS,
    )
    return sorted([*map(_table, tables), *map(_policy, policies), *map(_function, functions)])


def _table(row: asyncpg.Record) -> str:
    security = "row security" if row["relrowsecurity"] else "NO row security"
    forced = ", forced" if row["relforcerowsecurity"] else ""
    return f"table {row['name']}: {security}{forced}, of {row['owner']}"


def _policy(row: asyncpg.Record) -> str:
    says = f"using {_bare(row['qual'])} check {_bare(row['with_check'])}"
    return f"policy {row['name']}/{row['policyname']}: {row['permissive']} {row['cmd']} to {row['roles']} {says}"


def _function(row: asyncpg.Record) -> str:
    whose = "as its owner" if row["prosecdef"] else "as its caller"
    body = sha256(_bare(row["body"]).encode()).hexdigest()[:16]
    return f"function {row['name']}: {whose}, of {row['owner']}, with {row['settings'] or 'nothing'}, {body}"


def _bare(expression: str) -> str:
    """Leave out what one release of PostgreSQL may write and another not."""
    return re.sub(r"::text\b|[()\s]", "", expression)


async def _past_policies(connection: asyncpg.Connection) -> Sequence[str]:
    """Name logins that no policy holds, and those of ours that are more than that; superusers and who looks aside."""
    rows = await connection.fetch(
        """
        SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, pg_has_role(oid, $1, 'MEMBER') AS owns,
            EXISTS (SELECT FROM unnest($2::text[]) other
                WHERE other <> rolname AND pg_has_role(oid, other, 'MEMBER')) AS more
        FROM pg_roles
        WHERE rolname = ANY ($2) OR (rolcanlogin AND NOT rolsuper AND rolname <> session_user
            AND has_database_privilege(oid, current_database(), 'CONNECT'))
        """,
        OWNER,
        LOGINS,
    )
    named = {
        "rolsuper": "is a superuser",
        "rolbypassrls": "has BYPASSRLS",
        "rolcreaterole": "may make roles",
        "owns": f"is a member of {OWNER}",
        "more": "is a member of another service's role",
    }
    return [f"{row['rolname']} {says}" for row in rows for flag, says in named.items() if row[flag]]


async def _makers(connection: asyncpg.Connection) -> Sequence[str]:
    """Name logins that may make something where others look for it: it would be found before what was meant."""
    rows = await connection.fetch(
        """
        SELECT login, nspname FROM unnest($1::text[]) login, pg_namespace
        WHERE nspname = ANY ($2) AND EXISTS (SELECT FROM pg_roles WHERE rolname = login)
            AND has_schema_privilege(login, nspname, 'CREATE')
        """,
        LOGINS,
        [*OURS, "public"],
    )
    return [f"{row['login']} may make things in the schema {row['nspname']}" for row in rows]


async def _open_functions(connection: asyncpg.Connection) -> Sequence[str]:
    """Name functions that run as their owner and look for names wherever their caller says."""
    rows = await connection.fetch(
        """
        SELECT oid::regprocedure::text AS name FROM pg_proc
        WHERE prosecdef AND pronamespace::regnamespace::text = ANY ($1)
            AND NOT coalesce(array_to_string(proconfig, ','), '') ~ 'search_path='
        """,
        OURS,
    )
    return [f"{row['name']} runs as its owner with its caller's search_path" for row in rows]


def _amiss(found: Sequence[str], what: str) -> str | None:
    if not found:
        return None
    others = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{'; '.join(found[:MOST_NAMED])}{others}: {what}"


def spelled(lines: Iterable[str]) -> str:
    """Return what `guards.txt` says."""
    return "\n".join(lines) + "\n"


async def _write_down(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        WRITTEN_DOWN.write_text(spelled(await guards(connection)), encoding="utf-8")
    finally:
        await connection.close()


if __name__ == "__main__":
    import asyncio

    from shared.settings import Settings

    asyncio.run(_write_down(Settings().database_url))
