"""What OpenAI's clients can read of an event, and what an event is without the rest. Pure.

Clients in languages with types cannot do without some names, and know nothing but OpenAI's words and numbers.
"""

import re
from collections.abc import Mapping
from typing import Any

from services.gateway.model.ending import FILTERED, LENGTH, STOP, TOOLS
from services.gateway.model.reading.usage import COUNTS, spelled, usage_in

REASONS = frozenset((STOP, LENGTH, FILTERED, TOOLS))  # OpenAI's words
# What clients in languages with types cannot do without (https://github.com/zed-industries/zed/issues/37022), and what
# they take for a reason that they do not know: https://github.com/OpenSecretCloud/maple-proxy/issues/3.
NAMES = (b'"id"', b'"object"', b'"created"', b'"model"')
WHOLE, CHUNK = "chat.completion", "chat.completion.chunk"
NO_NAME = re.compile(rb'"(?:id|model)"\s*:(?!\s*")|"created"\s*:(?!\s*\d+\s*[,}])|"object"\s*:(?!\s*"chat\.completion)')
# pydantic-ai and others know OpenAI's words alone; Groq, Bedrock and Anthropic's have their own
# (https://github.com/pydantic/pydantic-ai/issues/2499, https://github.com/pydantic/pydantic-ai/issues/4895).
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
NO_TIER = rb'"service_tier"\s*:(?!\s*(?:"(?:%b)"|null))' % "|".join(TIERS).encode()
# SGLang counts nothing but details before the end (https://github.com/theopenco/llmgateway/pull/2861), others say null.
ALL_COUNTS = b"".join([rb'(?=[^{}]*"%s"\s*:\s*\d+\s*[,}])' % name.encode() for name in COUNTS])
ODD = re.compile(NO_TIER + rb'|"usage"\s*:\s*\{(?!' + ALL_COUNTS + rb")")
ROLE = re.compile(rb'"role"\s*:\s*"assistant"')
NO_REASON = re.compile(rb'"finish_reason"\s*:\s*"(?:null|none)?"', re.IGNORECASE)


def lacks_something(event: bytes, kind: str) -> bool:
    """Tell whether an event of the usual shape is none of this kind that every client reads."""
    if not has_all_names(event) or b'"%s"' % kind.encode() not in event:
        return True
    if b'"index"' not in event and (kind == WHOLE or b'"delta"' in event):
        return True
    return any(odd.search(event) for odd in (NO_NAME, NO_REASON, ODD))


def is_odd(event: bytes) -> bool:
    """Tell whether an event has a word or a count that its clients cannot read."""
    return ODD.search(event) is not None


def tells_role(event: bytes) -> bool:
    """Tell whether an event says whose the answer is."""
    return ROLE.search(event) is not None


def has_all_names(event: bytes) -> bool:
    return all(name in event for name in NAMES)


def readable(value: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event without what says nothing, or what nobody could read.

    Args:
        value: What it says.
        head: What is told in the stead of what it does not have, or has as another type.
    """
    known = {name: each for name, each in value.items() if each not in (None, {})}
    if known.get("service_tier") not in TIERS:
        known.pop("service_tier", None)
    usage = known.get("usage")
    if isinstance(usage, dict) and not all(type(usage.get(name)) is int for name in COUNTS):
        counted = usage_in(known.pop("usage"))
        known |= {"usage": spelled(counted)} if counted else {}
    return known | {name: each for name, each in head.items() if type(known.get(name)) is not type(each)}
