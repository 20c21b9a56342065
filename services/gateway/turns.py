"""Run turns: claim the session, ask the model, keep the answer, tell of both.

A turn is its own task: a caller that goes away ends nothing. ARCHITECTURE.md, "A turn", has the order of the steps
and what happens where one of them fails.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

import stamina
import structlog

from services.gateway.answering import Answering, conversation
from services.gateway.claims import Claim, Lost
from services.gateway.history import Shown, merge_history
from services.gateway.running import Running
from services.gateway.store import Finish, Store
from services.gateway.turn import Answer, Turn
from services.gateway.upstream import Upstream
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.errors import BrokerAway, Conflict, DatabaseAway, Invalid, SessionBusy, ShuttingDown
from shared.publisher import Publisher
from shared.settings import Settings

CONFIRM_WAIT_S = 2.0  # how long the closing part waits for the broker
FINISH_PATIENCE_S = 15.0  # how long the caller waits until the answer is kept
KEEP_EVERY_S = 2.0  # checkpoints of partial text
RENEW_EVERY_S = 10.0  # leases of turns whose text has not changed
DRAIN_S = 20.0
PUBLISH_DEADLINE_S = 60.0

log = structlog.get_logger(__name__)


def _may_pass(error: Exception) -> bool:
    """Tell whether a database error may be over by itself, or by an operator's hand."""
    return fault_of(error) in (Fault.TRANSIENT, Fault.INSTALLATION)


_patiently = stamina.retry(on=_may_pass, attempts=None, timeout=None, wait_max=3.0)


class StaleHistory(Conflict):
    """More was said in this session in the meantime."""


