"""Messages with nothing beside what every service knows, for one that refuses the rest. Pure."""

import re
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Any

# Of a message: what else stands beside these a service has said itself, of which another may know nothing; SDKs send it
# back all the same: https://github.com/BerriAI/litellm/issues/30835, https://github.com/charmbracelet/crush/issues/1590.
KNOWN = frozenset(("role", "content", "name", "tool_calls", "tool_call_id"))
MOST_BESIDE = 50  # different names; no SDK has as many
# Which is no refusal of it: DeepSeek wants back what its model has thought.
WANTED = re.compile(r"must be (?:passed|sent|included|provided|set)|(?:is|are) (?:required|missing)", re.IGNORECASE)
# It is known, and its client has made something else of it, which says nothing of other clients.
BAD_VALUE = re.compile(
    r"(?:must|should|to) be (?:an?|of|one|in|less|greater|valid)\b|expected (?:an?|one|type)\b|expected \w+, got"
    r"|invalid (?:type|value)|not (?:an? )?valid|wrong type",
    re.IGNORECASE,
)
# OpenAI's newer name for the system's role, which SDKs choose by the model's name
# (https://github.com/earendil-works/pi/issues/6238); templates of models say no more than that a role is odd.
DEVELOPER = "developer"
ODD_ROLE = re.compile(r"(?:unexpected|unknown|invalid|unsupported) (?:message )?role", re.IGNORECASE)

Message = dict[str, Any]


def beside_what_is_known(messages: Sequence[Message]) -> set[str]:
    """Name what some of these have beside what every service knows: fields, and the role of a developer."""
    roles = {message["role"] for message in messages}
    fields = set[str]().union(*messages) - KNOWN
    return (fields if len(fields) <= MOST_BESIDE else set()) | ({DEVELOPER} & roles)


def refuses_developer(said: str, beside: Set[str]) -> bool:
    """Tell whether a refusal is about the role of one of these."""
    return DEVELOPER in beside and (ODD_ROLE.search(said) is not None or names_it(said, DEVELOPER))


def refuses_field(said: str, beside: Set[str]) -> bool:
    """Tell whether a refusal is about a field of these that this service does not know."""
    if WANTED.search(said) or BAD_VALUE.search(said):
        return False
    return any(names_it(said, name) for name in beside - {DEVELOPER})


def wants_back(said: str, beside: Set[str]) -> bool:
    """Tell whether a refusal is about a field of these that was left out."""
    return WANTED.search(said) is not None and any(names_it(said, name) for name in beside)


def made_plain(message: Message) -> Message:
    """Return a message without the fields that not every service knows."""
    if message.keys() <= KNOWN:
        return message
    return {name: value for name, value in message.items() if name in KNOWN}


def without_developer(message: Message) -> Message:
    """Return a message of no role that not every service knows."""
    return {**message, "role": "system"} if message["role"] == DEVELOPER else message


def names_it(said: str, field: str) -> bool:
    """Tell whether a field is named, be it as xAI writes `presencePenalty`."""
    return field.lower().replace("_", "") in _words(said)


@lru_cache(1)  # of one refusal, for as many fields as a client has thought of
def _words(said: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", said.lower().replace("_", "")))
