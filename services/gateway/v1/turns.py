"""Begin the turns that clients of OpenAI's ask for, whichever way they ask: which session, which claim, what is told.

A turn is one like any other, whose model is told what its client sends, and not what we know; but of a response that
goes on from another it is told what led to that.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from services.gateway.account.identity import Caller
from services.gateway.account.projects import key_within, project_of_new
from services.gateway.chat.memory import Memory, Remembered, recall
from services.gateway.http.held.shares import Shares
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.histories import Message
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.past.said import newest
from services.gateway.turns.running import OnBusy
from services.gateway.turns.starting import StaleHistory, TurnStarter, until_fresh
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.weight import bytes_of
from services.gateway.v1.past.joining import Joining
from services.gateway.v1.past.previous import Previous, PreviousTurns
from services.gateway.v1.past.response_readings import ResponseReadings
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.beginning import Beginning, sent_key
from services.gateway.v1.reading.response_input import Item
from services.gateway.v1.reading.response_request import NoSuchPrevious, response_id, turn_of_item
from services.gateway.v1.told.response_shape import items_of
from services.gateway.v1.told.wording import Begun, Wording
from shared.database import DATABASE_ERRORS
from shared.errors import NotFound, SessionBusy, TripthreadError
from shared.ids import new_id
from shared.settings import Settings


class V1Turns:
    """Which turn answers a request of OpenAI's clients."""

    def __init__(
        self,
        settings: Settings,
        turns: TurnStarter,
        store: TurnStore,
        memory: Memory,
        *,
        joining: Joining,
        previous: PreviousTurns,
        responses: ResponseReadings,
        room: Shares,
        recent: RecentSessions,
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._store = store
        self._memory = memory
        self._joining = joining
        self._previous = previous
        self._responses = responses
        self._room = room
        self._recent = recent

    async def begin(self, beginning: Beginning, wording: Wording) -> Begun:
        """Begin the turn, or find the one that this request repeats.

        Raises:
            Refused, Away: It can't be served.
        """
        asked = beginning.asked
        if asked.previous is not None:
            return await until_fresh(lambda: self._try_to_go_on(beginning, wording))
        if asked.naming.session_id is None and asked.conversation.continues is not None:
            with suppress(NotFound, SessionBusy):  # it is another's, or others were quicker: a session of its own
                return await until_fresh(lambda: self._try_to_join(beginning, wording))
        return await until_fresh(lambda: self._try_to_begin(beginning, wording))

    async def items(self, names: Collection[str], caller: Caller) -> dict[str, Item]:
        """Return those items of the caller's responses that have these ids; withheld ones have none."""
        turns = {turn_id for name in names if (turn_id := turn_of_item(name)) is not None}
        kept = await self._responses.answers(caller.user_ids, list(turns))
        items = [item for each in kept if caller.sees(each.project_id) for item in items_of(each.turn_id, each.answer)]
        return {item["id"]: item for item in items}

    async def _try_to_join(self, beginning: Beginning, wording: Wording) -> Begun:
        """Go on in the session whose last answer is where the history ends.

        Raises:
            NotFound: There is none.
            SessionBusy: It is being spoken in.
        """
        asked, caller = beginning.asked, beginning.caller
        if asked.naming.is_retry and await self._sent_before(asked, caller, caller.user_id) is not None:
            raise NotFound  # it is known by its key
        joined = await self._joining.session(caller.user_id, asked.conversation.continues or "")
        if joined is None:
            raise NotFound
        remembered = await self._remember(joined.session_id, caller)
        if remembered.known_until != joined.known_until:
            raise StaleHistory
        return await self._start(beginning, wording, remembered, joined.session_id, joined.last_id, on_busy="reject")

    async def _try_to_begin(self, beginning: Beginning, wording: Wording) -> Begun:
        session_id = beginning.asked.naming.session_id
        remembered = await self._remember(session_id, beginning.caller)
        return await self._start(beginning, wording, remembered, session_id, newest(remembered.history))

    async def _try_to_go_on(self, beginning: Beginning, wording: Wording) -> Begun:
        """Go on from the answer of another turn, which need not be the newest of its session.

        Raises:
            NoSuchPrevious: There is none.
            Invalid: It is of another session than the one that is named, or called none of the tools that answer.
            ContextTooLong: It did, and does not fit.
            SessionBusy: It is being answered.
        """
        asked, caller = beginning.asked, beginning.caller
        previous = await self._previous.find(caller, asked.previous) if asked.previous else None
        if previous is None:
            raise _no_such(asked)
        try:
            remembered = await self._memory.of(
                [previous.user_id], previous.session_id, about=[previous.last_id], projects=caller.projects
            )
        except NotFound as error:  # it is of a project that the caller does not see, or was just deleted
            raise _no_such(asked) from error
        _refuse_elsewhere(asked, previous)
        told = await self._previous.messages(previous, remembered, self._room_before(beginning), asked.results)
        return await self._start(beginning, wording, remembered, previous.session_id, previous.last_id, before=told)

    def _room_before(self, beginning: Beginning) -> float:
        """Return how many bytes of what was said before the model may be told."""
        settings, asked = self._settings, beginning.asked
        by_tokens = settings.context_tokens * settings.bytes_per_token
        room = beginning.model.context_bytes or by_tokens
        return min(settings.context_bytes, room - asked.naming.size)

    async def _start(
        self,
        beginning: Beginning,
        wording: Wording,
        remembered: Remembered,
        session_id: str | None,
        parent_id: str | None,
        *,
        before: Sequence[Message] = (),
        on_busy: OnBusy | None = None,
    ) -> Begun:
        """Claim the turn.

        Args:
            beginning: What is asked, and by whom.
            wording: In whose words it is answered.
            remembered: What is known of the session.
            session_id: Which; none: a new one.
            parent_id: What the first new message replies to.
            before: What the model is told beside what was sent.
            on_busy: What becomes of another turn of the session.
        """
        asked, caller = beginning.asked, beginning.caller
        kept = remembered.kept or Kept(project_of_new(caller.projects, asked.naming.project_id))
        key = await self._key(asked, caller, kept, remembered.user_id)
        claim = beginning.claim(
            remembered, session_id, parent_id=parent_id, kept=kept, key=key, owner=self._settings.reachable_at
        )
        size = asked.naming.size + bytes_of(message["content"] or "" for message in before)
        messages = [*asked.prompt, *before, *asked.conversation.messages]
        retold = wording.retold(asked, messages, size)
        with self._room.held(beginning.account, 2 * size):
            start = partial(
                self._turns.start, claim, remembered.history, remembered.turns, on_busy=on_busy, retold=retold
            )
            buffer = await (start() if asked.stores else self._withheld(claim, start))
        is_ours = buffer.retold is retold
        is_known = is_ours and (session_id is None or remembered.is_recalled)
        return Begun(asked, buffer, retold if is_ours else None, remembered.tag, is_known)

    async def _withheld(self, claim: Claim, start: Callable[[], Awaitable[TurnBuffer]]) -> TurnBuffer:
        """Withhold a turn before it begins: so nobody can ask for it, whatever fails then."""
        await self._responses.withhold(claim.user_id, claim.session_id, claim.turn_id)
        try:
            buffer = await start()
        except TripthreadError:
            await self._forget(claim)
            raise
        if buffer.turn.turn_id != claim.turn_id:  # it repeats one, which was withheld as well
            await self._forget(claim)
        return buffer

    async def _forget(self, claim: Claim) -> None:
        with suppress(*DATABASE_ERRORS):  # what is left then does no harm
            await self._responses.forget_unbegun(claim.user_id, claim.turn_id)

    async def _remember(self, session_id: str | None, caller: Caller) -> Remembered:
        """Return the session that is meant, and what its next message replies to."""
        if session_id is None:
            return Remembered(caller.user_id, [])
        known = recall(self._recent, caller, session_id)
        return known or await self._memory.of(caller.user_ids, session_id, projects=caller.projects)

    async def _key(self, asked: Asked, caller: Caller, kept: Kept, owner: str) -> str | None:
        """Return what makes a repeat the same turn: the caller's key, or what a retry finds its first try by."""
        if asked.naming.key is not None:
            return key_within(caller.projects, kept.project_id, f"v1:key:{asked.naming.key}")
        before = await self._sent_before(asked, caller, owner) if asked.naming.is_retry else None
        return before or f"{sent_key(asked)}{new_id()}"

    async def _sent_before(self, asked: Asked, caller: Caller, owner: str) -> str | None:
        """Return the key of the turn of this owner that a retry is about; None where its first try began none.

        The session is part of it: it may be named by a header, beside which equal bodies are sent to several sessions.
        """
        return await self._store.sent_before(owner, sent_key(asked), asked.naming.session_id, caller.projects)


def _no_such(asked: Asked) -> NoSuchPrevious:
    return NoSuchPrevious(response_id(asked.previous) if asked.previous else "")


def _refuse_elsewhere(asked: Asked, previous: Previous) -> None:
    """Refuse to go on in another session than the one that is named, or from what is still being answered."""
    if asked.naming.session_id not in (None, previous.session_id):
        raise refused_field("previous_response_id", "is of another session than the one that is named")
    if previous.is_running:
        raise SessionBusy("the previous response is being answered")
