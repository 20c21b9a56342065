"""Leave out of a stream what its caller may not hear of: sessions of projects that their token does not name."""

from collections.abc import Sequence

from services.gateway.account.identity import Caller
from services.gateway.live.changes import Change
from services.gateway.sessions.own_session import OwnSessions
from shared.errors import NotFound


class Admitting:
    """One caller's; whoever is limited to projects has each of their events looked up."""

    def __init__(self, own: OwnSessions, caller: Caller) -> None:
        self._own = own
        self._caller = caller

    async def admit(self, changes: Sequence[Change]) -> list[Change] | None:
        """Return those that are the caller's to hear; None where nobody can tell, and all is to be fetched again.

        Of what was deleted nobody can tell any more which project it was of.
        """
        seen = {session_id: await self._sees(session_id) for session_id in {change.session_id for change in changes}}
        if any(change.name == "deleted" and not seen[change.session_id] for change in changes):
            return None
        return [change for change in changes if seen[change.session_id]]

    async def _sees(self, session_id: str) -> bool:
        try:
            await self._own.find(self._caller, session_id)
        except NotFound:
            return False
        return True
