"""What a client of OpenAI's sends as the conversation so far: its messages checked, and what is new of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.model.configured.habits import INSTRUCTIONS, text_of
from services.gateway.turns.histories import ROLES, Hashes, Message
from services.gateway.turns.turn import Question

MOST_MESSAGES = 5000
MOST_NEW = 100  # each of them is an event of its own


@dataclass(frozen=True)
class Conversation:
    """A list of messages."""

    messages: Sequence[Message]  # as they came
    new: tuple[Question, ...]  # what nobody has answered yet, without ids; the last one is the question
    continues: str | None  # hash of what was said up to the last answer; none: there was none
    history: str | None  # hash of all of it, for the answer to go on from; none: it goes on by its session alone


def read_conversation(messages: Any) -> Conversation:
    """Read the messages of a request.

    Raises:
        Invalid: They are none, or have something that cannot be passed on; the field is named as OpenAI names it.
    """
    if not isinstance(messages, list) or not messages:
        raise refused_field("messages", "must be a list with at least one message")
    if len(messages) > MOST_MESSAGES:
        raise refused_field("messages", f"may have at most {MOST_MESSAGES} messages")
    _check(messages)
    new, begins = said_since(messages, "messages", unsaid=INSTRUCTIONS)
    hashes = Hashes()
    continues = hashes.add(messages[:begins]) if begins else None
    return Conversation(messages, new, continues, hashes.add(messages[begins:]))


def said_since(messages: Sequence[Message], field: str, unsaid: Sequence[str] = ()) -> tuple[tuple[Question, ...], int]:
    """Return what nobody has answered yet of messages that were checked, and where it begins.

    Args:
        messages: All of them.
        field: What its client calls them.
        unsaid: The roles of those that are no part of what was said.

    Raises:
        Invalid: There is nothing to answer, or too much.
    """
    begins = _begin_of_new(messages)
    new = [message for message in messages[begins:] if message["role"] not in (*unsaid, "assistant")]
    new = new or [_last_said(messages, field)]
    if len(new) > MOST_NEW:
        raise refused_field(field, f"may have at most {MOST_NEW} messages after the last answer")
    return tuple(map(_question, new)), begins


def _begin_of_new(messages: Sequence[Message]) -> int:
    """Return where what follows the last answer begins; an answer that ends the list is one that is to go on."""
    end = len(messages)
    while end and messages[end - 1]["role"] == "assistant":
        end -= 1
    return next((at + 1 for at in reversed(range(end)) if messages[at]["role"] == "assistant"), 0)


def _last_said(messages: Sequence[Message], field: str) -> Message:
    said = next((message for message in reversed(messages) if message["role"] != "assistant"), None)
    if said is None:
        raise refused_field(field, "must have one that is not the assistant's")
    return said


def _question(message: Message) -> Question:
    text, role = text_of(message), ROLES[message["role"]]
    name = {"name": message["name"]} if isinstance(message.get("name"), str) else {}
    if role == "tool":
        result = {"type": "tool-result", "toolCallId": message["tool_call_id"], "output": text}
        return Question("", text, [result], role=role, metadata=name)
    content = message["content"]
    texts = [text] if isinstance(content, str) else [part["text"] for part in content]
    return Question("", text, [{"type": "text", "text": each} for each in texts], role=role, metadata=name)


def _check(messages: Sequence[Any]) -> None:
    """Refuse what cannot be passed on; what a tool says must answer a call, and is one text from then on."""
    called: set[str] = set()
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if not isinstance(message, dict):
            raise refused_field(place, "must be an object")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise refused_field(f"{place}.role", f"must be one of {', '.join(ROLES)}")
        _check_content(message.get("content"), place, may_be_empty=role == "assistant")
        if role == "assistant":
            called |= _checked_calls(message.get("tool_calls"), place)
            if not isinstance(message.get("refusal"), str | None):
                raise refused_field(f"{place}.refusal", "must be a string")
        elif role == "tool":
            _check_result(message.get("tool_call_id"), called, place)
            # A list of parts is passed over by models whose templates know texts alone, which then make up a result
            # (https://github.com/strands-agents/harness-sdk/pull/1878).
            message["content"] = text_of(message)


def _check_content(content: Any, place: str, *, may_be_empty: bool) -> None:
    if isinstance(content, str) or (content is None and may_be_empty):
        return
    if not isinstance(content, list):
        raise refused_field(f"{place}.content", "must be a string or a list of parts")
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        name = "refusal" if kind == "refusal" and may_be_empty else "text"
        if kind != name:
            raise refused_field(f"{place}.content[{number}].type", f"{shown(kind)} is not supported: only text is")
        if not isinstance(part.get(name), str):
            raise refused_field(f"{place}.content[{number}].{name}", "must be a string")


def _checked_calls(calls: Any, place: str) -> set[str]:
    if calls is None:
        return set()
    if not isinstance(calls, list):
        raise refused_field(f"{place}.tool_calls", "must be a list")
    ids = [_checked_call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
    return set(ids)


def _checked_call(call: Any, place: str) -> str:
    if not isinstance(call, dict) or not isinstance(call.get("id"), str):
        raise refused_field(f"{place}.id", "must be a string")
    function = call.get("function") or call.get("custom")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise refused_field(f"{place}.function.name", "must be a string")
    call_id: str = call["id"]
    return call_id


def _check_result(call_id: Any, called: set[str], place: str) -> None:
    if not isinstance(call_id, str):
        raise refused_field(f"{place}.tool_call_id", "must be a string")
    if call_id not in called:
        raise refused_field(
            f"{place}.tool_call_id",
            "answers no call: a message with role tool must follow an assistant's with tool_calls that has it",
        )


def shown(kind: Any) -> str:
    """Return the name of a type that is refused, where it is one."""
    return kind[:64] if isinstance(kind, str) and kind.isprintable() else "this kind of part"
