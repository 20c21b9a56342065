"""How far the other services have come with a deletion, as administrators see their tables."""

from collections.abc import Sequence
from datetime import datetime

from services.gateway.deletion.store import Key
from shared.database import Pool, fetched

SERVICES = {"logger": "chat", "tagger": "tagging", "workflow": "workflow"}  # and the schema of each


class NotedDeletions:
    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def all_of(self, sessions: Sequence[Key]) -> bool | None:
        """Tell whether the logger has noted that all these sessions are deleted; None where not."""
        (row,) = await fetched(
            self._admin,
            """
            SELECT bool_and(s.deleted_at IS NOT NULL) FROM unnest($1::text[], $2::text[]) AS k (user_id, session_id)
            LEFT JOIN chat.sessions s USING (user_id, session_id)
            """,
            *_columns(sessions),
        )
        return bool(row[0]) or None

    async def gone(self, sessions: Sequence[Key]) -> list[Key]:
        """Return those of which nothing is left in any schema of the others."""
        rows = await fetched(
            self._admin,
            """
            SELECT k.user_id, k.session_id FROM unnest($1::text[], $2::text[]) AS k (user_id, session_id)
            JOIN chat.sessions s USING (user_id, session_id)
            JOIN tagging.session_tags t USING (user_id, session_id)
            JOIN workflow.deleted_sessions w USING (user_id, session_id)
            WHERE s.deleted_at IS NOT NULL AND s.swept_at IS NOT NULL AND t.deleted_at IS NOT NULL
                AND w.swept_at IS NOT NULL
            """,
            *_columns(sessions),
        )
        return [(row["user_id"], row["session_id"]) for row in rows]

    async def erased(self, user: bytes, erased_at: datetime) -> dict[str, bool]:
        """Tell of each of the other services whether nothing is left there of what the user of this hash had then."""
        rows = await fetched(
            self._admin,
            " UNION ALL ".join(
                f"""
                SELECT '{service}' AS service, EXISTS (SELECT FROM {schema}.erased_users
                    WHERE user_hash = $1 AND erased_at >= $2 AND done_at IS NOT NULL) AS done
                """  # noqa: S608 - constants of this module
                for service, schema in SERVICES.items()
            ),
            user,
            erased_at,
        )
        return {row["service"]: row["done"] for row in rows}


def _columns(sessions: Sequence[Key]) -> tuple[list[str], list[str]]:
    return [user_id for user_id, _ in sessions], [session_id for _, session_id in sessions]
