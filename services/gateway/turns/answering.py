"""Ask the model, fill the turn's buffer as the text comes, and say how it ended."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import structlog

from services.gateway.model.meter import Meter
from services.gateway.model.upstream import Chunk, Upstream
from services.gateway.turns.buffer import TurnBuffer
from services.gateway.turns.history import HistoryMessage, branch
from services.gateway.turns.turn import Answer
from shared.errors import ModelAway
from shared.events import AnswerStatus
from shared.ids import upstream_thread_id

CONTEXT_MESSAGES = 200  # of the branch, the newest
LONGEST_ANSWER = 1_000_000  # characters, twice what models can say: more comes of one that runs wild, and fits no event

# How the services end an answer that calls a tool, today's way and the older one.
TOOL_ENDS = ("tool_calls", "function_call")
TOOL_NAME_LENGTH = 64

log = structlog.get_logger(__name__)


def conversation(system_prompt: str, history: Sequence[HistoryMessage], buffer: TurnBuffer) -> list[dict[str, Any]]:
    """Return what the model is sent: the prompt, the branch that the question continues, and the question."""
    question = buffer.turn.question
    before = branch(history, question.parent_id) if question.parent_id else _notes(history)
    said = [shown for shown in before if shown.message_id != question.message_id][-CONTEXT_MESSAGES:]
    messages = [{"role": shown.role, "content": shown.content} for shown in said if shown.content]
    return [
        {"role": "system", "content": system_prompt},
        *messages,
        {"role": "user", "content": question.content},
    ]


def _notes(history: Sequence[HistoryMessage]) -> list[HistoryMessage]:
    return [shown for shown in history if shown.role == "system"]


def storable(text: str) -> str:
    """Take out of a model's text what PostgreSQL can't hold."""
    return text.replace("\x00", "")


class Answering:
    """One call of the model for one attempt at a turn."""

    def __init__(self, upstream: Upstream, buffer: TurnBuffer) -> None:
        self._upstream = upstream
        self._buffer = buffer
        self._meter = Meter()
        self._asked = self._said = 0  # characters
        self._tool: str | None = None  # the first one that the model calls

    async def run(self, messages: Sequence[dict[str, Any]]) -> Answer:
        """Stream the answer into the buffer, and return it; a model that fails gives an answer that says so."""
        turn = self._buffer.turn
        self._asked = sum(len(message["content"]) for message in messages)
        thread_id = upstream_thread_id(turn.user_id, turn.session_id)
        try:
            async with aclosing(self._upstream.stream(turn.model, messages, thread_id)) as chunks:
                async for chunk in chunks:
                    self._take(chunk)
                    if self._said >= LONGEST_ANSWER:
                        return self.answer("interrupted", f"the answer grew to {LONGEST_ANSWER} characters")
        except ModelAway as error:
            # Not its text, which may repeat what was said; that is in the turn's row.
            log.warning("model failed", turn_id=str(turn.turn_id), upstream_status=error.extra.get("upstream_status"))
            return self._broken_off(error.detail)
        return self._ended()

    def outcome(self, run: asyncio.Task[Answer]) -> Answer:
        """Return what `run` came to; what ended it by surprise costs the rest of the answer, not what was said."""
        if run.cancelled():
            return self.answer("interrupted", "the gateway shut down")
        error = run.exception()
        if error is None:
            return run.result()
        log.error("answering failed", turn_id=str(self._buffer.turn.turn_id), exc_info=error)
        return self._broken_off("something went wrong on our side")

    def answer(self, status: AnswerStatus, error: str | None = None) -> Answer:
        """Return the answer as far as it came."""
        turn, text = self._buffer.turn, self._buffer.text
        error = error and storable(error)
        trace = self._meter.trace(
            trace_id=turn.answer_id,
            model=turn.model,
            provider=turn.provider,
            status=status,
            error=error,
            asked=self._asked,
            said=self._said,
        )
        parts = [{"type": "text", "text": text}] if text else []
        return Answer(content=text, parts=parts, status=status, error=error, trace=trace)

    def _take(self, chunk: Chunk) -> None:
        self._meter.usage = chunk.usage or self._meter.usage
        self._meter.finish_reason = storable(chunk.finish_reason or "") or self._meter.finish_reason
        self._tool = self._tool or next(iter(chunk.tools), None)
        text = storable(chunk.text)[: LONGEST_ANSWER - self._said]
        self._said += len(text)
        if text:
            self._meter.token_came()
            self._buffer.add(text)

    def _ended(self) -> Answer:
        if self._meter.finish_reason is None:
            return self.answer("interrupted", "the answer broke off")
        if self._tool is not None or self._meter.finish_reason in TOOL_ENDS:
            return self._waiting_for_tool()
        if not self._buffer.deltas:
            return self.answer("failed", "the model said nothing")
        return self.answer("complete")

    def _waiting_for_tool(self) -> Answer:
        """End where the model wants a tool's result, which nobody will give it: it was offered none."""
        self._meter.finish_reason = TOOL_ENDS[0]  # some services say "stop" here
        name = f"the tool {storable(self._tool)[:TOOL_NAME_LENGTH]!r}" if self._tool else "a tool"
        return self._broken_off(f"the model asked for {name}; this version offers it none")

    def _broken_off(self, error: str) -> Answer:
        """End before the model did: what was said by then is kept."""
        return self.answer("interrupted" if self._buffer.deltas else "failed", error)
