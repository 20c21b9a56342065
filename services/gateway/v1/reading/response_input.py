"""What a client of OpenAI's Responses sends as input: its items, as the messages that models are told. Pure.

One answer comes out as several items, a message and each call of a tool; so those that stand together come back as one
message. What the model thought is left out: no other model can read it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.turns.histories import Message
from services.gateway.v1.reading.conversation import MOST_MESSAGES, shown

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
TEXTS = frozenset(("input_text", "output_text", "text"))  # kinds of parts
TEXT_ONLY = "is not supported: only text is"

Item = dict[str, Any]


class ItemsNamed(Exception):  # no error: the request is read again with them
    """Items of earlier responses are only named, and have to be looked up."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names


@dataclass(frozen=True)
class Input:
    """What was sent."""

    messages: list[Message]
    results: tuple[tuple[str, str], ...]  # of tools that no call among them asked for: (call, its place in the request)


def read_input(said: Any, items: Mapping[str, Item] | None = None) -> Input:
    """Read the input of a request.

    Args:
        said: As it came.
        items: Those that were looked up because it names them; none: nothing was yet.

    Raises:
        ItemsNamed: It names some, and nothing was looked up.
        Invalid: It is none, or has something that cannot be passed on; the place is named as OpenAI names it.
    """
    if isinstance(said, str):
        return Input([{"role": "user", "content": said}], ())
    if not isinstance(said, list) or not said:
        raise refused_field("input", "must be a text, or a list with at least one item")
    if len(said) > MOST_MESSAGES:
        raise refused_field("input", f"may have at most {MOST_MESSAGES} items")
    named = {item["id"] for item in said if _is_reference(item)}
    if named and items is None:
        raise ItemsNamed(named)
    said = [_found(item, items or {}, f"input[{number}]") for number, item in enumerate(said)]
    messages: list[Message] = []
    for number, item in enumerate(said):
        _add(messages, item, f"input[{number}]")
    return Input(messages, tuple(_uncalled(said)))


def _is_reference(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "item_reference" and isinstance(item.get("id"), str)


def _found(item: Any, items: Mapping[str, Item], place: str) -> Any:
    """Return the item that one stands for, which only names it."""
    if not _is_reference(item):
        return item
    if item["id"] not in items:
        raise refused_field(f"{place}.id", "names no item of a response that is kept")
    return items[item["id"]]


def refuse_uncalled(results: Iterable[tuple[str, str]], called: Collection[str]) -> None:
    """Refuse the results of tools that were not called.

    Args:
        results: (call, its place in the request).
        called: The calls that were made.

    Raises:
        Invalid: One of them is of another call.
    """
    for call_id, place in results:
        if call_id not in called:
            raise refused_field(f"{place}.call_id", "answers no call: a function_call of this id must come before it")


def _uncalled(items: Sequence[Item]) -> Iterable[tuple[str, str]]:
    called: set[str] = set()
    for number, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            called.add(item["call_id"])
        elif kind == "function_call_output" and item["call_id"] not in called:
            yield item["call_id"], f"input[{number}]"


def _add(messages: list[Message], item: Any, place: str) -> None:
    if not isinstance(item, dict):
        raise refused_field(place, "must be an object")
    kind = item.get("type", "message")
    if kind == "message":
        _add_message(messages, item, place)
    elif kind == "function_call":
        _answer(messages).setdefault("tool_calls", []).append(_call(item, place))
    elif kind == "function_call_output":
        call_id = _text(item, "call_id", place)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": _output(item.get("output"), place)})
    elif kind != "reasoning":
        raise refused_field(f"{place}.type", f"{shown(kind)} is not supported: only messages and function calls are")


def _add_message(messages: list[Message], item: Item, place: str) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise refused_field(f"{place}.role", f"must be one of {', '.join(ROLES)}")
    texts = _texts(item.get("content"), f"{place}.content", may_refuse=role == "assistant")
    if role == "assistant":
        answer = _answer(messages)
        answer["content"] = (answer["content"] or "") + "".join(texts)
    elif len(texts) == 1:
        messages.append({"role": ROLES[role], "content": texts[0]})
    else:
        messages.append({"role": ROLES[role], "content": [{"type": "text", "text": text} for text in texts]})


def _answer(messages: list[Message]) -> Message:
    """Return the answer that goes on with the next item, which may begin it."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _call(item: Item, place: str) -> dict[str, Any]:
    function = {"name": _text(item, "name", place), "arguments": _text(item, "arguments", place)}
    return {"id": _text(item, "call_id", place), "type": "function", "function": function}


def _output(output: Any, place: str) -> str:
    return "\n".join(_texts(output, f"{place}.output"))


def _texts(content: Any, place: str, *, may_refuse: bool = False) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise refused_field(place, "must be a text or a list of parts")
    return [_part(part, f"{place}[{number}]", may_refuse=may_refuse) for number, part in enumerate(content)]


def _part(part: Any, place: str, *, may_refuse: bool) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "refusal" and may_refuse:
        return _text(part, "refusal", place)
    if not isinstance(kind, str) or kind not in TEXTS:
        raise refused_field(f"{place}.type", f"{shown(kind)} {TEXT_ONLY}")
    return _text(part, "text", place)


def _text(said: Mapping[str, Any], name: str, place: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise refused_field(f"{place}.{name}", "must be a string")
    return value