class Turns:
    """The turns that this gateway runs."""

    def __init__(self, settings: Settings, store: Store, publisher: Publisher, upstream: Upstream) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._upstream = upstream
        self._running: dict[UUID, Running] = {}
        self._answering: dict[UUID, asyncio.Task[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._published: list[tuple[UUID, int]] = []
        self._closing = asyncio.Event()

    async def start(self, claim: Claim, history: Sequence[Shown], *, again: bool = False) -> Running:
        """Claim the session and begin to answer; a repeat joins, replays or begins again the turn it repeats.

        Args:
            claim: What to answer, and where.
            history: What the claimant knows of the session; the model is told of its question's branch.
            again: The question is there already, so a turn that is answering in this session will do.

        Raises:
            StaleHistory: More was said in the session since the claimant read it: read it again.
            SessionBusy: The session is answering something else.
            Invalid: The key was used for another request.
            BrokerAway, ShuttingDown: Nothing can be accepted now.
        """
        if self._closing.is_set():
            raise ShuttingDown
        if self._publisher.away is not None:
            raise BrokerAway(f"the message broker is away: {self._publisher.away}")
        turn = await self._claim(claim)
        return self._begin(turn, history) if turn else await self._resolve(claim, history, again=again)

    def running_of(self, user_id: str) -> int:
        """Count this user's turns that run here."""
        return sum(running.turn.user_id == user_id for running in self._running.values())

    async def _claim(self, claim: Claim) -> Turn | None:
        try:
            turn = await self._store.claim(claim)
        except DATABASE_ERRORS:
            # It may have been committed all the same, and then nobody would run it.
            self._spawn(self._withdraw(claim.turn_id, claim.correlation_id))
            raise
        if turn is Lost.STALE:
            raise StaleHistory
        return turn if isinstance(turn, Turn) else None

    async def _resolve(self, claim: Claim, history: Sequence[Shown], *, again: bool) -> Running:
        """Find what the claim ran into, and do what a repeat of that turn asks for."""
        known = await self._store.by_key(claim.user_id, claim.key) if claim.key else None
        if known is not None:
            return await self._repeat(known, claim, history)
        busy = await self._store.running(claim.user_id, claim.session_id)
        if busy is None:
            raise StaleHistory  # it has ended in the meantime, so there is more to know
        if busy.expired:
            await self._take_over(busy)
            raise StaleHistory
        if again and claim.key is None and busy.turn_id in self._running:
            return self._running[busy.turn_id]
        raise SessionBusy(turn_id=str(busy.turn_id))

    async def _repeat(self, known: Turn, claim: Claim, history: Sequence[Shown]) -> Running:
        if known.body_hash != claim.body_hash:
            raise Invalid("this Idempotency-Key was used for another request")
        if known.expired:
            known = await self._take_over(known) or known
        if known.state == "running":
            running = self._running.get(known.turn_id)
            if running is None:
                raise SessionBusy("this turn is being answered by another gateway", turn_id=str(known.turn_id))
            return running
        if known.state in ("failed", "interrupted"):
            return await self._run_again(known, claim.owner, history)
        return _replay(known)

    async def _run_again(self, known: Turn, owner: str, history: Sequence[Shown]) -> Running:
        """Begin another attempt, once what the last one said is with the broker: the row can hold one answer only."""
        await self._publisher.publish(known.posted())
        await self._publisher.publish(known.answered())
        again = await self._store.rerun(known, owner)
        if again is None:
            raise SessionBusy
        return self._begin(again, [shown for shown in history if shown.message_id != known.answer_id])

    async def _take_over(self, expired: Turn) -> Turn | None:
        """End a turn whose owner is gone, and tell of it in its stead."""
        turn = await self._store.interrupt_expired(expired)
        if turn is not None:
            self._spawn(self._tell(turn, question_too=True))
        return turn

    def _begin(self, turn: Turn, history: Sequence[Shown]) -> Running:
        running = Running(turn)
        self._running[turn.turn_id] = running
        messages = conversation(self._settings.system_prompt, merge_history(history, turn.earlier()), running)
        self._spawn(self._run(running, messages))
        return running

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that must not end with the request that began it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, running: Running, messages: Sequence[dict[str, Any]]) -> None:
        turn = running.turn
        try:
            answering = Answering(self._upstream, running)
            asking = asyncio.create_task(answering.run(messages))
            self._answering[turn.turn_id] = asking
            if not await self._post(running):
                asking.cancel()
                return
            await asyncio.wait({asking})
            await self._end(running, answering.outcome(asking))
        except Exception as error:  # the task's boundary: its followers must hear of it
            log.exception("turn failed", turn_id=str(turn.turn_id))
            running.fail(error)
        finally:
            self._answering.pop(turn.turn_id, None)
            self._running.pop(turn.turn_id, None)

    async def _post(self, running: Running) -> bool:
        """Publish the question; without it with the broker, nothing of the turn may be seen."""
        turn = running.turn
        try:
            for asked in (*turn.earlier(), turn):
                await self._publisher.publish(asked.posted())
        except BrokerAway as error:
            if turn.attempt > 1:
                failed = Answer("", [], "failed", error=error.detail)
                await self._finish(running, Finish(turn.turn_id, turn.attempt, failed, question_published=False))
            running.fail(error)
            await self._withdraw(turn.turn_id, turn.correlation_id)
            return False
        running.accept()
        return True

    @_patiently
    async def _withdraw(self, turn_id: UUID, correlation_id: UUID) -> None:
        await self._store.withdraw(turn_id, correlation_id)

    async def _end(self, running: Running, answer: Answer) -> None:
        """Keep the answer, tell of it, and only then let the caller's stream close."""
        turn = await self._finish(running, Finish(running.turn.turn_id, running.turn.attempt, answer))
        if turn is None:
            running.fail(SessionBusy("this turn was taken over after its lease had passed"))
            return
        telling = self._spawn(self._tell(turn))
        if self._publisher.away is None:
            await asyncio.wait({telling}, timeout=CONFIRM_WAIT_S)
        running.end(turn)

    async def _finish(self, running: Running, finish: Finish) -> Turn | None:
        """Keep the answer, however long the database takes; the caller is let go when it takes too long."""
        away = DatabaseAway("the answer is not kept yet: the database is away")
        letting_go = asyncio.get_running_loop().call_later(FINISH_PATIENCE_S, running.fail, away)
        try:
            return await self._keep_answer(finish)
        finally:
            letting_go.cancel()

    @_patiently
    async def _keep_answer(self, finish: Finish) -> Turn | None:
        return await self._store.finish(finish)

    async def _tell(self, turn: Turn, *, question_too: bool = False) -> None:
        """Publish the answer, however long the broker takes; until then the row holds it."""
        while True:
            try:
                if question_too:
                    await self._publisher.publish(turn.posted(), deadline_s=PUBLISH_DEADLINE_S)
                await self._publisher.publish(turn.answered(), deadline_s=PUBLISH_DEADLINE_S)
            except BrokerAway:
                if self._closing.is_set():
                    log.warning("answer not published", turn_id=str(turn.turn_id))
                    return
                continue
            self._published.append((turn.turn_id, turn.attempt))
            return

    async def run(self) -> None:
        """Keep leases, checkpoints and marks until `stop`; then let running turns end."""
        renewed = asyncio.get_running_loop().time()
        kept: dict[UUID, int] = {}
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(KEEP_EVERY_S):
                    await self._closing.wait()
            except TimeoutError:
                pass
            now = asyncio.get_running_loop().time()
            renew = now - renewed >= RENEW_EVERY_S
            renewed = now if renew else renewed
            kept = await self._keep(kept, renew_all=renew)
        await self._drain()

    def stop(self) -> None:
        self._closing.set()

    def fault(self) -> str | None:
        return None

    def __str__(self) -> str:
        return "turns"

    async def _keep(self, kept: dict[UUID, int], *, renew_all: bool) -> dict[UUID, int]:
        """Checkpoint what has changed since `kept` (turn to number of pieces), and mark what is published."""
        now = {turn_id: len(running.deltas) for turn_id, running in self._running.items()}
        rows = [
            (turn_id, running.turn.attempt, running.text, running.is_accepted)
            for turn_id, running in self._running.items()
            if renew_all or kept.get(turn_id) != now[turn_id]
        ]
        marks, self._published = self._published, []
        try:
            if rows:
                await self._store.keep(rows)
            if marks:
                await self._store.mark_published(marks)
        except DATABASE_ERRORS as error:
            log.warning("checkpoint failed", error=str(error))
            self._published = [*marks, *self._published]
        return now

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_S)
        for asking in self._answering.values():
            asking.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CONFIRM_WAIT_S + 1)
        await self._keep({}, renew_all=False)


def _replay(turn: Turn) -> Running:
    """Make a buffer of a turn that has ended, for a repeat of its request."""
    running = Running(turn)
    running.accept()
    if turn.answer is not None and turn.answer.content:
        running.add(turn.answer.content)
    running.end(turn)
    return running
