"""Start turns: claim the session for a new one, or find the turn that a request repeats."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from services.gateway.http.requests.idempotency_key import HEADER
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.turns.here.buffer import TurnBuffer, replay
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.past.said import Glimpse, Said
from services.gateway.turns.quota import QuotaOf, UsedUp, no_quota
from services.gateway.turns.running import OnBusy, RunningTurns
from services.gateway.turns.stored.claims import Claim, Lost
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.database import DATABASE_ERRORS
from shared.errors import Conflict, NotFound, SessionBusy, ShuttingDown

READINGS = 5  # of a session that others talk in at the same time

Result = TypeVar("Result")


class SessionGone(NotFound):
    """This session was deleted."""


class StaleHistory(Conflict):
    """More was said in this session in the meantime."""


async def until_fresh(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Read a session, and claim it; and read it again where more was said in between.

    Raises:
        SessionBusy: Others talk in it at the same time, again and again.
    """
    for _ in range(READINGS):
        with suppress(StaleHistory):
            return await attempt()
    raise SessionBusy("others are talking in this session, too fast to follow")


class TurnStarter:
    """Which turn answers a request."""

    def __init__(self, store: TurnStore, runner: Runner, running: RunningTurns, quota_of: QuotaOf = no_quota) -> None:
        self._store = store
        self._runner = runner
        self._running = running
        self._quota_of = quota_of

    async def start(
        self,
        claim: Claim,
        history: Sequence[Said],
        session: Sequence[Glimpse] = (),
        *,
        again: bool = False,
        on_busy: OnBusy | None = None,
        retold: Retold | None = None,
    ) -> TurnBuffer:
        """Claim the session and begin to answer; a repeat joins, replays or begins again the turn it repeats.

        Args:
            claim: What to answer, and where.
            history: What the claimant knows of the session; the model is told of its question's branch.
            session: The turns of the session that are not stored yet, as far as the claimant knows.
            again: The question is there already, so a turn that is answering it will do.
            on_busy: What becomes of another turn that is answering in this session.
            retold: What a client of OpenAI's brings, for a turn that begins, or begins again.

        Raises:
            StaleHistory: More was said in the session since the claimant read it: read it again.
            SessionBusy: The session is answering something else.
            SessionGone: It was deleted.
            Invalid: The key was used for another request.
            QuotaUsedUp, TooManySessions: Whoever asks has had, or has, as much as they may.
            ShuttingDown: Nothing can be accepted now.
        """
        if self._runner.is_closing:
            raise ShuttingDown
        quota = await self._quota_of(claim.user_id, claim.account)
        if quota is not None:
            claim = replace(claim, quota=quota)
        turn = await self._claim(claim)
        if turn is None and claim.is_recalled:
            raise StaleHistory  # nothing was proved
        if turn is None:
            return await self._resolve(claim, history, again, on_busy, retold)
        self._runner.recent.began(turn, claim, history)
        is_tagged = claim.is_recalled and claim.tag is not None
        return self._runner.begin(turn, history, claim.account, session, retold, is_tagged=is_tagged, tools=claim.tools)

    async def _claim(self, claim: Claim) -> Turn | None:
        try:
            turn = await self._store.claim(claim)
        except DATABASE_ERRORS:
            self._runner.withdraw(claim.turn_id, claim.nonce)
            raise
        if turn is Lost.STALE:
            raise StaleHistory
        if isinstance(turn, UsedUp):
            raise turn.refusal(claim.quota or {})
        return turn if isinstance(turn, Turn) else None

    async def _resolve(
        self, claim: Claim, history: Sequence[Said], again: bool, on_busy: OnBusy | None, retold: Retold | None
    ) -> TurnBuffer:
        """Find what the claim ran into, and do what a repeat of that turn asks for."""
        known = await self._store.by_key(claim.user_id, claim.key) if claim.key else None
        if known is not None:
            return await self._repeat(known, claim, history, retold)
        if await self._store.is_gone(claim.user_id, claim.session_id):
            raise SessionGone
        busy = await self._store.running([claim.user_id], claim.session_id)
        if busy is None:
            raise StaleHistory  # it has ended in the meantime, so there is more to know
        if claim.known_until is None and busy.project_id != claim.project_id:
            raise StaleHistory  # the session was new, and is begun in a project that the claimant may not see
        if busy.expired and self._running.here(busy) is None:
            await self._running.interrupt(busy)
            raise StaleHistory
        if again and claim.key is None and busy.question.message_id == claim.question.message_id:
            return self._running.follow(busy)
        await self._running.make_way(busy, on_busy)
        raise StaleHistory

    async def _repeat(self, known: Turn, claim: Claim, history: Sequence[Said], retold: Retold | None) -> TurnBuffer:
        is_elsewhere = claim.names_session and known.session_id != claim.session_id
        if known.body_hash != claim.body_hash or is_elsewhere:
            raise refused_field(HEADER, "was used for another request; take a new one")
        buffer = self._running.here(known)
        if buffer is not None:
            return buffer
        if known.expired:
            known = await self._running.interrupt(known) or known
        if known.state == "running":
            return self._running.follow(known)
        if known.state in ("failed", "interrupted"):
            return await self._run_again(known, claim, history, retold)
        return replay(known, self._runner.room.hold(claim.account))

    async def _run_again(self, known: Turn, claim: Claim, history: Sequence[Said], retold: Retold | None) -> TurnBuffer:
        again = await self._store.rerun(known, claim.owner, takes_over=retold is None)
        if again is None:
            raise SessionBusy
        known_before = [shown for shown in history if shown.message_id != known.answer_id]
        return self._runner.begin(again, known_before, claim.account, retold=retold, tools=claim.tools)
