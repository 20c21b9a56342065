"""Messages with nothing beside what every service knows, for one that refuses the rest. Pure."""

import re
from collections.abc import Sequence, Set
from typing import Any

# Of a message: what else stands beside these a service has said itself, of which another may know nothing; SDKs send it
# back all the same: https://github.com/BerriAI/litellm/issues/30835, https://github.com/charmbracelet/crush/issues/1590.
KNOWN = frozenset(("role", "content", "name", "tool_calls", "tool_call_id"))
# Which is no refusal of it: DeepSeek wants back what its model has thought.
WANTED = re.compile(r"must be (?:passed|sent|included|provided|set)|(?:is|are) (?:required|missing)", re.IGNORECASE)
# OpenAI's newer name for the system's role, which SDKs choose by the model's name
# (https://github.com/earendil-works/pi/issues/6238); templates of models say no more than that a role is odd.
DEVELOPER = "developer"
ODD_ROLE = re.compile(r"(?:unexpected|unknown|invalid|unsupported) (?:message )?role", re.IGNORECASE)

Message = dict[str, Any]


def beside_what_is_known(messages: Sequence[Message]) -> set[str]:
    """Name what some of these have beside what every service knows: fields, and the role of a developer."""
    roles = {message["role"] for message in messages}
    return set[str]().union(*messages) - KNOWN | ({DEVELOPER} & roles)


def refuses_one_beside(said: str, beside: Set[str], *, is_of_fields: bool) -> bool:
    """Tell whether a refusal is about one of these; `is_of_fields`: by its status it may be about a field."""
    if DEVELOPER in beside and (ODD_ROLE.search(said) or names_it(said, DEVELOPER)):
        return True
    return is_of_fields and not WANTED.search(said) and any(names_it(said, name) for name in beside)


def made_plain(message: Message) -> Message:
    """Return a message without these."""
    if message.keys() <= KNOWN and message["role"] != DEVELOPER:
        return message
    known = {name: value for name, value in message.items() if name in KNOWN}
    return {**known, "role": "system"} if message["role"] == DEVELOPER else known


def names_it(said: str, field: str) -> bool:
    """Tell whether a field is named, be it as xAI writes `presencePenalty`."""
    return re.search(rf"\b{re.escape(field).replace('_', '_?')}\b", said, re.IGNORECASE) is not None
