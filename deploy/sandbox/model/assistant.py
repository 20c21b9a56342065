"""What the simulated model answers: a short charter assistant, unless the last user message orders something else."""

import hashlib
import json
import re
from dataclasses import dataclass

from deploy.sandbox.model.directives import CallTool, Orders, Pacing, Say, read_orders
from deploy.sandbox.model.errors import UnreadableDirectiveError
from deploy.sandbox.model.quoting import quoting_step, value_of
from deploy.sandbox.model.requests import ChatRequest, Function, Message
from deploy.sandbox.model.trip_facts import Leg, TripFacts, read_trip_facts

_GO_AHEAD = re.compile(r"\b(?:create|request)\b.*\btrip\b|\btry again\b|\bgo ahead\b", re.IGNORECASE)
_SHOWN_RESULT = 300
_TITLE_WANTED = "Write a title"  # what a prompt begins with that wants nothing but one
_TITLE_WORDS = 6


@dataclass(frozen=True, slots=True)
class CalledTool:
    """One tool call of an answer."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, before it is cut into chunks."""

    text: str
    tools: tuple[CalledTool, ...]
    pacing: Pacing
    thought: str = ""
    refusal: str = ""

    @property
    def finish_reason(self) -> str:
        """Say why the model stopped, in OpenAI's words unless others were ordered."""
        return self.pacing.finish or ("tool_calls" if self.tools else "stop")


def answer(asked: ChatRequest) -> Answer:
    """Work out the answer; it depends on the messages and the tools offered, on nothing else.

    Raises:
        UnreadableDirectiveError: the last user message holds a directive that can't be obeyed.
    """
    last = max((i for i, message in enumerate(asked.messages) if message.role == "user"), default=-1)
    orders = read_orders(asked.messages[last].text) if last >= 0 else Orders()
    steps = _steps_now(orders, asked.messages[last + 1 :])
    if not steps and not orders.refusal:
        own = Say(_title_of(asked.messages[last].text)) if _wants_title(asked) else _charter_step(asked)
        steps = [_grown(own, orders.pacing.chunks)]
    text = "".join(_spoken(step, asked.messages) for step in steps if isinstance(step, Say))
    calls = [step for step in steps if isinstance(step, CallTool)]
    return Answer(text, tuple(_identified(calls, asked.messages)), orders.pacing, orders.thought, orders.refusal)


def _steps_now(orders: Orders, since: list[Message]) -> list[Say | CallTool]:
    """Pick the steps of this answer: up to the last tool call, and once its rounds are over, what follows it."""
    calls = [i for i, step in enumerate(orders.steps) if isinstance(step, CallTool)]
    if not calls:
        return list(orders.steps)
    rounds_done = sum(1 for message in since if message.tool_calls)
    behind = calls[-1] + 1
    return list(orders.steps[:behind] if rounds_done < orders.rounds else orders.steps[behind:])


def _spoken(step: Say, messages: list[Message]) -> str:
    if step.text is not None:
        return step.text
    return json.dumps([message.text for message in messages if message.role == "user"], ensure_ascii=False)


def _grown(step: Say | CallTool, chunks: int | None) -> Say | CallTool:
    """Lengthen an answer of ours, so that each of the chunks ordered has a word to carry."""
    if isinstance(step, CallTool):
        return step
    words = (step.text or "").split()
    extra = [f"({number})" for number in range(len(words) + 1, (chunks or 0) + 1)]
    return Say(" ".join([step.text or "", *extra]))


def _identified(calls: list[CallTool], messages: list[Message]) -> list[CalledTool]:
    """Give each call an id that the same messages give again."""
    if not calls:
        return []
    seed = hashlib.sha256(repr(messages).encode(errors="surrogatepass"))
    named = []
    for index, call in enumerate(calls):
        seed.update(f"{index} {call}".encode(errors="surrogatepass"))
        named.append(CalledTool(f"call_{seed.hexdigest()[:24]}", call.name, call.arguments))
    return named


