"""What was said on the way to a response, as its model is told: with calls of tools and their results. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.turns import call_parts
from services.gateway.turns.here.conversation import LONGEST_RESULT
from services.gateway.turns.histories import Message
from services.gateway.turns.past.said import Said
from services.gateway.turns.pieces import STEP
from services.gateway.v1.reading.response_input import refuse_uncalled
from services.gateway.v1.told.response_shape import calls_of
from shared.errors import Refused

Parts = Sequence[Mapping[str, Any]]  # the AI SDK's, of one message
AllParts = Mapping[str, Parts | None]  # by message, of those with calls or results; none: too much to be read


class ContextTooLong(Refused):
    """The calls that these results answer do not fit into the model's context beside this request."""

    def __init__(self) -> None:
        super().__init__(None, errors=[{"field": "input"}], openai_code="context_length_exceeded")


def way_to(message_id: str, history: Sequence[Said]) -> list[Said]:
    """Return what was said on the way to a message, in order; what the system noted is on no way."""
    by_id = {said.message_id: said for said in history}
    path: list[Said] = []
    at: str | None = message_id
    while at is not None and (said := by_id.pop(at, None)) is not None:
        path.append(said)
        at = said.parent_id
    return path[::-1]


def known_of(path: Sequence[Said]) -> list[Said]:
    """Return the newest whose texts are known, and the last in any case: results may answer its calls."""
    unknown = max((number for number, said in enumerate(path) if said.content is None), default=-1)
    return list(path[unknown + 1 :] or path[-1:])


def told_with(
    results: Sequence[tuple[str, str]], path: Sequence[Said], parts: AllParts, room_bytes: float
) -> list[Message]:
    """Spell what was said before these results, of which each must answer a call.

    Args:
        results: (call, its place in the request).
        path: What was said.
        parts: Of it.
        room_bytes: How long all that is told may be.

    Raises:
        Invalid: One answers none.
        ContextTooLong: Not even the answer with the calls fits.
    """
    told = told_of(path, parts, room_bytes)
    if results:
        last = _messages(path[-1], parts.get(path[-1].message_id, ())) if path else []
        if last is not None:
            refuse_uncalled(results, calls_in([*told, *last]))
        if not told:
            raise ContextTooLong
    return told


def told_of(path: Sequence[Said], parts: AllParts, room_bytes: float) -> list[Message]:
    """Spell what was said in the words of chat completions; of what does not fit, the newest.

    What is left then begins with no result whose call is cut off, and no answer whose question is.
    """
    told: list[list[Message]] = []
    for said in reversed(path):
        messages = _messages(said, parts.get(said.message_id, ()))
        if messages is None:
            break
        room_bytes -= sum(_length(message) for message in messages)
        if room_bytes < 0:
            break
        told.append(messages)
    spelled = [message for messages in reversed(told) for message in messages]
    is_whole = len(told) == len(path) and bool(path) and path[0].parent_id is None
    return spelled if is_whole else _from_a_beginning(spelled)


def _from_a_beginning(messages: Sequence[Message]) -> list[Message]:
    for number, message in enumerate(messages):
        if message["role"] in ("user", "system") or "tool_calls" in message:
            return list(messages[number:])
    return []


def _length(message: Message) -> int:
    called = sum(len(call["function"]["arguments"]) for call in message.get("tool_calls", ()))
    return len((message["content"] or "").encode()) + called


def _messages(said: Said, parts: Parts | None) -> list[Message] | None:
    """Spell one message, with the results of tools that ran here for it; none: it was not read."""
    if said.content is None or parts is None:
        return None
    if said.role == "tool":
        ids = [part["toolCallId"] for part in parts if part.get("type") == "tool-result"]
        return [{"role": "tool", "tool_call_id": call_id, "content": said.content} for call_id in ids[:1]]
    if said.role != "assistant":
        return [{"role": said.role, "content": said.content}]
    if _has_rounds(parts):
        return list(call_parts.told([dict(part) for part in parts], LONGEST_RESULT, whole=True))
    spelled = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls_of(parts)
    ]
    if spelled:
        return [{"role": "assistant", "content": said.content or None, "tool_calls": spelled}]
    return [{"role": "assistant", "content": said.content}] if said.content.strip() else []


def _has_rounds(parts: Parts) -> bool:
    """Tell whether tools of ours were called: the client's own are its to run, and their parts stay as they began."""
    return any(part["type"] == STEP or part.get("state") in _FURTHER for part in parts)


_FURTHER = call_parts.PROGRESS.keys() - {call_parts.RUNS}


def calls_in(messages: Sequence[Message]) -> set[str]:
    """Return the calls of tools that were made."""
    return {call["id"] for message in messages for call in message.get("tool_calls", ())}
