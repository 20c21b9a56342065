"""The SQL of gateway.shares: links by which anybody reads one session, as it was when it was shared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.http.cursors import Place
from shared.database import Pool, fetched

_COLUMNS = "share_id, user_id, session_id, title, created_at, expires_at, revoked_at"
# What is deleted, or was shared before its user was erased, is there for nobody, whether it is swept yet or not.
_STANDS = "NOT tripthread.is_hidden(user_id, session_id, created_at)"


@dataclass(frozen=True)
class SharedSession:
    """A row: whose session may be read, up to which moment, and until when."""

    share_id: UUID
    user_id: str
    session_id: str
    title: str | None  # as it was
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    has_ended: bool = False  # revoked or expired, by the database's clock


class ShareStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self, share_id: UUID, token_hash: bytes, session: tuple[str, str], title: str | None, expires_at: datetime
    ) -> tuple[SharedSession, bool] | None:
        """Share a session, and tell whether that is new; None where it was deleted meanwhile."""
        added = await fetched(
            self._pool,
            f"""
            INSERT INTO gateway.shares (share_id, token_hash, user_id, session_id, title, expires_at)
            SELECT $1, $2, $3, $4, $5, $6
            WHERE NOT EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = $3 AND d.session_id = $4)
            ON CONFLICT DO NOTHING
            RETURNING {_COLUMNS}
            """,  # noqa: S608 - constants of this module, here and below
            share_id,
            token_hash,
            *session,
            title,
            expires_at,
        )
        if added:
            return SharedSession(**dict(added[0])), True
        known = await self._of(session, share_id)
        return (known, False) if known else None

    async def _of(self, session: tuple[str, str], share_id: UUID) -> SharedSession | None:
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_COLUMNS} FROM gateway.shares
            WHERE share_id = $1 AND user_id = $2 AND session_id = $3 AND {_STANDS}
            """,  # noqa: S608
            share_id,
            *session,
        )
        return SharedSession(**dict(rows[0])) if rows else None

    async def page(
        self, session: tuple[str, str], limit: int, before: Place | None
    ) -> Sequence[tuple[Place, SharedSession]]:
        """Return a session's shares, the newest first, from this place on."""
        at, share_id = before or (None, None)
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_COLUMNS} FROM gateway.shares
            WHERE user_id = $1 AND session_id = $2 AND {_STANDS}
                AND (created_at, share_id) < (coalesce($3::timestamptz, 'infinity'),
                    coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
            ORDER BY created_at DESC, share_id DESC LIMIT $5
            """,  # noqa: S608
            *session,
            at,
            share_id,
            limit,
        )
        return [((row["created_at"], str(row["share_id"])), SharedSession(**dict(row))) for row in rows]

    async def revoke(self, session: tuple[str, str], share_id: UUID) -> SharedSession | None:
        """End a share; one that was revoked stays as it is."""
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.shares SET revoked_at = coalesce(revoked_at, clock_timestamp())
            WHERE share_id = $1 AND user_id = $2 AND session_id = $3 AND {_STANDS}
            RETURNING {_COLUMNS}
            """,  # noqa: S608
            share_id,
            *session,
        )
        return SharedSession(**dict(rows[0])) if rows else None

    async def find(self, token_hash: bytes) -> SharedSession | None:
        """Return what a link is about."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT {_COLUMNS}, revoked_at IS NOT NULL OR coalesce(expires_at <= clock_timestamp(), false) AS has_ended
            FROM gateway.shares WHERE token_hash = $1 AND {_STANDS}
            """,  # noqa: S608
            token_hash,
        )
        return SharedSession(**dict(rows[0])) if rows else None
