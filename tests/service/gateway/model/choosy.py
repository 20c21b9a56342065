"""Services that take less than others: each answers a request as it would, fine or refused."""

import json
from typing import Any

from tests.service.gateway.model.stand_in import DONE, HI, STOP, Reply

FINE = Reply((HI, STOP, DONE))
WHOLE = Reply(
    (b'{"object": "chat.completion", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}',),
    headers=("Content-Type: application/json",),
)


def refusing(status: int, message: Any) -> Reply:
    return Reply((json.dumps({"error": {"message": message}}).encode(),), status, ("Content-Type: application/json",))


def mistral(request: dict[str, Any]) -> Reply:
    """Refuse every field that is not known."""
    unknown = request.keys() - {"model", "messages", "stream", "temperature", "max_tokens"}
    errors = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in unknown
    ]
    return refusing(422, {"detail": errors}) if unknown else FINE


def one_by_one(request: dict[str, Any]) -> Reply:
    """Name one unknown field at a time, as OpenAI does."""
    unknown = sorted(request.keys() - {"model", "messages", "stream"})
    return refusing(400, f"Unrecognized request argument supplied: {unknown[0]}") if unknown else FINE


def llama(request: dict[str, Any]) -> Reply:
    """Want the system first, and then turns, as a strict template does; and say so with a 500, as llama.cpp does."""
    roles = [message["role"] for message in request["messages"]]
    roles = roles[1:] if roles[0] == "system" else roles
    if roles != [("user", "assistant")[number % 2] for number in range(len(roles))]:
        return refusing(500, "Jinja Exception: After the optional system message, conversation roles must alternate")
    return FINE


def lm_studio(request: dict[str, Any]) -> Reply:
    """Want the same, and say so in the stream, after it has begun well."""
    refused = llama(request)
    if refused is FINE:
        return FINE
    return Reply((b": waiting\n\n", b"event: error\ndata: " + b"".join(refused.body) + b"\n\n", DONE))


def body_of_errors(request: dict[str, Any]) -> Reply:
    """Name an unknown field in a body, under status 200."""
    refused = one_by_one(request)
    return FINE if refused is FINE else Reply(refused.body, headers=refused.headers)


def o1(request: dict[str, Any]) -> Reply:
    """Stream nothing, and then take no options of streams."""
    if request["stream"]:
        return refusing(400, "Unsupported value: 'stream' does not support true with this model.")
    if "stream_options" in request:
        return refusing(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    return WHOLE


def old_mistral(request: dict[str, Any]) -> Reply:
    """Want turns, and count the prompt as one: its template has no role for it, and says no more than that."""
    roles = [message["role"] for message in request["messages"]]
    is_fine = roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    return FINE if is_fine else refusing(400, "Conversation roles must alternate user/assistant/user/assistant/...")


def anthropic(request: dict[str, Any]) -> Reply:
    is_blank = any(not message["content"].strip() for message in request["messages"])
    return refusing(400, "messages: text content blocks must contain non-whitespace text") if is_blank else FINE


def gemma(request: dict[str, Any]) -> Reply:
    if any(message["role"] == "system" for message in request["messages"]):
        return refusing(400, "System role not supported")
    return llama(request)


def strict(request: dict[str, Any]) -> Reply:
    """Refuse every field that is not known, and then whatever takes no turns."""
    refused = mistral(request)
    return refused if refused.status != 200 else llama(request)
