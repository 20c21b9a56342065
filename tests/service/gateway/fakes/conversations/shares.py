"""Sessions that are shown to others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.sharing.queries import SharedRow
from services.gateway.sessions.sharing.store import Readers, SharedSession
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeShares:
    """Rows, each with whom it is for and the project that its session is of."""

    def __init__(self, world: Stored) -> None:
        self._world = world
        self._rows: dict[UUID, tuple[SharedSession, Readers, str | None]] = {}

    async def add(
        self,
        share_id: UUID,
        readers: Readers,
        session: tuple[str, str],
        about: tuple[str | None, str | None],
        expires_at: datetime,
    ) -> tuple[SharedSession, bool]:
        if share_id in self._rows:
            return self._rows[share_id][0], False
        title, project_id = about
        row = SharedSession(
            share_id, *session, title, datetime.now(UTC), expires_at, None, readers.project_id, readers.users
        )
        self._rows[share_id] = row, readers, project_id
        return row, True

    async def page(
        self, session: tuple[str, str], limit: int, before: Place | None
    ) -> Sequence[tuple[Place, SharedSession]]:
        own = [row for row, _, _ in self._rows.values() if (row.user_id, row.session_id) == session]
        placed = [((row.created_at, str(row.share_id)), row) for row in reversed(own)]
        return [(place, row) for place, row in placed if before is None or place < before][:limit]

    async def revoke(self, session: tuple[str, str], share_id: UUID) -> SharedSession | None:
        if share_id not in self._rows:
            return None
        row, readers, project_id = self._rows[share_id]
        if (row.user_id, row.session_id) != session:
            return None
        row = replace(row, revoked_at=NOON, has_ended=True)
        self._rows[share_id] = row, readers, project_id
        return row

    async def find(self, token_hash: bytes) -> SharedSession | None:
        return next((row for row, readers, _ in self._rows.values() if readers.token_hash == token_hash), None)

    async def leave(self, user_ids: Sequence[str], share_id: UUID) -> bool:
        row, readers, project_id = self._rows[share_id]
        left = [user_id for user_id in row.users or () if user_id not in user_ids]
        self._rows[share_id] = replace(row, users=left), readers, project_id
        return row.users is not None and len(left) < len(row.users)

    def read_by(self, caller: Caller) -> list[SharedSession]:
        """Return what is shared with a caller, as the database's functions decide it."""
        return [
            row
            for row, readers, project_id in self._rows.values()
            if (set(row.users or ()) & set(caller.user_ids) and caller.sees(project_id))
            or (readers.project_id is not None and readers.project_id in (caller.projects or ()))
        ]


class FakeSharedRows:
    def __init__(self, shares: FakeShares) -> None:
        self._shares = shares

    async def page(self, caller: Caller, limit: int, before: Place | None) -> Sequence[tuple[Place, SharedRow]]:
        rows = [row for row in self._shares.read_by(caller) if not row.has_ended]
        placed = [((row.created_at, str(row.share_id)), row) for row in reversed(rows)]
        return [
            (place, SharedRow(row.share_id, row.title, row.created_at, row.expires_at, row.project_id))
            for place, row in placed
            if before is None or place < before
        ][:limit]

    async def find(self, caller: Caller, share_id: UUID) -> SharedSession | None:
        return next((row for row in self._shares.read_by(caller) if row.share_id == share_id), None)
