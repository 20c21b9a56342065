"""The rounds of one attempt: the model is asked, its calls of tools are run, and it is asked again.

A call is kept in the turn's row before it is run, and a later attempt takes over the calls of the earlier one, so the
model is never asked again for a call that may have had an effect; what a call does bears an id that follows from the
turn and the call, so to run it again does nothing a second time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from prometheus_client import Counter

from services.gateway.model.asking.upstreams import Upstreams
from services.gateway.model.configured.catalog import NO_PARAMETERS
from services.gateway.model.ending import ERROR
from services.gateway.model.reading.surrogates import storable
from services.gateway.model.reading.tool_calls import ToolCall
from services.gateway.turns import call_parts
from services.gateway.turns.call_parts import ID, Part
from services.gateway.turns.consent import name_approval
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.offered import Tools, UnusableCall, Usable
from services.gateway.turns.pieces import STEP, Whole
from services.gateway.turns.turn import Answer
from shared.errors import TripthreadError
from shared.events import AnswerStatus
from shared.ids import derived_id
from shared.settings import Settings

MOST_CALLS = 16  # of one round; of more the model is told that they are too many
LONGEST_ARGUMENTS = 64 * 1024  # characters

SHUT_DOWN = "the gateway shut down"
LOST = "another gateway has ended this turn"

CALLS = Counter(
    "tripthread_tool_calls_total", "Calls of tools that were run here, by what came of them", ["tool", "outcome"]
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How far a turn goes by itself."""

    characters: int
    rounds: int = 8
    tool_s: float = 30.0  # for one call
    result_bytes: int = 16_384  # of JSON; of a longer one the model and the user see the beginning

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Read what is configured."""
        return cls(
            settings.model_answer_characters, settings.tool_rounds, settings.tool_call_s, settings.tool_result_bytes
        )


Keep = Callable[[Sequence[dict[str, Any]]], Awaitable[bool]]  # keeps the answer so far; false: the turn is another's


class Rounds:
    """What one attempt asks and does."""

    def __init__(
        self,
        upstreams: Upstreams,
        buffer: TurnBuffer,
        limits: Limits,
        parameters: Mapping[str, Any] = NO_PARAMETERS,
        *,
        tools: Tools | None = None,
        keep: Keep | None = None,
    ) -> None:
        """Prepare an attempt.

        Args:
            upstreams: The models.
            buffer: Is filled; what is in it already was taken over.
            limits: How far it goes.
            parameters: Of the helper that answers.
            tools: What the model may call; none: nothing.
            keep: Keeps the answer so far in the turn's row, with the traces of the rounds that are over, before a call.
        """
        self._upstreams, self._buffer, self._limits = upstreams, buffer, limits
        self._parameters, self._tools, self._keep = parameters, tools, keep
        self._traces = list(buffer.turn.rounds)
        self._is_stopped = self._is_lost = False
        self._answering: Answering | None = None  # the call of the model that goes on; none: tools are run

    async def run(self, messages: Sequence[dict[str, Any]]) -> Answer:
        """Answer into the buffer, and return the answer; a model that fails gives one that says so."""
        parts = self._parts()
        number = len(call_parts.rounds_in(parts)) if parts else 0  # of the rounds that were had
        await self._run_calls(call_parts.calls_in(parts))
        while not self._waits():
            number += 1
            if number > 1:
                self._buffer.add(Whole.of({"type": STEP}))
            answering = self._answering = self._ask(number)
            answer = await answering.run([*messages, *call_parts.told(self._parts())] if number > 1 else messages)
            if not answering.wanted:
                return self._whole(answer)
            if number >= self._limits.rounds:
                return self._whole(_too_many(answer, number))
            self._note(answering, answer)
            await self._act(answering.wanted, number)
        return self._between("complete")

    def stop(self) -> None:
        """Note that the user wants no more of it; what ends the call comes from elsewhere."""
        self._is_stopped = True
        if self._answering is not None:
            self._answering.stop()

    def outcome(self, run: asyncio.Task[Answer]) -> Answer:
        """Return what `run` came to; what ended it by surprise costs the rest of the answer, not what was said."""
        if not run.cancelled() and run.exception() is None:
            return run.result()
        if self._answering is not None:
            return self._whole(self._answering.outcome(run))
        if run.cancelled():
            reason = LOST if self._is_lost else SHUT_DOWN
            return self._between("stopped") if self._is_stopped else self._between("interrupted", reason)
        log.error("tools failed", turn_id=str(self._buffer.turn.turn_id), exc_info=run.exception())
        return self._between("interrupted", "something went wrong on our side")

    def _ask(self, number: int) -> Answering:
        offered = list(self._tools.definitions) if self._tools is not None else []
        is_last = number >= self._limits.rounds
        return Answering(
            self._upstreams,
            self._buffer,
            self._limits.characters,
            self._parameters,
            tools=offered,
            may_call=not is_last,
            number=number,
        )

    def _note(self, answering: Answering, answer: Answer) -> None:
        """Remember a round that is over."""
        self._answering = None
        if answer.trace is not None:
            self._traces.append(answer.trace)

    def _parts(self) -> list[Part]:
        return self._buffer.whole_parts()

    def _waits(self) -> bool:
        return any(map(call_parts.waits, call_parts.calls_in(self._parts())))

    async def _act(self, wanted: Sequence[ToolCall], number: int) -> None:
        """Show the calls of a round, and run those that need not be asked about."""
        before = call_parts.calls_in(self._parts())
        names = {part["toolCallId"] for part in before}
        begun = []
        for index, call in enumerate(wanted):
            call_id = call.id if ID.fullmatch(call.id) and call.id not in names else f"call_{number}_{index}"
            names.add(call_id)
            approval_id = name_approval(self._buffer.turn.turn_id, len(before) + index)
            begun.append(self._begun(call, call_id, index, approval_id))
        for part in begun:
            self._buffer.add(Whole.of(part))
        await self._run_calls(begun)

    def _begun(self, call: ToolCall, call_id: str, index: int, approval_id: str) -> Part:
        """Make the part of a call: one that runs, asks, or is none."""
        name, arguments = storable(call.name), storable(call.text)
        try:
            if index >= MOST_CALLS:
                raise UnusableCall(f"no more than {MOST_CALLS} calls at once; call again for the rest")
            value = _read(arguments)
            usable = self._usable(name, value)
        except UnusableCall as error:
            return call_parts.unusable(name, call_id, arguments[:LONGEST_ARGUMENTS], error.detail)
        part = call_parts.begun(name, call_id, value)
        return call_parts.asking(part, approval_id) if usable.asks else part

    def _usable(self, name: str, arguments: Any) -> Usable:
        if self._tools is None:
            raise UnusableCall("there are no tools")
        return self._tools.usable(name, arguments)

    async def _run_calls(self, parts: Sequence[Part]) -> None:
        """Run those of these calls that are to be run, all at once, and show what comes of each."""
        due = [part for part in parts if call_parts.runs(part)]
        if not due:
            return
        if self._keep is not None and not await self._keep(self._traces):
            self._is_lost = True
            raise asyncio.CancelledError  # its row is another attempt's by now: nothing may be done here
        async with asyncio.TaskGroup() as group:
            for part in due:
                group.create_task(self._run_call(part))

    async def _run_call(self, part: Part) -> None:
        result = await self._result(part)
        outcome = "done" if result["state"] == call_parts.DONE else "failed"
        CALLS.labels(call_parts.call_of(part), outcome).inc()
        self._buffer.add(Whole.of(result))

    async def _result(self, part: Part) -> Part:
        """Run one call; whatever goes wrong is told to the model."""
        turn, name = self._buffer.turn, call_parts.call_of(part) or ""
        try:
            usable = self._usable(name, part["input"])
            work = asyncio.ensure_future(usable.run(turn, derived_id(turn.turn_id, f"call/{part['toolCallId']}")))
            try:
                await asyncio.wait({work}, timeout=self._limits.tool_s)
            finally:
                work.cancel()  # and no more than that: what does not heed it must not hold up the turn
            if not work.done():
                return call_parts.failed(part, f"the tool gave no answer in {self._limits.tool_s:g} s")
            return call_parts.done(part, _capped(work.result(), self._limits.result_bytes))
        except TripthreadError as error:
            return call_parts.failed(part, storable(error.detail))
        except Exception:  # the tool's boundary: the model hears of it, and the turn goes on
            log.exception("tool failed", turn_id=str(turn.turn_id), tool=name)
            return call_parts.failed(part, "something went wrong in the tool")

    def _whole(self, answer: Answer) -> Answer:
        """Add to an answer what the rounds before its last one came to."""
        is_over = answer.status == "stopped" and self._buffer.retold is None  # a client goes on with its calls itself
        parts = call_parts.sealed(answer.parts) if is_over else answer.parts
        return replace(answer, parts=parts, rounds=self._traces, revision=self._buffer.turn.revision)

    def _between(self, status: AnswerStatus, error: str | None = None) -> Answer:
        """Make the answer where it ends between two calls of the model."""
        last = self._traces.pop() if status == "complete" and self._traces else None
        parts = self._parts()
        return self._whole(Answer(self._buffer.text, parts, status, error, trace=last))


def _too_many(answer: Answer, number: int) -> Answer:
    problem = f"the model asked for tools in {number} rounds, which is as many as it may have"
    ended = {"status": "interrupted", "finish_reason": ERROR, "error": problem, "error_class": "interrupted"}
    return replace(answer, status="interrupted", error=problem, trace={**(answer.trace or {}), **ended})


def _read(arguments: str) -> Any:
    """Read a call's arguments; of a tool without any, some services send nothing."""
    if len(arguments) > LONGEST_ARGUMENTS:
        raise UnusableCall(f"the arguments are longer than {LONGEST_ARGUMENTS} characters")
    try:
        value = orjson.loads(arguments.strip() or "{}")
    except orjson.JSONDecodeError as error:
        raise UnusableCall(f"the arguments are no JSON: {error}") from error
    if "\\u0000" in arguments:
        raise UnusableCall("the arguments must have no NUL in them")
    return value


def _capped(output: Any, most: int) -> Any:
    """Return a result, or of one that is too long the beginning of its JSON, and how long it is."""
    spelled = orjson.dumps(output, default=str)
    if len(spelled) <= most:
        value = orjson.loads(spelled)
        return _storable(value) if b"\\u0000" in spelled else value
    begins = storable(spelled[:most].decode("utf-8", "ignore"))
    return {"cut": f"only the first {most} of {len(spelled)} bytes are here; ask for less", "begins": begins}


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return {storable(name): _storable(each) for name, each in value.items()} if isinstance(value, dict) else value
