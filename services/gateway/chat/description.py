"""What the OpenAPI document says of `POST /api/chat`, which FastAPI does not read for its callers."""

from typing import Any

import msgspec

from services.gateway.chat.request import ChatBody
from services.gateway.http.fields import Json
from services.gateway.http.idempotency_key import HEADER, PATTERN
from services.gateway.http.openapi import REF
from services.gateway.http.problems import problem_responses
from services.gateway.model.ending import ERROR, FILTERED, LENGTH, STOP, TOOLS

REASONS = (STOP, LENGTH, FILTERED, TOOLS, ERROR)


def describe_chat(document: Json) -> None:
    """Describe `POST /api/chat` by the very type that its body is decoded with."""
    (body,), components = msgspec.json.schema_components([ChatBody], ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= components
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
            "responses": {"200": _answer(), **_refusals()},
            "security": [{"token": []}, {"visitor": []}],
        }
    }


def _answer() -> Json:
    events = {"schema": {"description": "The parts of the AI SDK's UI message stream, version 1, each as JSON"}}
    text = {"schema": {"type": "string"}}
    record = {
        "type": "object",
        "required": ["session_id", "message", "session_tag", "finish_reason", "usage"],
        "properties": {
            "session_id": {"type": "string"},
            "message": {"$ref": REF.format(model="Message")},
            "session_tag": {"type": ["string", "null"]},
            "finish_reason": {"type": ["string", "null"], "enum": [*REASONS, None]},
            "usage": {"type": "object"},
        },
    }
    return {
        "description": "The answer as it comes, or whole where `stream` is false",
        "content": {"text/event-stream": events, "text/plain": text, "application/json": {"schema": record}},
    }


def _refusals() -> dict[str, Any]:
    described = problem_responses(401, 403, 404, 409, 413, 415, 422, 429, 502, 503)
    return {str(status): response for status, response in described.items()}
