"""The SQL of gateway.shares for whose the sessions are, and for whoever has a link."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.gateway.http.requests.cursors import Place
from shared.database import Pool, fetched

_COLUMNS = """share_id, user_id, session_id, title, created_at, expires_at, revoked_at, project_id,
    CASE WHEN token_hash IS NULL AND project_id IS NULL THEN ARRAY(
        SELECT w.user_id FROM gateway.shared_with w
        WHERE w.share_id = shares.share_id AND NOT tripthread.is_hidden(w.user_id, NULL, w.shared_at)
        ORDER BY w.user_id) END AS users"""
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
    project_id: str | None = None  # with which it is shared
    users: Sequence[str] | None = None  # with whom; none where it is shared with a project, or by a link
    has_ended: bool = False  # revoked or expired, by the database's clock


@dataclass(frozen=True)
class Readers:
    """Whom a session is shared with: one of these."""

    token_hash: bytes | None = None  # whoever has the link
    users: Sequence[str] | None = None
    project_id: str | None = None


class ShareStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self,
        share_id: UUID,
        readers: Readers,
        session: tuple[str, str],
        about: tuple[str | None, str | None],
        expires_at: datetime,
    ) -> tuple[SharedSession, bool] | None:
        """Share a session, and tell whether that is new; None where it was deleted meanwhile.

        Args:
            share_id: Of a repeat the same one.
            readers: With whom.
            session: Its owner and id.
            about: Its title, and its project.
            expires_at: Until when.
        """
        added = await fetched(
            self._pool,
            f"""
            WITH shares AS (
                INSERT INTO gateway.shares (share_id, token_hash, project_id, user_id, session_id, title,
                    session_project, expires_at)
                SELECT $1, $2, $3, $5, $6, $7, $8, $9
                WHERE NOT EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = $5 AND d.session_id = $6)
                ON CONFLICT DO NOTHING
                RETURNING *
            ), readers AS (
                INSERT INTO gateway.shared_with (share_id, user_id, shared_at)
                SELECT share_id, reader, created_at FROM shares CROSS JOIN unnest($4::text[]) AS reader
            )
            SELECT {_COLUMNS} FROM shares
            """,  # noqa: S608 - constants of this module, here and below
            share_id,
            readers.token_hash,
            readers.project_id,
            readers.users,
            *session,
            *about,
            expires_at,
        )
        if added:
            users = None if readers.users is None else sorted(readers.users)
            return replace(SharedSession(**dict(added[0])), users=users), True
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

    async def leave(self, user_ids: Sequence[str], share_id: UUID) -> bool:
        """Let it not be shared with these users any more, and tell whether it was."""
        left = await fetched(
            self._pool,
            "DELETE FROM gateway.shared_with WHERE share_id = $1 AND user_id = ANY ($2) RETURNING share_id",
            share_id,
            list(user_ids),
        )
        return bool(left)