def _charter_step(asked: ChatRequest) -> Say | CallTool:
    """Ask for what is missing; with everything known, request the trip once."""
    texts = _user_texts(asked.messages)
    about_quotes = quoting_step(asked, texts[-1]) if texts else None
    if about_quotes is not None:
        return about_quotes
    if asked.messages[-1].role == "tool":
        return Say(_told_result(asked.messages))
    facts = read_trip_facts(texts)
    if facts.missing:
        return Say(_question(facts))
    tool = _trip_tool(asked)
    if tool is None:
        return Say(f"I have everything I need: {_summary(facts)}. The request is complete.")
    is_wanted = _GO_AHEAD.search(texts[-1]) or facts != read_trip_facts(texts[:-1])
    if _was_called(tool.name, asked.messages) and not is_wanted:
        return Say("The trip is already requested. Tell me if something about it should change.")
    return CallTool(tool.name, _arguments(facts))


def _wants_title(asked: ChatRequest) -> bool:
    first, last = asked.messages[0], asked.messages[-1]
    return first.role in ("system", "developer") and first.text.startswith(_TITLE_WANTED) and last.role == "user"


def _title_of(told: str) -> str:
    """Name the trip that the first question in what we are told is about, else what it begins with."""
    question = told.partition("User:")[2].partition("Assistant:")[0] or told
    return _summary(read_trip_facts([question])) or " ".join(question.split()[:_TITLE_WORDS])


def _user_texts(messages: list[Message]) -> list[str]:
    return [_without_directives(message.text) for message in messages if message.role == "user"]


def _without_directives(text: str) -> str:
    """Leave out what is not said to the assistant: a tool's JSON would read like a route."""
    try:
        return read_orders(text).rest if "[" in text else text
    except UnreadableDirectiveError:
        return text


def _question(facts: TripFacts) -> str:
    wanted = _listed(list(facts.missing))
    known = _summary(facts)
    if not known:
        return f"I can arrange a charter flight. Please tell me {wanted}."
    return f"Noted: {known}. Please tell me {wanted}."


def _summary(facts: TripFacts) -> str:
    legs = _listed([_described(leg) for leg in facts.legs])
    pax = "" if facts.pax is None else f"{facts.pax} passenger{'s' if facts.pax != 1 else ''}"
    return ", ".join(filter(None, [legs, pax]))


def _described(leg: Leg) -> str:
    return f"{leg.start} to {leg.end}" + (f" on {leg.date}" if leg.date else "")


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _trip_tool(asked: ChatRequest) -> Function | None:
    """Return the tool that requests a trip: `create_trip`, else one that takes segments and pax."""
    if asked.tool_choice == "none":
        return None
    offered = [tool.function for tool in asked.tools or [] if tool.function]
    fitting = [function for function in offered if function.name == "create_trip" or _takes_trip(function)]
    return min(fitting, key=lambda function: function.name != "create_trip", default=None)


def _takes_trip(function: Function) -> bool:
    properties = (function.parameters or {}).get("properties")
    return isinstance(properties, dict) and {"segments", "pax"} <= properties.keys()


def _arguments(facts: TripFacts) -> str:
    segments = [{"from": leg.start, "to": leg.end, "date": leg.date} for leg in facts.legs]
    return json.dumps({"segments": segments, "pax": facts.pax})


def _was_called(name: str, messages: list[Message]) -> bool:
    """Tell whether the tool was called before, by the call or by our words about it: callers may keep text only."""
    calls = [call.function.name for message in messages for call in message.tool_calls or []]
    words = [message.text for message in messages if message.role == "assistant"]
    return name in calls or any(_result_intro(name) in text for text in words)


def _told_result(messages: list[Message]) -> str:
    """Say what the last tool answered."""
    name = next(
        call.function.name
        for message in reversed(messages)
        for call in message.tool_calls or []
        if call.id == messages[-1].tool_call_id
    )
    result = " ".join(_in_short(messages[-1].text).split())
    shown = result if len(result) <= _SHOWN_RESULT else result[:_SHOWN_RESULT] + "..."
    return f"{_result_intro(name)} {shown or 'nothing'}"


def _in_short(result: str) -> str:
    """Say of a trip which one it is and where its operators are chosen; of anything else all that is said."""
    trip = value_of(result)
    if not isinstance(trip, dict) or not trip.get("trip_code"):
        return result
    return f"trip {trip['trip_code']}. Its operators are chosen at {trip.get('deep_link')}"


def _result_intro(name: str) -> str:
    return f"Done. {name} answered:"
