"""A turn while it is answered: the text so far, and whoever follows it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from services.gateway.http.held.shares import Holding, Shares
from services.gateway.turns.call_parts import call_of, is_further
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.pieces import STEP, Whole, folded, text_of, united
from services.gateway.turns.turn import Turn, answer_parts
from services.gateway.turns.weight import FREE, SAID, bytes_of
from shared.errors import Overloaded

QUIET_S = 15.0
LONGEST_PIECE = 16_000  # characters
LONGEST_KEPT = 1000  # characters up to which pieces are kept as one: each by itself takes 60 bytes more
UNBOUNDED = Shares(2**60, one_bytes=2**60, free_bytes=FREE)


class Reasoning(str):
    """A piece of what the model thinks, which is no part of the answer's text."""

    __slots__ = ()


KINDS: dict[str, type[str]] = {"text": str, "reasoning": Reasoning}  # of the parts that are streamed
WHOLE = "whole"  # what peers call a part that comes whole


class TurnBuffer:
    """The buffer of one turn. It is its task that fills it; a follower that goes away takes nothing with it."""

    def __init__(self, turn: Turn, holding: Holding | None = None) -> None:
        """Begin a buffer; what it holds is let go of once the turn is over and nobody follows it."""
        self.turn = turn
        self.length = 0  # characters of text and reasoning
        self.holding = UNBOUNDED.hold("") if holding is None else holding
        self._is_over = False
        self._has_whole = False
        self.deltas: list[str] = []  # each of the text, or of the reasoning
        self.ended: Turn | None = None  # the turn with its answer
        self.failure: Exception | None = None  # why it has no answer at all
        self._followers = 0
        self._left = asyncio.Event()  # the last follower has gone
        self._waiting: list[asyncio.Future[None]] = []  # for news
        self.retold: Retold | None = None  # for a client of OpenAI's that began it

    @property
    def is_settled(self) -> bool:
        """Whether it is known how the turn ended, or that it cannot be."""
        return self.ended is not None or self.failure is not None

    @property
    def text(self) -> str:
        if self._has_whole:
            return text_of(self.whole_parts())
        return "".join([delta for delta in self.deltas if type(delta) is str])

    def parts(self) -> list[str]:
        """Return the text and the reasoning in the order they came, each as long as nothing else came between."""
        if self._has_whole:
            return folded(self.deltas)
        return self.deltas if len(self.deltas) == 1 else united(self.deltas)

    def whole_parts(self) -> list[dict[str, Any]]:
        """Return the parts as the AI SDK has them."""
        return answer_parts(self.parts(), is_refusal=False)

    def attach(self) -> "Follower":
        """Count somebody who reads this turn, until they close."""
        self._followers += 1
        self._left.clear()
        return Follower(self)

    def detach(self) -> None:
        """Count one follower less, who has closed."""
        self._followers -= 1
        if not self._followers:
            self._left.set()
            if self._is_over:
                self.holding.let_go()

    def leave(self) -> None:
        """Note that whoever fills it does so no more."""
        self._is_over = True
        if not self._followers:
            self.holding.let_go()

    def leave_to_followers(self) -> None:
        """Note the same where the first follower is still to come."""
        self._is_over = True

    async def unfollowed(self, wait_s: float) -> bool:
        """Tell whether nobody follows, where somebody does after up to `wait_s`, in which they may go."""
        if self._followers:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._left.wait()
        return not self._followers

    @property
    def is_followed(self) -> bool:
        return self._followers > 0

    async def abandoned(self) -> None:
        """Wait until all who followed have gone; somebody may have come again by the time that the waiter runs."""
        await self._left.wait()

    def add(self, delta: str) -> None:
        self._keep(delta)
        self.announce()

    def catch_up(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Take what a row has of this attempt beyond what is here: as AI SDK parts, of text and of reasoning."""
        known = self.parts()
        for index, piece in enumerate(pieces_of(parts)):
            mine = known[index] if index < len(known) else ""
            if isinstance(piece, Whole):
                if not isinstance(mine, Whole) or is_further(piece.part, mine.part):
                    self._keep(piece)
            elif index >= len(known) - 1 and len(mine) < len(piece):
                self._keep(type(piece)(piece[len(mine) :]))
        self.announce()

    def end(self, turn: Turn) -> None:
        self.ended = turn
        self.announce()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self.announce()

    async def follow(self) -> AsyncIterator[str]:
        """Yield the text, as `follow_all` does."""
        async for piece in self.follow_all():
            if type(piece) is str:
                yield piece

    async def follow_all(self) -> AsyncIterator[str]:
        """Yield text and reasoning from the start, piece by piece, until the turn has ended.

        An empty piece is a sign of life where nothing came for a while, so that no proxy takes the connection for dead.

        Raises:
            Away: The turn could not be finished.
        """
        loop = asyncio.get_running_loop()
        index, seen, told_at = 0, 0, loop.time()  # which of the kept pieces, and how much of it
        looking_up = loop.call_later(QUIET_S / 3, self.announce)  # a time-out for each piece would cost more than it
        try:
            while True:
                now = loop.time()
                kept = self.deltas
                if kept and (index < len(kept) - 1 or seen < len(kept[-1])):
                    pieces = _since(kept, index, seen)
                    index, seen, told_at = len(kept) - 1, len(kept[-1]), now
                    for piece in pieces:
                        for short in _cut(piece):
                            yield short
                elif self.ended is not None or self.failure is not None:
                    self._raise_failure()
                    return
                elif now - told_at >= QUIET_S:
                    told_at = now
                    yield ""
                else:
                    if looking_up.when() <= now:
                        looking_up = loop.call_later(QUIET_S / 3, self.announce)
                    await self.hear(loop)
        finally:
            looking_up.cancel()

    async def result(self) -> Turn:
        """Wait for the end, and return the turn with its answer.

        Raises:
            Away: The turn could not be finished.
        """
        while not self.is_settled:
            await self.hear()
        self._raise_failure()
        assert self.ended is not None  # noqa: S101 - it is settled
        return self.ended

    def _keep(self, delta: str) -> None:
        self.length += len(delta)
        self.holding.add(SAID * bytes_of((delta,)))
        last = self.deltas[-1] if self.deltas else None
        if isinstance(delta, Whole):
            self._has_whole = True
            self.deltas.append(delta)
        elif last is not None and type(last) is type(delta) and len(last) + len(delta) <= LONGEST_KEPT:
            self.deltas[-1] = type(delta)(last + delta)
        else:
            self.deltas.append(delta)

    def announce(self) -> None:
        """Let everybody who waits for news look."""
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():  # as where its waiter has gone
                news.set_result(None)

    async def hear(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Wait for news; whoever waits for each piece has the loop, since to ask for it is a system call."""
        news: asyncio.Future[None] = (loop or asyncio.get_running_loop()).create_future()
        self._waiting.append(news)
        await news

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure


class Follower:
    """Somebody who reads a turn, from its claim until their connection closes."""

    def __init__(self, buffer: TurnBuffer) -> None:
        self._buffer: TurnBuffer | None = buffer

    def close(self) -> None:
        """Read no more; once is enough, and twice does no harm."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer.detach()


def replay(turn: Turn, holding: Holding | None = None) -> TurnBuffer:
    """Make a buffer of a turn that has ended, for who asks for it once more, and attaches to it at once.

    Raises:
        Overloaded: There is no room for it.
    """
    buffer = TurnBuffer(turn, holding)
    buffer.catch_up(turn.parts_so_far)
    if buffer.holding.is_too_much:
        buffer.holding.let_go()
        raise Overloaded
    buffer.end(turn)
    buffer.leave_to_followers()
    return buffer


def _cut(piece: str) -> Sequence[str]:
    """Cut a piece so that whoever reads slowly holds little of it."""
    if len(piece) <= LONGEST_PIECE or isinstance(piece, Whole):
        return (piece,)
    return [type(piece)(piece[at : at + LONGEST_PIECE]) for at in range(0, len(piece), LONGEST_PIECE)]


def _since(kept: list[str], index: int, seen: int) -> list[str]:
    """Return what was kept from this place on."""
    first = kept[index]
    rest = [type(first)(first[seen:]) if seen else first] if seen < len(first) else []
    return united(rest + kept[index + 1 :])


def pieces_of(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the pieces that a row's parts are."""
    pieces: list[str] = []
    for part in parts:
        kind = KINDS.get(part.get("type", ""))
        if kind is not None:
            pieces.append(kind(part["text"]))
        elif part.get("type") == STEP or call_of(dict(part)) is not None:
            pieces.append(Whole.of(dict(part)))
    return united(pieces)
