"""Leave out of a stream what its caller may not hear of: sessions of projects that their token does not name."""

from collections.abc import Sequence

from services.gateway.account.identity import Caller
from services.gateway.live.changes import Change
from services.gateway.sessions.own_session import OwnSessions


class Admitting:
    """One caller's; whoever is limited to projects has each of their events looked up."""

    def __init__(self, own: OwnSessions, caller: Caller) -> None:
        self._own = own
        self._caller = caller

    async def admit(self, changes: Sequence[Change]) -> list[Change] | None:
        """Return those that are the caller's to hear; None where nobody can tell, and all is to be fetched again.

        Of what was deleted nobody can tell any more which project it was of.
        """
        seen = {
            place: await self._own.shows(self._caller, *place)
            for place in {(change.user_id, change.session_id) for change in changes}
        }
        if any(change.name == "deleted" and not seen[change.user_id, change.session_id] for change in changes):
            return None
        return [change for change in changes if seen[change.user_id, change.session_id]]
