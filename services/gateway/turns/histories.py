"""What tells a history from every other, for clients that send all of it and know no session. Pure.

Two are the same where roles, texts and calls of tools are: also where a client has spelled the arguments of a call
anew, left out what the model thought, or numbered the calls in its own way.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import orjson

from services.gateway.model.configured.habits import text_of
from services.gateway.model.reading.surrogates import storable
from services.gateway.model.reading.thoughts import Thoughts, begins_plainly
from services.gateway.model.reading.tool_calls import NO_ARGUMENTS
from shared.events import Role

ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "system": "system",
    "developer": "system",
}

Message = dict[str, Any]


def with_answer(history: str, text: str, parts: Iterable[Mapping[str, Any]]) -> str:
    """Return the hash of a history and the answer to it, whose calls of tools are among these parts."""
    calls = [
        {"function": {"name": part["type"].removeprefix("tool-"), "arguments": part.get("input")}}
        for part in parts
        if part["type"].startswith("tool-")
    ]
    return Hashes(history).add([{"role": "assistant", "content": text, "tool_calls": calls}])


def continued(history: str | None, text: str, parts: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what the next request of a client begins with; None for one that names its sessions."""
    return None if history is None else with_answer(history, text, parts)


class Hashes:
    """A hash that grows with each message, so that a history's is on the way to what follows it."""

    def __init__(self, history: str = "") -> None:
        self._so_far = bytes.fromhex(history)

    def add(self, messages: Iterable[Message]) -> str:
        for message in messages:
            self._so_far = sha256(self._so_far + orjson.dumps(_canonical(message))).digest()
        return self._so_far.hex()


def _canonical(message: Message) -> list[Any]:
    role, text = ROLES[message["role"]], text_of(message) + (message.get("refusal") or "")
    if role == "assistant" and not begins_plainly(text):
        text = Thoughts().split(text)[0]
    calls = [_called(call) for call in message.get("tool_calls") or ()]
    return [role, storable(text).strip(), calls]


def _called(call: Message) -> list[Any]:
    function = call.get("function") or call.get("custom") or {}
    arguments = function.get("arguments", function.get("input"))
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments.strip() or NO_ARGUMENTS)
        except orjson.JSONDecodeError:
            arguments = storable(arguments)
    return [function.get("name"), _spelled({} if arguments is None else arguments)]


def _spelled(arguments: Any) -> str:
    """Spell arguments as everybody's are; those that are too deep for that, as Python shows them."""
    try:
        return orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:
        return storable(json.dumps(arguments, sort_keys=True))
