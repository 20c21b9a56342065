"""What the OpenAPI document says of `POST /api/chat`, which FastAPI does not read for its callers."""

from typing import Any

import msgspec

from services.gateway.chat.request import ChatBody
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.documents.openapi import REF
from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.idempotency_key import HEADER, PATTERN
from services.gateway.model.ending import ERROR, FILTERED, LENGTH, STOP, TOOLS

REASONS = (STOP, LENGTH, FILTERED, TOOLS, ERROR)


def describe_chat(document: Json) -> None:
    """Describe `POST /api/chat` by the very type that its body is decoded with."""
    (body,), components = msgspec.json.schema_components([ChatBody], ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= components | {"ChatAnswer": CHAT_ANSWER, "Usage": USAGE}
    document["paths"]["/api/chat"] = {
        "post": {
            "tags": ["chat"],
            "summary": "Answer a message",
            "operationId": "post_chat",
            "parameters": [
                {"name": HEADER, "in": "header", "schema": {"type": "string", "pattern": PATTERN}},
                {"name": "X-Session-Id", "in": "header", "schema": {"type": "string"}},
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": answer_forms(), **_refusals()},
            "security": [{"token": []}, {"visitor": []}],
        }
    }


def answer_forms() -> Json:
    """Describe all its forms; JSON comes first, because generated clients take the first that they can read."""
    record = {"schema": {"$ref": REF.format(model="ChatAnswer")}}
    events = {
        "schema": {"type": "string", "description": "The AI SDK's UI message stream, version 1: each event is JSON"}
    }
    text = {"schema": {"type": "string"}}
    return {
        "description": "The answer as it comes, or whole where `stream` is false",
        "content": {"application/json": record, "text/event-stream": events, "text/plain": text},
    }


CHAT_ANSWER: Json = {
    "type": "object",
    "title": "ChatAnswer",
    "description": "The whole answer, where `stream` is false.",
    "required": ["session_id", "message", "session_tag", "finish_reason", "usage"],
    "properties": {
        "session_id": {"type": "string"},
        "message": {"$ref": REF.format(model="Message")},
        "session_tag": {"type": ["string", "null"]},
        "finish_reason": {"type": ["string", "null"], "description": f"One of {', '.join(REASONS)}; there may be more"},
        "usage": {"$ref": REF.format(model="Usage")},
    },
}
USAGE: Json = {
    "type": "object",
    "title": "Usage",
    "required": ["input_tokens", "output_tokens", "usage_source"],
    "properties": {
        "input_tokens": {"type": ["integer", "null"]},
        "output_tokens": {"type": ["integer", "null"]},
        "usage_source": {
            "type": ["string", "null"],
            "description": "`reported` by the model's service, or `estimated`",
        },
    },
}


def _refusals() -> dict[str, Any]:
    described = problem_responses(401, 403, 404, 409, 410, 413, 415, 422, 429, 502, 503)
    return {str(status): response for status, response in described.items()}
