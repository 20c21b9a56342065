"""Ask the model, fill the turn's buffer as the text comes, and say how it ended."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from services.gateway.model.asking.upstreams import Call, Upstreams
from services.gateway.model.chunks import Chunk
from services.gateway.model.configured.catalog import NO_PARAMETERS
from services.gateway.model.configured.habits import text_of
from services.gateway.model.ending import ERROR, FILTERED, LENGTH, STOP, TOOLS, Seen, ending_of, reason_of
from services.gateway.model.measuring.inference_span import describe_inference, inference_span
from services.gateway.model.measuring.meter import Meter
from services.gateway.model.reading.surrogates import storable
from services.gateway.model.reading.tool_calls import ToolCall, ToolCalls
from services.gateway.turns.here.buffer import Reasoning, TurnBuffer
from services.gateway.turns.histories import continued
from services.gateway.turns.turn import Answer, answer_parts, call_part, round_id
from services.gateway.turns.weight import bytes_of
from shared.errors import ModelAway
from shared.events import AnswerStatus
from shared.ids import upstream_thread_id

LONGEST_ANSWER = 1_000_000  # characters, twice what models can say: more comes of one that runs wild, and fits no event

SWITCH = 16  # characters that a change between text and reasoning counts for, since it begins another part

log = structlog.get_logger(__name__)


def offering(tools: Sequence[Mapping[str, Any]], *, may_call: bool) -> Mapping[str, Any]:
    """Return what a request has of tools; one that may call none has them all the same, since it has calls in it."""
    return {"tools": list(tools)} if may_call else {"tools": list(tools), "tool_choice": "none"}


class Answering:
    """One call of the model for one attempt at a turn."""

    def __init__(
        self,
        upstreams: Upstreams,
        buffer: TurnBuffer,
        most_characters: int = LONGEST_ANSWER,
        parameters: Mapping[str, Any] = NO_PARAMETERS,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        may_call: bool = True,
        number: int = 1,
    ) -> None:
        """Prepare a call.

        Args:
            upstreams: The models.
            buffer: Is filled.
            most_characters: Of the answer, with what earlier calls of the same attempt have said and done.
            parameters: Of the helper that answers.
            tools: That are offered, as OpenAI has them.
            may_call: Whether it may call one of them now.
            number: Which call of its attempt it is.
        """
        self.wanted: Sequence[ToolCall] = ()  # the calls that it ended with
        self._tools, self._may_call, self._number = tools, may_call, number
        self._upstreams = upstreams
        self._parameters = parameters
        self._call: Call | None = None
        self._buffer = buffer
        self._had = buffer.length if number > 1 else 0
        self._most = most_characters - self._had
        self._meter = Meter()
        self._asked = self._said = 0  # characters
        self._is_stopped = False  # by the user
        self._has_text = self._calls_tool = self._is_done = self._is_refusal = False
        self._tool: str | None = None  # the first one that the model calls
        self._reason: str | None = None  # why it ended, in the service's words
        self._said_at_reason = 0
        self._last_kind: type[str] = str
        self._calls = ToolCalls()
        self._retold = buffer.retold
        self._refused_with: int | None = None  # the status of a service that refused the call

    async def run(self, messages: Sequence[dict[str, Any]]) -> Answer:
        """Stream the answer into the buffer, and return it; a model that fails gives an answer that says so."""
        turn, messages = self._buffer.turn, list(messages)  # nobody else has them, so they can be let go of
        with inference_span(model=turn.model, provider=turn.provider, session_id=turn.session_id) as span:
            answer = await self._ask(messages)
            if answer.trace is not None:
                describe_inference(span, answer.trace)
            return answer

    async def _ask(self, messages: list[dict[str, Any]]) -> Answer:
        turn = self._buffer.turn
        self._asked = sum([len(text_of(message)) for message in messages])
        told = bytes_of(text_of(message) for message in messages) if self._retold is None else self._retold.size
        self._buffer.holding.add(told)
        thread_id = upstream_thread_id(turn.user_id, turn.session_id)
        self._call = self._upstreams.call(
            turn.model,
            messages,
            thread_id,
            configured=self._parameters,
            relayed=self._retold.request if self._retold is not None else None,
            offered=offering(self._tools, may_call=self._may_call) if self._tools else NO_PARAMETERS,
        )
        try:
            async with aclosing(self._call.chunks()) as chunks:
                async for chunk in chunks:
                    self._take(chunk)
                    if self._said >= self._most:
                        return self.answer("interrupted", f"the answer grew to {self._most + self._had} characters")
                    if self._buffer.holding.is_too_much:
                        return self.answer("interrupted", "there is no room here for more of the answer")
                    if self._said and messages:  # nobody is asked again now
                        messages.clear()
                        self._buffer.holding.add(-told)
        except ModelAway as error:
            # Not its text, which may repeat what was said; that is in the turn's row.
            self._refused_with = error.extra.get("upstream_status")
            log.warning("model failed", turn_id=str(turn.turn_id), upstream_status=self._refused_with)
            return self._ended(problem=error.detail)
        return self._ended()

    def stop(self) -> None:
        """Note that the user wants no more of it; what ends the call comes from elsewhere."""
        self._is_stopped = True

    def outcome(self, run: asyncio.Task[Answer]) -> Answer:
        """Return what `run` came to; what ended it by surprise costs the rest of the answer, not what was said."""
        if run.cancelled():
            if self._is_stopped:
                return self.answer("stopped")
            return self.answer("interrupted", "the gateway shut down")
        error = run.exception()
        if error is None:
            return run.result()
        log.error("answering failed", turn_id=str(self._buffer.turn.turn_id), exc_info=error)
        return self.answer("interrupted" if self._has_text else "failed", "something went wrong on our side")

    def _ended(self, problem: str | None = None) -> Answer:
        calls_tool = self._calls_tool
        if self._tools:
            self.wanted = self._whole_calls() if problem is None else ()
            if self.wanted:
                return self._answer("complete", TOOLS, None)
            calls_tool = False  # what came of calls is no whole one
        seen = Seen(
            said=self._has_text or self._number > 1,
            calls_tool=calls_tool,
            tool=self._tool,
            finish_reason=self._reason,
            is_done=self._is_done,
            problem=problem,
            gives_results=self._retold is not None,
        )
        ending = ending_of(seen)
        return self._answer(ending.status, ending.finish_reason, ending.problem)

    def _whole_calls(self) -> Sequence[ToolCall]:
        """Return the calls where the answer came to its end with them: of one that was cut off nobody knows."""
        reason = reason_of(self._reason) if self._reason else None
        is_over = reason in (STOP, TOOLS) or (reason is None and self._is_done)
        return self._calls.all() if is_over else ()

    def answer(self, status: AnswerStatus, error: str | None = None) -> Answer:
        """Return the answer as far as it came, where we end it and not the model."""
        return self._answer(status, None if status == "stopped" else ERROR, error)

    def _answer(self, status: AnswerStatus, finish_reason: str | None, error: str | None) -> Answer:
        turn = self._buffer.turn
        error = error and storable(error)
        trace = self._meter.trace(
            trace_id=round_id(turn.answer_id, self._number),
            model=turn.model,
            provider=turn.provider,
            upstream=self._call.upstream if self._call else None,
            status=status,
            finish_reason=finish_reason,
            error=error,
            error_class=self._error_class(status, finish_reason),
            w3c_trace_id=turn.w3c_trace_id,
            prices=self._call.prices if self._call else None,
            asked=self._asked,
            said=self._said,
        )
        parts = answer_parts(self._buffer.parts(), is_refusal=self._is_refusal)
        if self._retold is not None:
            parts += [call_part(call) for call in self._calls.all()]
        text = self._buffer.text
        history = None if status == "failed" else continued(turn.question.history, text, parts)
        return Answer(text, parts, status, error, trace, history=history)

    def _error_class(self, status: AnswerStatus, finish_reason: str | None) -> str | None:
        """Say what kind of error it was, where more is known than that there was one."""
        if self._refused_with is not None:
            return str(self._refused_with)
        is_told = status in ("interrupted", "failed") and finish_reason in (LENGTH, FILTERED, TOOLS)
        return finish_reason if is_told else None

    def _take(self, chunk: Chunk) -> None:
        if self._retold is not None:
            self._retold.tell(chunk, self._call.tries if self._call else 0)
        if chunk.reasoning:
            self._add(Reasoning(storable(chunk.reasoning)))
        if chunk.text:
            self._add(storable(chunk.text))
        if not (chunk.text or chunk.reasoning) or chunk.says_more:
            self._note(chunk)

    def _add(self, delta: str) -> None:
        kind = type(delta)
        self._said += SWITCH if kind is not self._last_kind else 0
        self._last_kind = kind
        delta = kind(delta[: max(self._most - self._said, 0)])
        if delta:
            self._said += len(delta)
            self._meter.token_came()
            self._buffer.add(delta)
            self._has_text = self._has_text or kind is str

    def _note(self, chunk: Chunk) -> None:
        """Remember what a chunk says beside the text."""
        self._meter.usage_came(chunk.usage)
        self._is_refusal = self._is_refusal or chunk.is_refusal
        self._calls_tool = self._calls_tool or chunk.calls_tool
        self._tool = self._tool or (chunk.tool and storable(chunk.tool))
        if chunk.calls and (self._tools or self._retold is not None):
            self._meter.token_came()
            characters = self._calls.take(chunk.calls)
            self._said += characters
            self._buffer.holding.add(characters)
            self._buffer.announce()
        if chunk.finish_reason and not self._is_late(chunk.finish_reason):
            self._reason, self._said_at_reason = chunk.finish_reason, self._said
        self._is_done = self._is_done or chunk.is_done

    def _is_late(self, reason: str) -> bool:
        """Tell an error that comes after the answer has ended, and nothing more was said."""
        return self._reason is not None and self._said == self._said_at_reason and reason_of(reason) == ERROR
