"""What was said in a session, stored or not: which messages are in a window, where each is, and what they say."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.messages.pages import (
    PAGE_BYTES,
    Listed,
    Window,
    choose_page,
    shortened,
    sized,
    unite,
)
from services.gateway.sessions.messages.queries import MessageQueries
from services.gateway.sessions.own_session import OwnSession
from services.gateway.turns.past.history import HistoryMessage, merge_history
from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.readings import NEWEST, TurnReadings

# A page needs one message more than it shows; and of the turns read for it some may have only their edges in it.
EDGES = 8
LONGEST_PAGE = 1000
# What is read where all is asked for: a client that knows no pages shows nothing of what is beyond.
MOST_AT_ONCE = 5000
MOST_BYTES = 64 * 2**20

Lane = Callable[[], AbstractAsyncContextManager[None]]
Shown = Callable[[HistoryMessage, Feedback | None], bytes]  # spells a message with what its user thinks of it


@dataclass(frozen=True)
class Conversation:
    """Reads it piece by piece."""

    turns: TurnReadings
    queries: MessageQueries

    async def page(self, own: OwnSession, window: Window, limit: int) -> tuple[list[Listed], bool]:
        """Choose the messages of the page, and tell whether there are more."""
        turns = await self._turns_in(own, window, limit + EDGES)  # before what is stored: see history.py
        stored = await self.queries.listed(own.user_id, own.facts.session_id, window, limit + 1)
        said_by = ((said, turn.turn_id) for turn in turns for said in turn.said())
        unstored = [Listed(said.message_id, said.created_at, turn_id=turn_id) for said, turn_id in said_by]
        page, has_more = choose_page(unite(unstored, stored), window, limit)
        from_its_end = page if window.oldest_first else page[::-1]
        speaking = list(dict.fromkeys(listed.turn_id for listed in from_its_end if listed.turn_id is not None))
        sizes = await self.turns.sizes(speaking, PAGE_BYTES) if speaking else {}
        page, is_shorter = shortened(sized(page, sizes), window)
        return page, has_more or is_shorter

    async def whole(self, own: OwnSession, window: Window, lane: Lane) -> tuple[list[Listed], bool]:
        """Choose page after page, up to `MOST_AT_ONCE` and about `MOST_BYTES`, and tell whether there are more.

        Each page has a lane of its caller's own, so that others of theirs come between.
        """
        found: list[Listed] = []
        left, has_more = MOST_BYTES, True
        while has_more and left > 0 and len(found) < MOST_AT_ONCE:
            async with lane():
                page, has_more = await self.page(own, window, min(LONGEST_PAGE, MOST_AT_ONCE - len(found)))
            found = [*found, *page] if window.oldest_first else [*page, *found]
            window = window.beyond(page)
            left -= sum(listed.size for listed in page)
        return found, has_more

    async def written(self, own: OwnSession, piece: Sequence[Listed], spell: Shown, between: bytes = b",") -> bytes:
        """Read messages, and spell them; one that has gone meanwhile, or that is spelled by nothing, is left out."""
        speaking = list({listed.turn_id for listed in piece if listed.turn_id is not None})
        ids = [listed.message_id for listed in piece]
        turns = await self.turns.whole(speaking) if speaking else []
        session = own.user_id, own.facts.session_id
        stored = await self.queries.said(*session, piece)  # those of turns too: they may be stored by now
        feedback = await self.queries.feedback(*session, ids)
        by_id = {shown.message_id: shown for shown in merge_history(stored, turns)}
        spelled = (spell(by_id[each], feedback.get(each)) for each in ids if each in by_id)
        return between.join(filter(None, spelled))

    async def place_of(self, own: OwnSession, message_id: str) -> Place | None:
        """Find a message's place in the session; None where it is none of its messages."""
        session = own.user_id, own.facts.session_id
        place = _place_in(own.turns, message_id) or await self.queries.place_of(*session, message_id)
        if place is None and len(own.turns) >= NEWEST:
            place = _place_in(await self.turns.saying(*session, message_id), message_id)
        return place

    async def _turns_in(self, own: OwnSession, window: Window, limit: int) -> Sequence[Glimpse]:
        """Return the turns that may be shown; of a long session those that were read already may be too new for it."""
        if len(own.turns) < NEWEST:
            return own.turns
        after, before = (place and place[0] for place in (window.after, window.before))
        turns = await self.turns.said_between(
            own.user_id, own.facts.session_id, after, before, limit, oldest_first=window.oldest_first
        )
        return own.facts.kept(turns)


def _place_in(turns: Iterable[Glimpse], message_id: str) -> Place | None:
    told = (said for turn in turns for said in turn.said())
    return next((said.place for said in told if said.message_id == message_id), None)
