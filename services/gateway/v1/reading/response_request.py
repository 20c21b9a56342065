"""Read the body of `POST /v1/responses`, and say it in the words of chat completions. Pure."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.gateway.model.relayed import Relayed
from services.gateway.turns.histories import Hashes, Message
from services.gateway.v1.reading.asked import Asked, read_body, read_model, read_naming, typed
from services.gateway.v1.reading.conversation import Conversation, said_since, shown
from services.gateway.v1.reading.response_fields import LIMIT, refuse_unsupported, sent_fields
from services.gateway.v1.reading.response_input import Input, Item, read_input, refuse_uncalled
from shared.errors import Refused

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{32})")
ITEM_ID = re.compile(r"(?:msg|rs|fc)_([0-9a-f]{32})(?:_[0-9]{1,4})?")
REPEATED = (  # by the answer, as they came
    *("instructions", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "previous_response_id"),
    *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text"),
    *("tool_choice", "tools", "top_p", "truncation", "user", "metadata"),
)


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
    refuse_unsupported(said)
    naming = read_naming(said, body, headers, max_extra_bytes)
    previous = _previous(said)
    given = read_input(said.get("input"), items)
    if previous is None:
        refuse_uncalled(given.results, ())
    return Asked(
        model=read_model(said),
        conversation=_conversation(given, previous),
        relayed=Relayed(sent_fields(said), wants_usage=True, may_rename=frozenset((LIMIT,))),
        naming=naming,
        streams=bool(typed(said, "stream", bool)),
        prompt=_prompt(said),
        previous=previous,
        results=given.results,
        stores=typed(said, "store", bool) is not False,
        told={name: said[name] for name in REPEATED if said.get(name) is not None},
    )


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
