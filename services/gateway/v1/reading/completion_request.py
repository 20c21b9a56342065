"""Read the body of `POST /v1/chat/completions`. Pure.

What is ours of it is read and checked; everything else is the model's service's to take or to refuse.
"""

from collections.abc import Mapping
from typing import Any

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.model.configured import habits
from services.gateway.model.relayed import Relayed
from services.gateway.v1.reading.asked import Asked, read_body, read_model, read_naming, typed
from services.gateway.v1.reading.conversation import read_conversation
from services.gateway.v1.reading.tool_fields import with_tools_alone

OURS = frozenset(("model", "messages", "stream", "stream_options", "metadata"))  # read here, and sent as we want it
LIMITS = frozenset(habits.LIMITS)
UNSUPPORTED = {  # by name, with what is there instead
    "functions": "send tools",
    "function_call": "send tool_choice",
    "audio": "only text is answered",
}


def read_completion_request(body: bytes, headers: Mapping[str, str], max_extra_bytes: int) -> Asked:
    """Read one request.

    Raises:
        Invalid: The body is none; the field is named as OpenAI names it.
        TooLarge: It has too much metadata.
        UnsupportedMedia: It does not say that it is JSON, and may come from another site's form.
    """
    said = read_body(body, headers)
    _refuse_unsupported(said)
    naming = read_naming(said, body, headers, max_extra_bytes)
    relayed = _relayed(said, naming.metadata)
    return Asked(read_model(said), read_conversation(said.get("messages")), relayed, naming, relayed.streams)


def _refuse_unsupported(said: Mapping[str, Any]) -> None:
    if said.get("n") not in (None, 1):
        raise refused_field("n", "must be 1: one answer is given to a request")
    for name, instead in UNSUPPORTED.items():
        if said.get(name) is not None:
            raise refused_field(name, f"is not supported: {instead}")
    modalities = said.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise refused_field("modalities", 'must be ["text"]: only text is answered')


def _relayed(said: Mapping[str, Any], metadata: dict[str, Any]) -> Relayed:
    streams = bool(typed(said, "stream", bool))
    options = typed(said, "stream_options", dict) or {}
    fields = {name: value for name, value in said.items() if name not in OURS and value is not None}
    if streams and options:
        fields["stream_options"] = {**options, "include_usage": True}
    if metadata:
        fields["metadata"] = metadata
    wants_usage = streams and options.get("include_usage") is True
    return Relayed(with_tools_alone(fields), streams, wants_usage, may_rename=_limit_in(fields))


def _limit_in(fields: Mapping[str, Any]) -> frozenset[str]:
    """Return the name of the limit on the answer, which services know by one of two: another one, where both are."""
    named = LIMITS & fields.keys()
    return named if len(named) == 1 else frozenset()
