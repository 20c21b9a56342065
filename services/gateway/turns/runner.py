"""Run turns: ask the model, keep the answer, tell of both, and have the row kept while that lasts.

A turn is its own task: a caller that goes away ends nothing. ARCHITECTURE.md, "A turn", has the order of the steps
and what happens where one of them fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.gateway.model.upstreams import Upstreams
from services.gateway.turns.answering import Answering
from services.gateway.turns.buffer import TurnBuffer
from services.gateway.turns.conversation import conversation
from services.gateway.turns.keeper import Keeper
from services.gateway.turns.running import Running
from services.gateway.turns.said import Glimpse, Said, said_before, unite
from services.gateway.turns.store import Finish, TurnStore
from services.gateway.turns.turn import Answer, Turn
from shared.backoff import Delays
from shared.connection import describe
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.errors import BrokerAway, DatabaseAway, SessionBusy, TripthreadError
from shared.publisher import Publisher
from shared.settings import Settings

CONFIRM_WAIT_S = 2.0  # how long the closing part waits for the broker
FINISH_PATIENCE_S = 15.0  # how long the caller waits until the answer is kept
KEEP_EVERY_S = 2.0  # checkpoints of texts that have changed
DRAIN_S = 20.0
PUBLISH_DEADLINE_S = 60.0
TOLD_AT_ONCE = 2  # turns of somebody who did not tell of them

ENDED = Counter("tripthread_turns_ended_total", "Turns that ended here, by how", ["status"])
RUNNING = Gauge("tripthread_turns_running", "Turns that run in this gateway")

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Runner:
    """The turns that this gateway runs, and the worker that keeps their rows up to date."""

    def __init__(self, settings: Settings, store: TurnStore, publisher: Publisher, upstreams: Upstreams) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._upstreams = upstreams
        self.running = Running()
        self._buffers: dict[UUID, TurnBuffer] = {}  # of the turns that run here
        self._keeper = Keeper(store, self._buffers)
        self._answering: dict[UUID, asyncio.Task[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._published: list[tuple[UUID, int, str]] = []
        self._telling: set[tuple[UUID, int, str]] = set()  # answers being published, or published and not marked so yet
        self._reading = asyncio.Semaphore(TOLD_AT_ONCE)
        self._closing = asyncio.Event()
        RUNNING.set_function(lambda: len(self._buffers))

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def find(self, turn_id: UUID) -> TurnBuffer | None:
        """Return a turn that runs here."""
        return self._buffers.get(turn_id)

    def begin(self, turn: Turn, history: Sequence[Said], account: str = "") -> TurnBuffer:
        """Run a turn that was claimed; the model is told of its question's branch in `history`.

        `account` is whom the limits count it for.
        """
        buffer = TurnBuffer(turn)
        self._buffers[turn.turn_id] = buffer
        known = unite(said_before(turn), history) if turn.question.earlier else history
        messages = conversation(self._settings.system_prompt, known, buffer, self._settings.context_bytes)
        self.running.began(account)
        self._spawn(self._run(buffer, messages, account))
        return buffer

    def withdraw(self, turn_id: UUID, nonce: UUID) -> None:
        """Forget a claim that failed: it may have been committed all the same, and then nobody would run it."""
        self._spawn(self._withdraw(turn_id, nonce))

    def tell(self, turn: Turn) -> None:
        """Publish all that a turn said, in the stead of its owner; nothing where that is under way here."""
        if (turn.turn_id, turn.attempt, turn.state) not in self._telling:
            self._start_telling(turn, questions_too=True)

    def tell_untold(self, turn: Glimpse) -> None:
        """Do the same for a turn whose texts are not at hand; few of them are read at once, since they may be large."""
        attempt = (turn.turn_id, turn.attempt, turn.state)
        if attempt not in self._telling:
            self._telling.add(attempt)
            self._spawn(self._tell_read(attempt))

    async def _tell_read(self, attempt: tuple[UUID, int, str]) -> None:
        async with self._reading:
            try:
                turn = await self._store.find(*attempt)
            except DATABASE_ERRORS as error:
                log.warning("turn not told", turn_id=str(attempt[0]), error=describe(error))
                turn = None
            if turn is None:  # it has gone on, or whoever reads the session next tells of it
                self._telling.discard(attempt)
            else:
                await self._tell(turn, questions_too=True)

    def _start_telling(self, turn: Turn, *, questions_too: bool = False) -> asyncio.Task[None]:
        self._telling.add((turn.turn_id, turn.attempt, turn.state))
        return self._spawn(self._tell(turn, questions_too=questions_too))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that must not end with the request that began it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, buffer: TurnBuffer, messages: Sequence[dict[str, Any]], account: str) -> None:
        turn_id = buffer.turn.turn_id
        answering = Answering(self._upstreams, buffer, self._settings.model_answer_characters)
        calling = self._answering[turn_id] = asyncio.create_task(answering.run(messages))
        try:
            if await self._post(buffer):
                await asyncio.wait({calling})
                await self._end(buffer, answering.outcome(calling))
        except Exception:  # the task's boundary: its followers must hear of it
            log.exception("turn failed", turn_id=str(turn_id))
            buffer.fail(TripthreadError("Something went wrong on our side."))
        finally:
            self.running.ended(account)
            calling.cancel()
            if self._buffers.get(turn_id) is buffer:  # else another attempt has begun since this one was taken over
                del self._answering[turn_id], self._buffers[turn_id]

    async def _post(self, buffer: TurnBuffer) -> bool:
        """Publish the question; without it with the broker, nothing of the turn may be seen."""
        turn = buffer.turn
        try:
            await self._publish_questions(turn)
        except BrokerAway as error:
            if turn.attempt > 1:
                failed = Answer("", [], "failed", error=error.detail)
                await self._finish(buffer, Finish(turn.turn_id, turn.attempt, failed, question_published=False))
            buffer.fail(error)
            if turn.nonce is not None:
                await self._withdraw(turn.turn_id, turn.nonce)
            return False
        buffer.accept()
        return True

    async def _publish_questions(self, turn: Turn, deadline_s: float | None = None) -> None:
        for asked in (*turn.earlier(), turn):
            await self._publisher.publish(asked.posted(), deadline_s=deadline_s)

    async def _withdraw(self, turn_id: UUID, nonce: UUID) -> None:
        await _patiently(lambda: self._store.withdraw(turn_id, nonce))

    async def _end(self, buffer: TurnBuffer, answer: Answer) -> None:
        """Keep the answer, tell of it, and only then let the caller's stream close."""
        turn = await self._finish(buffer, Finish(buffer.turn.turn_id, buffer.turn.attempt, answer))
        if turn is None:
            buffer.fail(SessionBusy("this turn was taken over after its lease had passed"))
            return
        telling = self._start_telling(turn)
        if self._publisher.away is None:
            await asyncio.wait({telling}, timeout=CONFIRM_WAIT_S)
        buffer.end(turn)

    async def _finish(self, buffer: TurnBuffer, finish: Finish) -> Turn | None:
        """Keep the answer, however long the database takes; the caller is let go when it takes too long."""
        away = DatabaseAway("the answer is not kept yet: the database is away")
        letting_go = asyncio.get_running_loop().call_later(FINISH_PATIENCE_S, buffer.fail, away)
        try:
            turn = await _patiently(lambda: self._store.finish(finish))
            if turn is not None:
                ENDED.labels(turn.state).inc()
            return turn
        finally:
            letting_go.cancel()

    async def _tell(self, turn: Turn, *, questions_too: bool) -> None:
        """Publish the answer, however long the broker takes; until then the row holds it."""
        while True:
            try:
                if questions_too:
                    await self._publish_questions(turn, PUBLISH_DEADLINE_S)
                await self._publisher.publish(turn.answered(), deadline_s=PUBLISH_DEADLINE_S)
            except BrokerAway:
                if self.is_closing:
                    log.warning("answer not published", turn_id=str(turn.turn_id))
                    return
                continue
            self._published.append((turn.turn_id, turn.attempt, turn.state))
            return

    async def run(self) -> None:
        """Keep leases, texts and marks until `shut_down`; then let running turns end."""
        while not self.is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_EVERY_S):
                    await self._closing.wait()
            # All leases once more at the end: the time that turns are given then is nearly as long as one.
            await self._keeper.keep(renew_now=self.is_closing)
            await self._mark()
        await self._drain()

    def shut_down(self) -> None:
        self._closing.set()

    def fault(self) -> str | None:
        return None

    def __str__(self) -> str:
        return "turns"

    async def _mark(self) -> None:
        """Note in the rows which turns were told of since the last time."""
        marks = list(self._published)
        if not marks:
            return
        try:
            await self._store.mark_published(marks)
        except DATABASE_ERRORS as error:
            log.debug("turns not marked", error=str(error) or type(error).__name__)
            return
        del self._published[: len(marks)]
        self._telling.difference_update(marks)

    async def _drain(self) -> None:
        """Let the turns end by themselves for a while, then end those that have not."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_S)
        for calling in self._answering.values():
            calling.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CONFIRM_WAIT_S + 1)
        await self._keeper.keep()
        await self._mark()


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
