"""The model and its tools by turns, with a service as it may be and tools that do what tools should not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns import call_parts
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.rounds import CALLS, MOST_CALLS, Limits, Rounds
from services.gateway.turns.offered import UnusableCall
from services.gateway.turns.turn import Answer, Turn
from shared.errors import Conflict
from tests.pure.gateway.samples import turn
from tests.service.gateway.model.stand_in import DONE, HI, STOP, Reply, StandIn, at_once, chunk, standing_in
from tests.waiting import PATIENCE_S

QUESTION = [{"role": "user", "content": "what?"}]
SAYS_HI = Reply((HI, STOP, DONE))


@dataclass
class Doing:
    do: Callable[[UUID], Awaitable[Any]]
    asks: bool = False

    async def run(self, turn: Turn, effect: UUID) -> Any:
        return await self.do(effect)


@dataclass
class Box:
    """Tools by their names."""

    tools: Mapping[str, Doing]
    trip: str | None = None
    earlier: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        return [{"type": "function", "function": {"name": name, "parameters": {}}} for name in self.tools]

    def usable(self, name: str, arguments: Any) -> Doing:
        if name not in self.tools:
            raise UnusableCall("there is no such tool")
        if not isinstance(arguments, dict):
            raise UnusableCall("must be an object")
        return self.tools[name]


@dataclass
class Kept:
    """What was kept before each call was run."""

    parts: list[list[dict[str, Any]]] = field(default_factory=list)
    is_ours: bool = True

    def of(self, buffer: TurnBuffer) -> Callable[[Sequence[dict[str, Any]]], Awaitable[bool]]:
        async def keep(_rounds: Sequence[dict[str, Any]]) -> bool:
            self.parts.append(buffer.whole_parts())
            return self.is_ours

        return keep


def calling(*calls: tuple[str, str], text: str = "") -> Reply:
    """Call these tools: (name, arguments)."""
    told = [
        {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]
    return Reply((*((chunk(content=text),) if text else ()), chunk(tool_calls=told), chunk("tool_calls"), DONE))


def by_turns(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Answer one after the other."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


async def answered(
    service: StandIn, box: Box, *, limits: Limits | None = None, kept: Kept | None = None, of: Turn | None = None
) -> tuple[Answer, TurnBuffer]:
    buffer = TurnBuffer(of or turn())
    if buffer.turn.partial_parts:
        buffer.catch_up(buffer.turn.partial_parts)
    keep = (kept or Kept()).of(buffer)
    async with open_upstreams(service.settings(), at_once) as upstreams, asyncio.timeout(PATIENCE_S):
        rounds = Rounds(upstreams, buffer, limits or Limits(10_000), tools=box, keep=keep)
        return await rounds.run(QUESTION), buffer


def saying(value: Any) -> Doing:
    async def say(_effect: UUID) -> Any:
        return value

    return Doing(say)


def raising(error: Exception) -> Doing:
    async def fail(_effect: UUID) -> Any:
        raise error

    return Doing(fail)


async def hang(_effect: UUID) -> Any:
    while True:  # and does not heed that it is cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if hang_may_end.is_set():
                raise


hang_may_end = asyncio.Event()


def states(answer: Answer) -> list[tuple[str, Any]]:
    return [(part["state"], part.get("output", part.get("errorText"))) for part in call_parts.calls_in(answer.parts)]


async def test_the_model_is_asked_again_with_what_its_tools_said() -> None:
    box = Box({"look": saying({"seen": 1}), "count": saying([1, 2])})
    replies = by_turns(calling(("look", '{"at": "x"}'), ("count", ""), text="I look."), SAYS_HI)
    async with standing_in(replies) as service:
        answer, _ = await answered(service, box)
    assert (answer.status, answer.finish_reason, answer.content) == ("complete", "stop", "I look.\n\nhi")
    assert [part["type"] for part in answer.parts] == ["text", "tool-look", "tool-count", "step-start", "text"]
    assert states(answer) == [("output-available", {"seen": 1}), ("output-available", [1, 2])]
    first, second = service.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look", "count"]
    assert second["messages"] == [
        *QUESTION,
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "look", "arguments": '{"at":"x"}'}},
                {"id": "c1", "type": "function", "function": {"name": "count", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": call_parts.RESULT + '\n{"seen":1}'},
        {"role": "tool", "tool_call_id": "c1", "content": call_parts.RESULT + "\n[1,2]"},
    ]


async def test_each_round_has_its_own_trace_and_the_turn_what_they_cost_together() -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}\n\n'
    begun = calling(("look", "{}"))
    replies = by_turns(Reply((*begun.body[:-1], usage, DONE)), Reply((HI, STOP, usage, DONE)))
    async with standing_in(replies) as service:
        answer, buffer = await answered(service, Box({"look": saying(1)}))
    name = buffer.turn.answer_id
    assert [(trace["trace_id"], trace["finish_reason"]) for trace in answer.traces] == [
        (name, "tool_calls"),
        (f"{name}-2", "stop"),
    ]
    assert answer.usage == {"input_tokens": 10, "output_tokens": 4, "usage_source": "reported"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{", "Error: the arguments are no JSON"),
        ("[]", "Error: must be an object"),
        ('{"a": "\\u0000"}', "Error: the arguments must have no NUL"),
        ('{"a": "' + "x" * 70_000 + '"}', "Error: the arguments are longer than"),
    ],
)
async def test_arguments_that_are_none_are_told_to_the_model(arguments: str, said: str) -> None:
    async with standing_in(by_turns(calling(("look", arguments)), SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}), limits=Limits(200_000))
    assert service.requests[1]["messages"][-1]["content"].startswith(said)
    assert service.requests[1]["messages"][-2]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert states(answer)[0][0] == "output-error"
    assert answer.status == "complete"


async def test_a_tool_that_there_is_not_is_told_to_the_model() -> None:
    async with standing_in(by_turns(calling(("no such", "{}")), SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert answer.parts[0]["type"] == "tool-unknown"
    assert states(answer) == [("output-error", "there is no such tool")]
    assert answer.status == "complete"


async def test_a_tool_that_fails_hangs_or_says_too_much_costs_no_more_than_its_call() -> None:
    box = Box(
        {
            "refuse": raising(Conflict("There is one already.")),
            "fail": raising(RuntimeError("secret")),
            "hang": Doing(hang),
            "shout": saying("x" * 10_000_000),
            "odd": saying({1, 2}.__iter__),
        }
    )
    replies = by_turns(calling(*[(name, "{}") for name in box.tools]), SAYS_HI)
    async with standing_in(replies) as service:
        answer, _ = await answered(service, box, limits=Limits(10_000, tool_s=0.2, result_bytes=1000))
        hang_may_end.set()
    refused, failed, hung, shouted, odd = states(answer)
    assert refused == ("output-error", "There is one already.")
    assert failed == ("output-error", "something went wrong in the tool")
    assert hung == ("output-error", "the tool gave no answer in 0.2 s")
    assert shouted[1]["cut"] == "only the first 1000 of 10000002 bytes are here; ask for less"
    assert len(shouted[1]["begins"]) == 1000
    assert odd[0] == "output-available"
    assert len(service.requests[1]["messages"][-2]["content"]) < 1500
    assert answer.status == "complete"


async def test_calls_that_are_run_are_counted_by_what_came_of_them() -> None:
    box = Box({"counted": saying(1), "refusing": raising(Conflict("no"))})
    replies = by_turns(calling(("counted", "{}"), ("refusing", "{}"), ("nobody's", "{}")), SAYS_HI)
    async with standing_in(replies) as service:
        await answered(service, box)
    found = {tuple(s.labels.values()): s.value for m in CALLS.collect() for s in m.samples if s.name.endswith("_total")}
    assert (found["counted", "done"], found["refusing", "failed"]) == (1, 1)
    assert not [tool for tool, _ in found if tool.startswith("nobody")]


async def test_calls_of_one_round_run_at_once() -> None:
    meeting = asyncio.Barrier(3)

    async def meet(_effect: UUID) -> Any:
        await meeting.wait()
        return "met"

    async with standing_in(by_turns(calling(*[("meet", "{}")] * 3), SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"meet": Doing(meet)}))
    assert states(answer) == [("output-available", "met")] * 3


async def test_a_call_is_kept_before_it_is_run() -> None:
    kept = Kept()
    seen: list[int] = []

    async def look(_effect: UUID) -> Any:
        seen.append(len(kept.parts))

    async with standing_in(by_turns(calling(("look", "{}")), SAYS_HI)) as service:
        await answered(service, Box({"look": Doing(look)}), kept=kept)
    assert seen == [1]
    assert [part["state"] for part in kept.parts[0]] == ["input-available"]


async def test_nothing_is_done_in_a_turn_that_is_anothers_by_now() -> None:
    async with standing_in(calling(("look", "{}"))) as service:
        with pytest.raises(asyncio.CancelledError):
            await answered(service, Box({"look": raising(AssertionError("it ran"))}), kept=Kept(is_ours=False))
    assert service.asked == 1


async def test_rounds_end() -> None:
    async with standing_in(calling(("look", "{}"))) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}), limits=Limits(10_000, rounds=3))
    assert service.asked == 3
    assert [request.get("tool_choice") for request in service.requests] == [None, None, "none"]
    assert (answer.status, answer.error) == (
        "interrupted",
        "the model asked for tools in 3 rounds, which is as many as it may have",
    )
    assert len(call_parts.calls_in(answer.parts)) == 2


async def test_too_many_calls_at_once_are_not_all_run() -> None:
    async with standing_in(by_turns(calling(*[("look", "{}")] * (MOST_CALLS + 1)), SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert [state for state, _ in states(answer)] == ["output-available"] * MOST_CALLS + ["output-error"]


async def test_calls_of_two_rounds_that_bear_one_id_are_two() -> None:
    effects: list[UUID] = []

    async def note(effect: UUID) -> Any:
        effects.append(effect)

    async with standing_in(by_turns(calling(("note", "{}")), calling(("note", "{}")), SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"note": Doing(note)}))
    assert len(set(effects)) == 2
    assert len({part["toolCallId"] for part in call_parts.calls_in(answer.parts)}) == 2


async def test_a_later_attempt_takes_over_what_was_called_and_asks_for_none_of_it_again() -> None:
    effects: list[UUID] = []

    async def note(effect: UUID) -> Any:
        effects.append(effect)
        return "again"

    had = call_parts.done(call_parts.begun("note", "c0", {}), "before")
    lost = call_parts.begun("note", "c1", {})
    of = turn(attempt=2, partial_parts=[{"type": "text", "text": "I note."}, had, lost])
    async with standing_in(SAYS_HI) as service:
        first, _ = await answered(service, Box({"note": Doing(note)}), of=of)
        second, _ = await answered(service, Box({"note": Doing(note)}), of=of)
    assert states(first) == [("output-available", "before"), ("output-available", "again")]
    assert first.content == "I note.\n\nhi"
    assert service.asked == 2
    assert [message["role"] for message in service.requests[0]["messages"]] == ["user", "assistant", "tool", "tool"]
    assert len(effects) == 2, "each attempt ran the call of which nobody knew what came"
    assert len(set(effects)) == 1, "and its effect has the same name"
    assert second.parts == first.parts


async def test_a_call_that_asks_first_is_not_run_and_ends_the_turn() -> None:
    box = Box({"order": Doing(raising(AssertionError("it ran")).do, asks=True), "look": saying(1)})
    async with standing_in(calling(("order", '{"n": 1}'), ("look", "{}"))) as service:
        answer, _ = await answered(service, box)
    assert service.asked == 1
    assert (answer.status, answer.finish_reason) == ("complete", "tool_calls")
    assert [state for state, _ in states(answer)] == ["approval-requested", "output-available"]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"a"'}},
                {"index": 0, "function": {"arguments": ":1}"}},
            ],
            id="in pieces",
        ),
        pytest.param(
            [{"id": "a", "function": {"name": "look", "arguments": '{"a"'}}, {"function": {"arguments": ":1}"}}],
            id="without an index",
        ),
        pytest.param(
            [
                {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"a"'}},
                {"index": 0, "id": "a", "function": {"name": "look", "arguments": ":1}"}},
            ],
            id="id and name again and again",
        ),
        pytest.param([{"index": 0, "id": "a", "function": {"name": "look", "arguments": {"a": 1}}}], id="as an object"),
    ],
)
@pytest.mark.parametrize("ends", ["tool_calls", "stop", None])
async def test_calls_are_read_however_they_come(pieces: list[dict[str, Any]], ends: str | None) -> None:
    said = [chunk(tool_calls=[piece]) for piece in pieces]
    first = Reply((*said, *((chunk(ends),) if ends else ()), DONE))
    async with standing_in(by_turns(first, SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying("seen")}))
    (part,) = call_parts.calls_in(answer.parts)
    assert (part["input"], part["output"]) == ({"a": 1}, "seen")


async def test_calls_that_all_have_the_index_0_are_told_apart() -> None:
    called = [
        {"index": 0, "id": name, "function": {"name": "look", "arguments": f'{{"at": "{name}"}}'}}
        for name in ("a", "b")
    ]
    first = Reply((*[chunk(tool_calls=[each]) for each in called], chunk("stop"), DONE))
    async with standing_in(by_turns(first, SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert [part["input"] for part in call_parts.calls_in(answer.parts)] == [{"at": "a"}, {"at": "b"}]


async def test_pieces_of_two_calls_by_turns_are_two_calls() -> None:
    called = [
        {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"at":'}},
        {"index": 1, "id": "b", "function": {"name": "look", "arguments": '{"at":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "function": {"arguments": "2}"}},
    ]
    first = Reply((*[chunk(tool_calls=[each]) for each in called], chunk("tool_calls"), DONE))
    async with standing_in(by_turns(first, SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert [part["input"] for part in call_parts.calls_in(answer.parts)] == [{"at": 1}, {"at": 2}]


async def test_a_call_of_the_older_kind_is_one() -> None:
    first = Reply(
        (
            chunk(function_call={"name": "look", "arguments": "{"}),
            chunk(function_call={"arguments": "}"}),
            chunk("function_call"),
            DONE,
        )
    )
    async with standing_in(by_turns(first, SAYS_HI)) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert states(answer) == [("output-available", 1)]


async def test_a_call_that_was_cut_off_is_not_run() -> None:
    said = chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}])
    async with standing_in(Reply((HI, said))) as service:
        answer, _ = await answered(service, Box({"look": raising(AssertionError("it ran"))}))
    assert (answer.status, call_parts.calls_in(answer.parts)) == ("interrupted", [])


REFUSALS = [
    (400, '{"error": {"message": "stablelm2:latest does not support tools"}}'),
    (400, '{"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}'),
    (404, '{"error": {"message": "No endpoints found that support tool use."}}'),
    (500, '{"error": {"message": "tools param requires --jinja flag"}}'),
    (400, '{"error": {"message": "`tool calling` is not supported with this model"}}'),
    (422, '{"detail": [{"loc": ["body", "tools"], "msg": "Extra inputs are not permitted"}]}'),
]


@pytest.mark.parametrize(("status", "said"), REFUSALS)
async def test_a_model_without_tools_answers_without(status: int, said: str) -> None:
    def choosy(request: dict[str, Any]) -> Reply:
        refusal = Reply((said.encode(),), status, ("Content-Type: application/json",))
        return refusal if "tools" in request or "tool_choice" in request else SAYS_HI

    async with standing_in(choosy) as service:
        answer, _ = await answered(service, Box({"look": saying(1)}))
    assert (answer.status, answer.content) == ("complete", "hi")
    assert service.asked == 2


async def test_a_model_without_tools_is_told_of_calls_in_words() -> None:
    had = [call_parts.done(call_parts.begun("note", "c0", {}), "before")]

    def choosy(request: dict[str, Any]) -> Reply:
        said = b'{"error": {"message": "does not support tools"}}'
        return Reply((said,), 400, ("Content-Type: application/json",)) if "tools" in request else SAYS_HI

    async with standing_in(choosy) as service:
        answer, _ = await answered(service, Box({"note": saying(1)}), of=turn(attempt=2, partial_parts=had))
    assert answer.status == "complete"
    told = service.requests[-1]["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert told[1:] == [
        {"role": "assistant", "content": "(note)"},
        {"role": "user", "content": call_parts.RESULT + '\n"before"'},
    ]
