"""What the OpenAPI document says of `/v1`: OpenAI's shapes in short, since its own documents have them in full."""

from http import HTTPStatus
from typing import Any

from services.gateway.http.documents.openapi import REF
from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.idempotency_key import HEADER, PATTERN
from services.gateway.turns.histories import ROLES
from services.gateway.v1.door import CANCEL, CHATS, INPUT, MODEL, MODELS, RESPONSE, RESPONSES
from services.gateway.v1.reading.conversation import MOST_MESSAGES
from services.gateway.v1.told.input_items import MOST, ORDERS, USUAL_LIMIT
from shared.ids import CLIENT_ID

SECURITY: list[Json] = [{"token": []}, {"visitor": []}]


def describe_v1(document: Json) -> None:
    """Describe what the door answers."""
    document["components"]["schemas"] |= SCHEMAS
    document["paths"][CHATS] = {"post": _completions()}
    document["paths"][RESPONSES] = {"post": _responses()}
    document["paths"][MODELS] = {"get": _read("list_openai_models", "List the models", "OpenAIModels", 401, 429)}
    kept = _read("show_response", "Show a response", "OpenAIResponse", 400, 401, 404, 429, 503)
    withheld = _read("delete_response", "Withhold a response", "DeletedOpenAIResponse", 401, 404, 429, 503)
    named = [{"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    document["paths"][RESPONSE] = {"get": kept | {"parameters": named}, "delete": withheld | {"parameters": named}}
    listed = _read("list_response_input", "List what was asked", "OpenAIInput", 400, 401, 404, 429, 503)
    document["paths"][INPUT] = {"get": listed | {"parameters": [*named, *_WINDOW]}}
    stopped = _read("cancel_response", "Stop a response that is being answered", "OpenAIResponse", 401, 404, 429, 503)
    document["paths"][CANCEL] = {"post": stopped | {"parameters": named}}
    shown = _read("show_openai_model", "Show a model", "OpenAIModel", 401, 404, 429)
    shown["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    document["paths"][MODEL] = {"get": shown}


def _completions() -> Json:
    return _answered(
        "create_chat_completion",
        "Answer a conversation, as OpenAI does",
        ("ChatCompletionRequest", "ChatCompletion"),
        "`chat.completion.chunk`s, and `[DONE]`",
    )


def _responses() -> Json:
    return _answered(
        "create_response",
        "Answer what is new of a conversation, as OpenAI does",
        ("ResponseRequest", "OpenAIResponse"),
        "events from `response.created` to `response.completed`, `response.incomplete` or `response.failed`",
    )


def _answered(name: str, summary: str, schemas: tuple[str, str], events: str) -> Json:
    asked, answered = schemas
    return {
        "tags": ["openai"],
        "summary": summary,
        "operationId": name,
        "parameters": [
            {"name": HEADER, "in": "header", "schema": {"type": "string", "pattern": PATTERN}},
            {"name": "X-Session-Id", "in": "header", "schema": {"type": "string", "pattern": CLIENT_ID}},
        ],
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": {
            "200": {
                "description": f"The answer whole, or as it comes where `stream` is true: {events}",
                "content": {**_json(answered), "text/event-stream": {}},
            },
            **_errors(400, 401, 403, 404, 409, 413, 415, 429, 503),
        },
        "security": SECURITY,
    }


def _read(name: str, summary: str, schema: str, *statuses: int) -> Json:
    return {
        "tags": ["openai"],
        "summary": summary,
        "operationId": name,
        "responses": {"200": {"description": "OK", "content": _json(schema)}, **_errors(*statuses)},
        "security": SECURITY,
    }


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": _json("OpenAIError")} for status in statuses
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": REF.format(model=schema)}}}


_WINDOW: list[Json] = [
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL_LIMIT},
    },
    {"name": "order", "in": "query", "schema": {"type": "string", "enum": list(ORDERS)}},
]
_TEXT: Json = {"type": ["string", "null"]}
_MODEL: Json = {
    "type": "object",
    "title": "OpenAIModel",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model", "type": "string"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
SCHEMAS: dict[str, Json] = {
    "ChatCompletionRequest": {
        "type": "object",
        "title": "ChatCompletionRequest",
        "description": "As OpenAI has it; what is not named here goes to the model's service as it is.",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": 255},
            "messages": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_MESSAGES,
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {"role": {"type": "string", "enum": list(ROLES)}},
                    "additionalProperties": True,
                },
            },
            "stream": {"type": ["boolean", "null"]},
            "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 1},
            "metadata": {"type": ["object", "null"], "additionalProperties": True},
        },
        "additionalProperties": True,
    },
    "ChatCompletion": {
        "type": "object",
        "title": "ChatCompletion",
        "description": "A `chat.completion`, as the model's service has sent it.",
        "properties": {"choices": {"type": "array", "items": {"type": "object", "additionalProperties": True}}},
        "additionalProperties": True,
    },
    "ResponseRequest": {
        "type": "object",
        "title": "ResponseRequest",
        "description": "As OpenAI has it: messages, calls of functions, their results. What nobody knows goes to the "
        "model's service as it is.",
        "required": ["model", "input"],
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": 255},
            "input": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_MESSAGES,
                        "items": {"type": "object", "additionalProperties": True},
                    },
                ]
            },
            "instructions": _TEXT,
            "previous_response_id": _TEXT,
            "store": {"type": ["boolean", "null"]},
            "stream": {"type": ["boolean", "null"]},
            "metadata": {"type": ["object", "null"], "additionalProperties": True},
        },
        "additionalProperties": True,
    },
    "OpenAIResponse": {
        "type": "object",
        "title": "OpenAIResponse",
        "required": ["id", "object", "created_at", "status", "model", "output"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "response", "type": "string"},
            "created_at": {"type": "integer"},
            "status": {"type": "string", "enum": ["in_progress", "completed", "incomplete", "failed", "cancelled"]},
            "model": {"type": "string"},
            "output": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        },
        "additionalProperties": True,
    },
    "OpenAIInput": {
        "type": "object",
        "title": "OpenAIInput",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list", "type": "string"},
            "data": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            "first_id": _TEXT,
            "last_id": _TEXT,
            "has_more": {"type": "boolean"},
        },
    },
    "DeletedOpenAIResponse": {
        "type": "object",
        "title": "DeletedOpenAIResponse",
        "required": ["id", "object", "deleted"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "response", "type": "string"},
            "deleted": {"type": "boolean"},
        },
    },
    "OpenAIModel": _MODEL,
    "OpenAIModels": {
        "type": "object",
        "title": "OpenAIModels",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list", "type": "string"},
            "data": {"type": "array", "items": {"$ref": REF.format(model="OpenAIModel")}},
        },
    },
    "OpenAIError": {
        "type": "object",
        "title": "OpenAIError",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "title": "OpenAIErrorDetail",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": _TEXT,
                    "code": _TEXT,
                },
            }
        },
    },
}
