"""The SQL of gateway.login_links, which were used, and of gateway.browser_sessions, which they opened."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.gateway.account.logins.links import LoginLink
from services.gateway.account.standing import Standing
from services.gateway.account.tokens.claims import Identity
from shared.database import Pool, fetched
from shared.ids import new_id

LASTS_S = 12 * 3600  # a browser session, from its last renewal
LONGEST_DAYS = 30  # however often it is renewed
RENEWED_S = LASTS_S // 2  # with less than this left it is renewed

# As a key's: one of somebody who was erased since stands no more.
_STANDS = """expires_at > clock_timestamp() AND NOT EXISTS (SELECT FROM gateway.erasures e
    WHERE e.user_hash = tripthread.user_hash(b.user_id) AND e.erased_at >= b.created_at)"""


class LoginStore:
    """Browser sessions by the hash of their cookie. Fulfils `Rows` of standing.py."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open(self, link: LoginLink, digest: bytes) -> bool:
        """Use a link up, and open a session by it; False where it was used before, or made before an erasure.

        Args:
            link: Whose.
            digest: Of the session's cookie.
        """
        rows = await fetched(
            self._pool,
            f"""
            WITH stale AS (
                DELETE FROM gateway.login_links WHERE expires_at < clock_timestamp() - interval '1 day'
            ), over AS (
                DELETE FROM gateway.browser_sessions WHERE expires_at < clock_timestamp()
            ), used AS (
                INSERT INTO gateway.login_links (token_hash, user_id, role, expires_at, used_at)
                SELECT $1, $2, $3, to_timestamp($4), clock_timestamp()
                WHERE NOT EXISTS (SELECT FROM gateway.erasures e
                    WHERE e.user_hash = tripthread.user_hash($2) AND e.erased_at >= to_timestamp($5))
                ON CONFLICT (token_hash) DO NOTHING
                RETURNING user_id, role
            )
            INSERT INTO gateway.browser_sessions (browser_session_id, token_hash, user_id, role, expires_at)
            SELECT $6, $7, user_id, role, clock_timestamp() + interval '{LASTS_S} seconds' FROM used
            RETURNING browser_session_id
            """,  # noqa: S608 - constants of this module, here and below
            link.digest,
            link.user_id,
            link.role,
            link.expires_at,
            link.made_at,
            new_id(),
            digest,
        )
        return bool(rows)

    async def end(self, digest: bytes) -> None:
        """End the session of this cookie."""
        await self._pool.execute("DELETE FROM gateway.browser_sessions WHERE token_hash = $1", digest)

    async def end_all(self, user_id: str) -> int:
        """End every session of a user, and tell how many there were."""
        return len(
            await fetched(
                self._pool,
                f"""
                WITH ended AS (DELETE FROM gateway.browser_sessions b WHERE user_id = $1 RETURNING *)
                SELECT browser_session_id FROM ended b WHERE {_STANDS}
                """,  # noqa: S608
                user_id,
            )
        )

    async def renew(self, digest: bytes) -> bool:
        """Let a session that stands last from now on, and tell whether it did."""
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.browser_sessions b SET expires_at =
                least(clock_timestamp() + interval '{LASTS_S} seconds', created_at + interval '{LONGEST_DAYS} days')
            WHERE token_hash = $1 AND {_STANDS}
                AND created_at > clock_timestamp() - interval '{LONGEST_DAYS} days'
            RETURNING browser_session_id
            """,  # noqa: S608
            digest,
        )
        return bool(rows)

    async def find(self, digest: bytes) -> Standing | None:
        """Return what stands by this hash."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT browser_session_id, user_id, role, expires_at
            FROM gateway.browser_sessions b WHERE token_hash = $1 AND {_STANDS}
            """,  # noqa: S608
            digest,
        )
        return _standing(rows[0]) if rows else None

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return which of these stand."""
        rows = await fetched(
            self._pool,
            f"SELECT token_hash FROM gateway.browser_sessions b WHERE token_hash = ANY ($1::bytea[]) AND {_STANDS}",  # noqa: S608
            list(digests),
        )
        return {row["token_hash"] for row in rows}

    async def stands(self, credential_id: UUID) -> bool:
        """Tell whether a session stands."""
        rows = await fetched(
            self._pool,
            f"SELECT user_id FROM gateway.browser_sessions b WHERE browser_session_id = $1 AND {_STANDS}",  # noqa: S608
            credential_id,
        )
        return bool(rows)

    async def note_use(self, digests: Sequence[bytes]) -> None:
        """Note nothing: that one is used is what renews it."""


def _standing(row: asyncpg.Record) -> Standing:
    identity = Identity(row["user_id"], row["role"], None, row["expires_at"].timestamp())
    return Standing(row["browser_session_id"], identity, is_noted=True)
