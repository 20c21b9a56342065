"""What becomes of a turn whose user says whether its calls may be made: it goes on, once, whoever says so how often."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.gateway.account.identity import Caller
from services.gateway.chat.memory import Memory
from services.gateway.helpers.configured import Helpers
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.tools.toolkit import Toolkit, TurnTools
from services.gateway.turns.call_parts import Part
from services.gateway.turns.consent import Consent, answered, asked_in, asking_turn, denied, is_past, settled, unsaid
from services.gateway.turns.here.buffer import TurnBuffer, replay
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.past.said import Glimpse, Said
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.waiting import Standing, WaitingTurns
from services.gateway.turns.turn import Turn
from shared.errors import Gone, NotFound, SessionBusy, ShuttingDown

READINGS = 5  # of a turn that others answer at the same time
PASSED = "This call was denied: the conversation went on without it."
ENDED = "This call was denied: its answer was stopped."
NOTHING = "Nothing is asked so in this session."
LATE = "Nobody has answered this in seven days, and it is too late now."


class Approving:
    """Answers what turns ask their user."""

    def __init__(
        self,
        owner: str,
        own: OwnSessions,
        store: TurnStore,
        waiting: WaitingTurns,
        *,
        runner: Runner,
        running: RunningTurns,
        memory: Memory,
        helpers: Helpers,
        toolkit: Toolkit,
    ) -> None:
        """Prepare to answer; `owner` is where other gateways find the turns that go on here."""
        self._owner = owner
        self._own = own
        self._store = store
        self._waiting = waiting
        self._runner = runner
        self._running = running
        self._memory = memory
        self._helpers = helpers
        self._toolkit = toolkit

    async def answer(
        self, caller: Caller, account: str, session_id: str | None, consents: Sequence[Consent]
    ) -> TurnBuffer:
        """Let a turn go on as its user wants; who says the same again follows what came of it, or hears it once more.

        Args:
            caller: Who says so.
            account: Whom the limits count it for.
            session_id: Of the session that the turn is in.
            consents: To one call of it, or to several.

        Raises:
            NotFound: Nothing is asked so in a session of the caller's.
            Gone: It was asked too long ago.
            ApprovalSettled: The opposite was said, or the conversation has gone on.
            SessionBusy: Others answer it at the same time, again and again.
        """
        for _ in range(READINGS):
            if self._runner.is_closing:
                raise ShuttingDown
            turn = await self._asking(caller, session_id, consents)
            if not asked_in(turn.parts_so_far).keys() >= {consent.approval_id for consent in consents}:
                await self._until_asked(turn)
                continue
            new = unsaid(turn.parts_so_far, consents)
            buffer = await (self._say(caller, account, turn, new) if new else self._tell(caller, account, turn))
            if buffer is not None:
                return buffer
        raise SessionBusy("others are answering this, too fast to follow")

    async def _asking(self, caller: Caller, session_id: str | None, consents: Sequence[Consent]) -> Turn:
        """Return the turn that asks, as far as its id says."""
        turn_id = asking_turn(consents[0].approval_id)
        turn = await self._store.find(turn_id) if turn_id else None
        if turn is not None and await self._is_theirs(caller, session_id, turn):
            return turn
        await self._own.find(caller, session_id or "")
        if turn is None and turn_id and is_past(turn_id, datetime.now(UTC)):
            raise Gone(LATE)
        raise NotFound(NOTHING)

    async def _until_asked(self, turn: Turn) -> None:
        """Wait for the end of a turn that may be about to ask: its user has read so before its row says it."""
        if turn.state != "running":
            raise NotFound(NOTHING)
        await self._wait(turn)

    async def _is_theirs(self, caller: Caller, session_id: str | None, turn: Turn) -> bool:
        if session_id is None or turn.session_id != session_id:
            return False
        is_owners = turn.user_id in await self._own.owners(caller, session_id)
        return is_owners and not await self._store.is_gone(turn.user_id, session_id)

    async def _say(self, caller: Caller, account: str, turn: Turn, new: Sequence[Consent]) -> TurnBuffer | None:
        """Say something to a turn that nobody has said before; None where it is to be read again."""
        if turn.state == "running":  # it has asked just now, and is about to end
            await self._wait(turn)
            return None
        if turn.state not in ("complete", "interrupted"):
            return self._denied(turn, account, new, ENDED)
        buffer = await self._go_on(caller, account, turn, answered(turn.parts_so_far, new))
        return buffer or await self._refuse(turn, account, new)

    async def _refuse(self, turn: Turn, account: str, new: Sequence[Consent]) -> TurnBuffer | None:
        standing = await self._waiting.standing(turn)
        if standing is Standing.LATE:
            raise Gone(LATE)
        if standing is not Standing.PASSED:
            return None
        closed = await self._waiting.close(turn, denied(turn.parts_so_far, PASSED))
        if closed is not None:
            self._runner.telling.tell(closed)
        return self._denied(closed or turn, account, new, PASSED)

    def _denied(self, turn: Turn, account: str, said: Sequence[Consent], because: str) -> TurnBuffer:
        """Tell of a turn whose calls are denied in any case, to who denies them, too."""
        if any(consent.approved for consent in said):
            raise settled(approved=False, because=because)
        return self._replay(turn, account)

    async def _tell(self, caller: Caller, account: str, turn: Turn) -> TurnBuffer | None:
        """Tell what came of what was said before, and see to it that something does."""
        if turn.state == "running":
            if turn.expired and self._running.here(turn) is None:
                await self._running.interrupt(turn)
                return None
            return self._running.follow(turn)
        if turn.state not in ("interrupted", "failed"):
            return self._replay(turn, account)
        # It is run again, as a turn is whose key comes again; to make a call again does nothing a second time.
        buffer = await self._go_on(caller, account, turn, turn.parts_so_far)
        return buffer or await self._refuse(turn, account, ())

    async def _go_on(self, caller: Caller, account: str, turn: Turn, parts: Sequence[Part]) -> TurnBuffer | None:
        history, session = await self._past(turn)
        tools = await self._tools(caller, account, turn, history)
        if turn.state == "complete":
            begun = await self._waiting.go_on(turn, parts, self._owner)
        else:
            begun = await self._waiting.run_again(turn, parts, self._owner)
        return self._runner.begin(begun, history, account, session, tools=tools) if begun else None

    async def _past(self, turn: Turn) -> tuple[Sequence[Said], Sequence[Glimpse]]:
        """Return what was said in the session, without this turn's answer, and the turns that are not stored yet."""
        known = await self._memory.of((turn.user_id,), turn.session_id, [turn.question.message_id])
        return [said for said in known.history if said.message_id != turn.answer_id], known.turns

    async def _tools(self, caller: Caller, account: str, turn: Turn, history: Sequence[Said]) -> TurnTools | None:
        instructed = self._helpers.instructed(turn.helper)
        tools = await self._toolkit.of_turn(caller, account, instructed, turn.session_id)
        earlier = await self._memory.calls(turn.user_id, turn.session_id, history)
        return replace(tools, earlier=earlier) if tools else None

    async def _wait(self, turn: Turn) -> None:
        if turn.expired and self._running.here(turn) is None:
            await self._running.interrupt(turn)
        else:
            await self._running.make_way(turn, "wait")

    def _replay(self, turn: Turn, account: str) -> TurnBuffer:
        return replay(turn, self._runner.room.hold(account))
