"""Find a session of the caller's, whether it is stored, or only a turn or an opening so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.account.identity import Caller
from services.gateway.sessions.answers import Session
from services.gateway.sessions.openings import SessionOpenings, as_opened
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.view import SessionFacts, show_session
from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.readings import TurnReadings
from shared.errors import NotFound
from shared.texts.preview import PREVIEW_LENGTH

MOST_KEYS = 400  # of sessions that are looked up whether they are there or not


@dataclass(frozen=True)
class OwnSession:
    facts: SessionFacts
    turns: Sequence[Glimpse]
    shown: Session

    @property
    def user_id(self) -> str:
        """The session's owner: what is written to it is written as theirs."""
        return self.facts.user_id


class OwnSessions:
    """The sessions of whoever calls."""

    def __init__(self, turns: TurnReadings, queries: SessionQueries, openings: SessionOpenings) -> None:
        self._turns = turns
        self._queries = queries
        self._openings = openings

    async def find(self, caller: Caller, session_id: str) -> OwnSession:
        """Return the caller's session of this id; of two identities' sessions the first one's.

        Raises:
            NotFound: There is none, it was deleted, it is somebody else's, or of a project that the caller's token does
                not name: nobody can tell which.
        """
        own = await self._first(caller, await self._known(caller.user_ids, session_id))
        if own is None:
            raise NotFound("There is no such session.")
        return own

    async def find_or_new(self, caller: Caller, session_id: str) -> OwnSession | None:
        """Return the caller's session of this id, as `find` does; None where it would be a new one.

        Raises:
            NotFound: It was deleted, or is of a project that the caller's token does not name.
        """
        known = await self._known(caller.user_ids, session_id)
        own = await self._first(caller, known)
        if own is None and any(facts.deleted or turns or facts.stored or facts.opened for facts, turns in known):
            raise NotFound("There is no such session.")
        return own

    async def find_many(self, caller: Caller, session_ids: Sequence[str]) -> dict[str, OwnSession]:
        """Return those of these sessions that are there for the caller, by id; of each only its newest turn is read."""
        if not session_ids:
            return {}
        turns = await self._turns.sessions_of(caller.user_ids)
        newest = {(turn.user_id, turn.session_id): [turn] for turn in turns}
        keys = [(user_id, session_id) for session_id in session_ids for user_id in caller.user_ids]
        if len(keys) > MOST_KEYS:  # of somebody who was many visitors, who have few of these
            there = await self._queries.existing(caller.user_ids, session_ids) | newest.keys()
            keys = [key for key in keys if key in there]
        found: dict[str, OwnSession] = {}
        for facts in await self._opened(await self._queries.facts_of(keys)):
            own = facts.kept(newest.get(facts.key, []))
            view = show_session(facts, own)
            if view is not None and facts.session_id not in found and caller.sees(view.session.project_id):
                found[facts.session_id] = OwnSession(facts, own, view.session)
        return found

    async def owners(self, caller: Caller, session_id: str) -> Sequence[str]:
        """Return whose session of this id a caller may mean, for routes that look for something else of it.

        Only of a caller who is limited to projects the session is looked up for that.

        Raises:
            NotFound: As `find` does; of a caller who is not limited never.
        """
        return caller.user_ids if caller.projects is None else ((await self.find(caller, session_id)).user_id,)

    async def shows(self, caller: Caller, user_id: str, session_id: str) -> bool:
        """Tell whether something of this session of the caller's may be shown; one without limits sees it anyway."""
        if caller.projects is None:
            return True
        return await self._first(caller, await self._known((user_id,), session_id)) is not None

    async def _first(self, caller: Caller, known: Sequence[tuple[SessionFacts, list[Glimpse]]]) -> OwnSession | None:
        """Return the first of these sessions that is there for a caller."""
        for facts, turns in known:
            view = show_session(facts, turns)
            if view is not None and caller.sees(view.session.project_id):
                previews = await self._turns.previews([view.speaking], PREVIEW_LENGTH) if view.speaking else {}
                return OwnSession(facts, turns, view.quoting(previews))
        return None

    async def _known(self, user_ids: Sequence[str], session_id: str) -> list[tuple[SessionFacts, list[Glimpse]]]:
        """Return what is known of each of these users' session of this id, with its turns."""
        turns, _ = await self._turns.session(user_ids, session_id)  # before what is stored: see history.py
        known = await self._opened(await self._queries.facts(user_ids, session_id))
        return [(facts, facts.kept(turns)) for facts in known]

    async def _opened(self, known: Sequence[SessionFacts]) -> list[SessionFacts]:
        """Add what openings are going to make of those sessions that are not stored."""
        unstored = [facts.key for facts in known if facts.stored is None and not facts.deleted]
        openings = await self._openings.find(unstored) if unstored else []
        by_key = {(opening.user_id, opening.session_id): opening for opening in openings}
        return [as_opened(facts, by_key[facts.key]) if facts.key in by_key else facts for facts in known]
