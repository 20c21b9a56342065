"""What an answer says of its session's tag: what this gateway has heard of it, and where it has not, what is stored."""

import structlog

from services.gateway.models.queries import TagQueries
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.turn import Turn
from shared.database import DATABASE_ERRORS

log = structlog.get_logger(__name__)


class SessionTags:
    def __init__(self, recent: RecentSessions, stored: TagQueries) -> None:
        self._recent = recent
        self._stored = stored

    def heard(self, turn: Turn) -> str | None:
        """Return the tag of a turn's session, if it was heard of."""
        return self._recent.tag_of(turn.user_id, turn.session_id)

    async def of(self, turn: Turn) -> str | None:
        """Return the tag of a turn's session where it can be read; nothing of the turn depends on it."""
        if tag := self.heard(turn):
            return tag
        try:
            stored = await self._stored.of_session([turn.user_id], turn.session_id)
        except DATABASE_ERRORS as error:
            log.warning("tag not read", turn_id=str(turn.turn_id), error=str(error) or type(error).__name__)
            return None
        return stored.session_tag if stored else None
