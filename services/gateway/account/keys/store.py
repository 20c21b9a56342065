"""The SQL of gateway.api_keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.gateway.account.one_by_one import one_by_one
from services.gateway.account.projects import Projects
from services.gateway.account.rights import Role
from services.gateway.account.standing import Standing
from services.gateway.account.tokens.claims import NEVER, Identity
from services.gateway.http.requests.cursors import Place
from shared.database import Pool, fetched

MOST_KEYS = 100  # of one user, that stand

_COLUMNS = "key_id, name, role, projects, created_at, expires_at, last_used_at, revoked_at"
# A key of somebody who was erased since stands no more, whether it is swept yet or not.
_STANDS = """revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true)
    AND NOT EXISTS (SELECT FROM gateway.erasures e
        WHERE e.user_hash = tripthread.user_hash(k.user_id) AND e.erased_at >= k.created_at)"""


@dataclass(frozen=True)
class ApiKey:
    """A row, as its user sees it."""

    key_id: UUID
    name: str
    role: Role
    projects: Projects
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None  # to the hour
    revoked_at: datetime | None


class KeyStore:
    """Keys by their hash, and keys of users. Fulfils `Rows` of standing.py."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, digest: bytes) -> Standing | None:
        """Return what stands by this hash."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT key_id, user_id, role, projects, expires_at,
                coalesce(last_used_at > clock_timestamp() - interval '1 hour', false) AS is_noted
            FROM gateway.api_keys k WHERE key_hash = $1 AND {_STANDS}
            """,  # noqa: S608 - constants of this module, here and below
            digest,
        )
        return _standing(rows[0]) if rows else None

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return which of these stand."""
        rows = await fetched(
            self._pool,
            f"SELECT key_hash FROM gateway.api_keys k WHERE key_hash = ANY ($1::bytea[]) AND {_STANDS}",  # noqa: S608
            list(digests),
        )
        return {row["key_hash"] for row in rows}

    async def stands(self, credential_id: UUID) -> bool:
        """Tell whether a key stands."""
        rows = await fetched(
            self._pool,
            f"SELECT key_id FROM gateway.api_keys k WHERE key_id = $1 AND {_STANDS}",  # noqa: S608
            credential_id,
        )
        return bool(rows)

    async def note_use(self, digests: Sequence[bytes]) -> None:
        """Note that these are in use, at most once an hour, whichever gateway says so."""
        await self._pool.execute(
            """
            UPDATE gateway.api_keys SET last_used_at = clock_timestamp()
            WHERE key_hash = ANY ($1::bytea[])
                AND coalesce(last_used_at < clock_timestamp() - interval '1 hour', true)
            """,
            list(digests),
        )

    async def add(
        self, key_id: UUID, digest: bytes, user_id: str, given: tuple[str, Role, Projects], expires_at: datetime
    ) -> tuple[ApiKey, bool] | None:
        """Keep a key, and tell whether that is new; None where its user has as many as they may.

        Args:
            key_id: Of a repeat the same one.
            digest: Of the key.
            user_id: Whose it is.
            given: Its name, role and projects.
            expires_at: Until when it stands.
        """
        name, role, projects = given
        async with one_by_one(self._pool, "keys", user_id) as db:
            rows = await db.fetch(
                f"""
                INSERT INTO gateway.api_keys (key_id, key_hash, user_id, name, role, projects, expires_at)
                SELECT $1, $2, $3, $4, $5, $6, $7
                WHERE (SELECT count(*) FROM gateway.api_keys k WHERE user_id = $3 AND {_STANDS}) < {MOST_KEYS}
                ON CONFLICT (key_id) DO NOTHING
                RETURNING {_COLUMNS}
                """,  # noqa: S608
                key_id,
                digest,
                user_id,
                name,
                role,
                None if projects is None else list(projects),
                expires_at,
            )
        if rows:
            return _key(rows[0]), True
        known = await fetched(
            self._pool,
            f"SELECT {_COLUMNS} FROM gateway.api_keys WHERE key_id = $1 AND user_id = $2",  # noqa: S608
            key_id,
            user_id,
        )
        return (_key(known[0]), False) if known else None

    async def page(
        self, user_id: str, projects: Projects, limit: int, before: Place | None
    ) -> Sequence[tuple[Place, ApiKey]]:
        """Return a user's keys that are limited to no more than these projects, the newest first, from here on."""
        at, key_id = before or (None, None)
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_COLUMNS} FROM gateway.api_keys
            WHERE user_id = $1 AND ($2::text[] IS NULL OR projects <@ $2)
                AND (created_at, key_id) < (coalesce($3::timestamptz, 'infinity'),
                    coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
            ORDER BY created_at DESC, key_id DESC LIMIT $5
            """,  # noqa: S608
            user_id,
            None if projects is None else list(projects),
            at,
            key_id,
            limit,
        )
        return [((row["created_at"], str(row["key_id"])), _key(row)) for row in rows]

    async def revoke(self, user_id: str, projects: Projects, key_id: UUID) -> ApiKey | None:
        """End a key that this page would show; one that was revoked stays as it is."""
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
            WHERE key_id = $1 AND user_id = $2 AND ($3::text[] IS NULL OR projects <@ $3)
            RETURNING {_COLUMNS}
            """,  # noqa: S608
            key_id,
            user_id,
            None if projects is None else list(projects),
        )
        return _key(rows[0]) if rows else None


def _projects(row: asyncpg.Record) -> Projects:
    return None if row["projects"] is None else tuple(row["projects"])


def _key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(**{**dict(row), "projects": _projects(row)})


def _standing(row: asyncpg.Record) -> Standing:
    ends = NEVER if row["expires_at"] is None else row["expires_at"].timestamp()
    return Standing(row["key_id"], Identity(row["user_id"], row["role"], _projects(row), ends), row["is_noted"])
