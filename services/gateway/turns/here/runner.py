"""Run turns: ask the model, keep the answer, tell of both, and have the row kept while that lasts.

A turn is its own task: a caller that goes away ends nothing. ARCHITECTURE.md, "A turn", has the order of the steps
and what happens where one of them fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.gateway.model.asking.upstreams import Upstreams
from services.gateway.model.configured.catalog import NO_PARAMETERS
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.conversation import conversation
from services.gateway.turns.here.counts import TurnCounts
from services.gateway.turns.here.instructed import Instructing, filled, nobody, prompt
from services.gateway.turns.here.keeper import Keeper
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.here.rounds import Limits, Rounds
from services.gateway.turns.offered import Tools
from services.gateway.turns.past.said import Glimpse, Said, said_before, unite
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.told.telling import NOTE_EVERY_S, Telling, has_asked, has_told
from services.gateway.turns.turn import Answer, Turn
from services.gateway.turns.weight import question_bytes, turn_room
from shared.backoff import Delays
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.errors import DatabaseAway, SessionBusy, TripthreadError
from shared.publishing.publisher import Publisher
from shared.settings import Settings

CONFIRM_WAIT_S = 2.0  # how long the closing part waits for the broker
FINISH_PATIENCE_S = 15.0  # how long the caller waits until the answer is kept
KEEP_EVERY_S = NOTE_EVERY_S  # checkpoints of texts that have changed
DRAIN_S = 20.0

ENDED = Counter("tripthread_turns_ended_total", "Turns that ended here, by how", ["status"])
_ended = cache(ENDED.labels)  # which are looked up anew by the library each time
RUNNING = Gauge("tripthread_turns_running", "Turns that run in this gateway")

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


@dataclass
class _Call:
    """The asking of the model, for one attempt."""

    answering: Answering | Rounds
    task: asyncio.Task[Answer]
    asking: asyncio.Task[bool]  # publishes the question
    # The turn with its answer, once the row has it; None where it got another, or none.
    kept: asyncio.Future[Turn | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Runner:
    """The turns that this gateway runs, and the worker that keeps their rows up to date."""

    def __init__(
        self,
        settings: Settings,
        store: TurnStore,
        outbox: Outbox,
        publisher: Publisher,
        upstreams: Upstreams,
        *,
        instructing: Instructing = nobody,
    ) -> None:
        """Prepare to run turns; `instructing` says what the model is told by a session's helper."""
        self.heard_by: Callable[[Turn], None] | None = None  # is told of each turn that has ended, after its caller
        self._settings = settings
        self._instructing = instructing
        self._store = store
        self._upstreams = upstreams
        self._limits = Limits.of(settings)
        self.counts = TurnCounts()
        self.recent = RecentSessions()
        self.room = turn_room(settings)
        self._buffers: dict[UUID, TurnBuffer] = {}  # of the turns that run here
        self._keeper = Keeper(store, self._buffers, self._let_go)
        self._calls: dict[UUID, _Call] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()
        self.telling = Telling(store, outbox, publisher, self._spawn)
        RUNNING.set_function(lambda: len(self._buffers))

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def find(self, turn_id: UUID, attempt: int) -> TurnBuffer | None:
        """Return the buffer of an attempt that runs here."""
        buffer = self._buffers.get(turn_id)
        return buffer if buffer is not None and buffer.turn.attempt == attempt else None

    def begin(
        self,
        turn: Turn,
        history: Sequence[Said],
        account: str = "",
        session: Sequence[Glimpse] = (),
        retold: Retold | None = None,
        *,
        is_tagged: bool = False,
        tools: Tools | None = None,
    ) -> TurnBuffer:
        """Run a turn that was claimed.

        Args:
            turn: Which.
            history: The model is told of the question's branch in it.
            account: Whom the limits count it for.
            session: The turns of its session that are not stored yet.
            retold: What the client brings that is to be told in OpenAI's words: it says what the model is told.
            is_tagged: Its session has its tag.
            tools: What the model may call.
        """
        buffer = TurnBuffer(turn, self.room.hold(account))
        buffer.holding.add(question_bytes(turn.question))
        if turn.partial_parts:  # which it takes over
            buffer.catch_up(turn.partial_parts)
        self._buffers[turn.turn_id] = buffer
        if retold is None:
            messages, parameters = self._told(buffer, history, tools)
        else:
            messages, parameters = retold.messages, NO_PARAMETERS
            buffer.retold = retold
            retold.hold_in(buffer.holding)
        self.counts.began(account)
        answering = self._answering(buffer, parameters, tools)
        asking = self.telling.ask(turn, session, is_tagged=is_tagged)
        call = _Call(answering, asyncio.create_task(answering.run(messages)), asking)
        self._calls[turn.turn_id] = call
        self._spawn(self._run(buffer, call, account))
        return buffer

    def _answering(self, buffer: TurnBuffer, parameters: Mapping[str, Any], tools: Tools | None) -> Answering | Rounds:
        """Prepare to answer: by one call of the model, where nothing else is to be done or was."""
        if not buffer.turn.partial_parts and (tools is None or not tools.definitions):
            return Answering(self._upstreams, buffer, self._limits.characters, parameters)
        keep = partial(self._keep_calls, buffer)
        return Rounds(self._upstreams, buffer, self._limits, parameters, tools=tools, keep=keep)

    def _told(
        self, buffer: TurnBuffer, history: Sequence[Said], tools: Tools | None
    ) -> tuple[Sequence[dict[str, Any]], Mapping[str, Any]]:
        """Return what the model is told by the session, and the parameters of the helper that answers."""
        turn = buffer.turn
        known = unite(said_before(turn), history) if turn.question.earlier else history
        told = self._instructing(turn.helper)
        first = prompt(self._settings.system_prompt, filled(told.instructions, turn, tools))
        earlier = tools.earlier if tools is not None else {}
        room = self._room_of(turn.model)
        messages = conversation(first, known, buffer, self._settings.context_bytes, room, earlier=earlier)
        return messages, told.parameters

    def _room_of(self, model: str) -> float:
        """Return how many bytes of text a request to this model may have."""
        configured = self._upstreams.catalog.find(model)
        by_tokens = self._settings.context_tokens * self._settings.bytes_per_token
        return (configured and configured.context_bytes) or by_tokens

    def withdraw(self, turn_id: UUID, nonce: UUID) -> None:
        """Forget a claim that failed: it may have been committed all the same, and then nobody would run it."""
        self._spawn(self._withdraw(turn_id, nonce))

    async def stop(self, turn: Turn) -> Turn | None:
        """End this attempt with the text that it has, and return the turn as it was kept.

        Returns:
            None where it does not run here (any more).
        """
        if self.find(turn.turn_id, turn.attempt) is None:
            return None
        call = self._calls[turn.turn_id]
        call.answering.stop()
        call.task.cancel()
        return await asyncio.shield(call.kept)

    def _let_go(self, turn_id: UUID, attempt: int) -> None:
        """Ask the model no more for an attempt that was ended elsewhere."""
        if self.find(turn_id, attempt) is not None:
            self._calls[turn_id].task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run something that must not end with the request that began it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, buffer: TurnBuffer, call: "_Call", account: str) -> None:
        turn_id = buffer.turn.turn_id
        try:
            await over(call.task)
            await self._end(buffer, call)
        except Exception:  # the task's boundary: its followers must hear of it
            log.exception("turn failed", turn_id=str(turn_id))
            buffer.fail(TripthreadError("Something went wrong on our side."))
        finally:
            self.counts.ended(account)
            buffer.leave()
            call.task.cancel()
            call.asking.cancel()
            if not call.kept.done():
                call.kept.set_result(None)
            if self._buffers.get(turn_id) is buffer:  # else another attempt has begun since this one was taken over
                del self._calls[turn_id], self._buffers[turn_id]

    async def _keep_calls(self, buffer: TurnBuffer, rounds: Sequence[dict[str, Any]]) -> bool:
        return await _patiently(lambda: self._keeper.keep_calls(buffer, rounds))

    async def _withdraw(self, turn_id: UUID, nonce: UUID) -> None:
        await _patiently(lambda: self._store.withdraw(turn_id, nonce))

    async def _end(self, buffer: TurnBuffer, call: "_Call") -> None:
        """Keep the answer, tell of it, and only then let the caller's stream close."""
        answer = call.answering.outcome(call.task)
        self.telling.ask_now(buffer.turn.turn_id)
        finish = Finish(buffer.turn, answer, has_asked(call.asking), counts=buffer.turn.counted is not None)
        turn = await self._finish(buffer, finish)
        turn = turn or await self._lengthened(buffer, answer)
        call.kept.set_result(turn)
        if turn is None:
            await self._end_otherwise(buffer)
            return
        telling = self.telling.tell(turn, call.asking)
        await asyncio.wait({telling}, timeout=CONFIRM_WAIT_S)  # not at all where the broker is known to be away
        if has_told(telling):
            self.recent.ended(turn)
        buffer.end(turn)
        if self.heard_by is not None:
            self.heard_by(turn)

    async def _lengthened(self, buffer: TurnBuffer, answer: Answer) -> Turn | None:
        """Keep the text that its readers have of a turn that was stopped by its row, which knew a checkpoint of it."""
        longer = replace(answer, status="stopped", error=None, revision=answer.revision + 1)
        return await _patiently(lambda: self._store.lengthen(buffer.turn, longer))

    async def _end_otherwise(self, buffer: TurnBuffer) -> None:
        """End as another gateway has ended this attempt, which then tells of it, too."""
        turn = await _patiently(lambda: self._store.find(buffer.turn.turn_id))
        if turn is not None and turn.attempt == buffer.turn.attempt and turn.answer is not None:
            buffer.end(turn)
        else:
            buffer.fail(SessionBusy("this turn was taken over after its lease had passed"))

    async def _finish(self, buffer: TurnBuffer, finish: Finish) -> Turn | None:
        """Keep the answer, however long the database takes; the caller is let go when it takes too long."""
        away = DatabaseAway("the answer is not kept yet: the database is away")
        letting_go = asyncio.get_running_loop().call_later(FINISH_PATIENCE_S, buffer.fail, away)
        try:
            turn = await _patiently(lambda: self._store.finish(finish))
            if turn is not None:
                _ended(turn.state).inc()
            return turn
        finally:
            letting_go.cancel()

    async def run(self) -> None:
        """Keep leases, texts and marks until `shut_down`; then let running turns end."""
        while not self.is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_EVERY_S):
                    await self._closing.wait()
            # All leases once more at the end: the time that turns are given then is nearly as long as one.
            await self._keeper.keep(renew_now=self.is_closing)
            await self.telling.note()
        await self._drain()

    def shut_down(self) -> None:
        self._closing.set()

    def fault(self) -> str | None:
        return None

    def __str__(self) -> str:
        return "turns"

    async def _drain(self) -> None:
        """Let the turns end by themselves for a while, then end those that have not."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_S)
        for call in self._calls.values():
            call.task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CONFIRM_WAIT_S + 1)
        await self._keeper.keep()
        await self.telling.note(at_once=True)


async def over(task: asyncio.Task[Any]) -> None:
    """Wait until a task is over, however it ends: as `asyncio.wait` does, which takes as long as a task."""
    try:
        await task
    except (Exception, asyncio.CancelledError):
        waiter = asyncio.current_task()
        if not task.done() or (waiter is not None and waiter.cancelling()):
            raise


async def _patiently(write: Callable[[], Awaitable[Result]]) -> Result:
    """Write until the database has it: its errors may be over by themselves, or by an operator's hand."""
    delays = Delays()
    while True:
        try:
            return await write()
        except DATABASE_ERRORS as error:
            if fault_of(error) is Fault.MESSAGE:
                raise
            log.warning("turn not written yet", error=describe(error))
            await asyncio.sleep(delays.next())
