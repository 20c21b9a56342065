"""Read the body of `POST /v1/responses`, and say it in the words of chat completions. Pure.

What only OpenAI itself can do is refused by name. A field that nobody knows is the model's service's to take or to
refuse, as those are that many services have beside OpenAI's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.model.relayed import Relayed
from services.gateway.turns.histories import Hashes, Message
from services.gateway.v1.asked import Asked, read_body, read_model, read_naming, typed
from services.gateway.v1.conversation import Conversation, said_since, shown
from services.gateway.v1.response_input import Input, Item, read_input, refuse_uncalled
from shared.errors import Refused

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{32})")
ITEM_ID = re.compile(r"(?:msg|rs|fc)_([0-9a-f]{32})(?:_[0-9]{1,4})?")
UNSUPPORTED = {  # by name, with what is there instead
    "access_programs": "only OpenAI has them",
    "background": "the answer is waited for, or streamed",
    "context_management": "nothing is compacted",
    "conversation": "send previous_response_id, or X-Session-Id",
    "image": "only text is answered",
    "max_tool_calls": "no tools are built in",
    "moderation": "nothing is moderated here",
    "prompt": "send instructions",
    "prompt_cache_options": "the model's service chooses what it caches",
    "top_logprobs": "ask for them by chat completions",
}
HARMLESS = ("background",)  # where it is false
# Read here, and sent as chat completions have it; nothing but what is not among these is sent as it is.
OURS = frozenset(
    (
        *("model", "input", "instructions", "previous_response_id", "store", "stream", "stream_options", "metadata"),
        *("include", "truncation", "max_output_tokens", "reasoning", "text", "tools", "tool_choice"),
        *UNSUPPORTED,
    )
)
INCLUDABLE = frozenset(("reasoning.encrypted_content",))  # of which there is none, since all thoughts are told
REPEATED = (  # by the answer, as they came
    *("instructions", "max_output_tokens", "parallel_tool_calls", "previous_response_id", "prompt_cache_key"),
    *("reasoning", "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice", "tools"),
    *("top_p", "truncation", "user", "metadata"),
)
LIMIT = "max_completion_tokens"  # as OpenAI calls it; others know it by an older name


class NoSuchPrevious(Refused):
    """There is no response to go on from under this id."""

    def __init__(self, response_id: str) -> None:
        named = {"errors": [{"field": "previous_response_id"}], "openai_code": "previous_response_not_found"}
        super().__init__(f"Previous response with id '{shown(response_id)}' not found.", **named)


def response_id(turn_id: UUID) -> str:
    """Name the response that a turn is."""
    return f"resp_{turn_id.hex}"


def turn_of(said: str) -> UUID | None:
    """Return the turn that a response's id names; None where it is no such id."""
    found = RESPONSE_ID.fullmatch(said)
    return UUID(found[1]) if found else None


def turn_of_item(named: str) -> UUID | None:
    """Return the turn whose answer has the item of this id; None where it is no such id."""
    found = ITEM_ID.fullmatch(named)
    return UUID(found[1]) if found else None


def read_response_request(
    body: bytes, headers: Mapping[str, str], max_extra_bytes: int, items: Mapping[str, Item] | None = None
) -> Asked:
    """Read one request.

    Args:
        body: As it came.
        headers: In lower case.
        max_extra_bytes: Of its metadata.
        items: Those of earlier responses that were looked up because it names them.

    Raises:
        ItemsNamed: It names some, and nothing was looked up.
        Invalid: The body is none; the field is named as OpenAI names it.
        NoSuchPrevious: It goes on from what cannot be a response's id.
        TooLarge: It has too much metadata.
        UnsupportedMedia: It does not say that it is JSON, and may come from another site's form.
    """
    said = read_body(body, headers)
    _refuse_unsupported(said)
    naming = read_naming(said, body, headers, max_extra_bytes)
    previous = _previous(said)
    given = read_input(said.get("input"), items)
    if previous is None:
        refuse_uncalled(given.results, ())
    return Asked(
        model=read_model(said),
        conversation=_conversation(given, previous),
        relayed=Relayed(_fields(said), wants_usage=True, may_rename=frozenset((LIMIT,))),
        naming=naming,
        streams=bool(typed(said, "stream", bool)),
        prompt=_prompt(said),
        previous=previous,
        results=given.results,
        stores=typed(said, "store", bool) is not False,
        told={name: said[name] for name in REPEATED if said.get(name) is not None},
    )


def _refuse_unsupported(said: Mapping[str, Any]) -> None:
    for name, instead in UNSUPPORTED.items():
        if said.get(name) is not None and not (name in HARMLESS and said[name] is False):
            raise refused_field(name, f"is not supported: {instead}")
    for name in typed(said, "include", list) or ():
        if not isinstance(name, str) or name not in INCLUDABLE:
            raise refused_field("include", f"{shown(name)} is not supported")
    if said.get("truncation") not in (None, "disabled"):
        raise refused_field("truncation", 'must be "disabled": nothing of the input is left out')
    typed(said, "stream_options", dict)


def _previous(said: Mapping[str, Any]) -> UUID | None:
    named = typed(said, "previous_response_id", str)
    if named is None:
        return None
    turn_id = turn_of(named)
    if turn_id is None:
        raise NoSuchPrevious(named)
    return turn_id


def _prompt(said: Mapping[str, Any]) -> tuple[Message, ...]:
    instructions = typed(said, "instructions", str)
    return ({"role": "system", "content": instructions},) if instructions else ()


def _conversation(given: Input, previous: UUID | None) -> Conversation:
    """Say what is new of the input; the instructions are no part of it, since each request has its own."""
    new, begins = said_since(given.messages, "input")
    if previous is not None:
        return Conversation(given.messages, new, None, None)
    hashes = Hashes()
    continues = hashes.add(given.messages[:begins]) if begins else None
    return Conversation(given.messages, new, continues, hashes.add(given.messages[begins:]))


def _fields(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model's service is sent beside the messages."""
    fields = {name: value for name, value in said.items() if name not in OURS and value is not None}
    translated = {
        LIMIT: _limit(said),
        "reasoning_effort": _of_reasoning(said),
        **_of_text(said),
        "tools": _listed(said, "tools", _tool) or None,
        "tool_choice": _choice(said.get("tool_choice")),
    }
    return fields | {name: value for name, value in translated.items() if value is not None}


def _limit(said: Mapping[str, Any]) -> int | None:
    limit: int | None = said.get("max_output_tokens")
    if limit is None or type(limit) is int:
        return limit
    raise refused_field("max_output_tokens", "must be a whole number")


def _of_reasoning(said: Mapping[str, Any]) -> Any:
    """Return how much is to be thought; summaries of it there are none, since all of it is told."""
    wanted = typed(said, "reasoning", dict) or {}
    for name, value in wanted.items():
        if value is not None and name not in ("effort", "summary", "generate_summary"):
            raise refused_field(f"reasoning.{shown(name)}", "is not supported")
    return wanted.get("effort")


def _of_text(said: Mapping[str, Any]) -> dict[str, Any]:
    text = typed(said, "text", dict) or {}
    form = text.get("format")
    if form is not None and not isinstance(form, dict):
        raise refused_field("text.format", "must be an object")
    return {"verbosity": text.get("verbosity"), "response_format": _format(form) if form else None}


def _format(form: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind == "json_schema":
        return {"type": kind, kind: {name: value for name, value in form.items() if name != "type"}}
    raise refused_field("text.format.type", f"{shown(kind)} is not supported: text, json_object and json_schema are")


def _listed(said: Mapping[str, Any], name: str, read: Callable[[Any, str], Any]) -> Sequence[Any]:
    return [read(each, f"{name}[{number}]") for number, each in enumerate(typed(said, name, list) or ())]


def _tool(tool: Any, place: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind != "function":
        raise refused_field(f"{place}.type", f"{shown(kind)} is not supported: only functions are")
    if not isinstance(tool.get("name"), str):
        raise refused_field(f"{place}.name", "must be a string")
    told = ("name", "description", "parameters", "strict")
    return {"type": kind, kind: {name: tool[name] for name in told if tool.get(name) is not None}}


def _choice(choice: Any) -> Any:
    if choice is None or choice in ("none", "auto", "required"):
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind != "function":
        raise refused_field("tool_choice", f"{shown(kind)} is not supported: none, auto, required and a function are")
    return {"type": kind, kind: {"name": choice.get("name")}}
