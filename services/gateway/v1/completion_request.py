"""Read the body of `POST /v1/chat/completions`. Pure.

What is ours of it is read and checked; everything else is the model's service's to take or to refuse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from services.gateway.http.fields import check_extras
from services.gateway.http.idempotency_key import read_key
from services.gateway.http.json_body import read_json, require_json
from services.gateway.http.refused_field import refused_field
from services.gateway.model.relayed import Relayed
from services.gateway.v1.conversation import Conversation, read_conversation
from shared.errors import Invalid
from shared.ids import is_client_id

OURS = frozenset(("model", "messages", "stream", "stream_options", "metadata"))  # read here, and sent as we want it
UNSUPPORTED = {  # by name, with what is there instead
    "functions": "send tools",
    "function_call": "send tool_choice",
    "audio": "only text is answered",
}
SESSION, PROJECT = "session_id", "project_id"  # of the metadata
RETRIES = "x-stainless-retry-count"  # how often OpenAI's SDKs have sent this request before


@dataclass(frozen=True)
class CompletionRequest:
    """What a client asks for."""

    model: str
    conversation: Conversation
    relayed: Relayed
    session_id: str | None  # none: it names none
    project_id: str | None
    metadata: dict[str, Any]
    key: str | None  # of the caller
    is_retry: bool
    body_hash: bytes
    size: int  # bytes


def read_completion_request(body: bytes, headers: Mapping[str, str], max_extra_bytes: int) -> CompletionRequest:
    """Read one request.

    Raises:
        Invalid: The body is none; the field is named as OpenAI names it.
        TooLarge: It has too much metadata.
        UnsupportedMedia: It does not say that it is JSON, and may come from another site's form.
    """
    require_json(headers)
    said = read_json(body)
    if not isinstance(said, dict):
        raise Invalid("The body must be a JSON object.")
    _refuse_unsupported(said)
    metadata = _typed(said, "metadata", dict) or {}
    check_extras(max_extra_bytes, metadata)
    kept = {name: value for name, value in metadata.items() if name not in (SESSION, PROJECT)}
    return CompletionRequest(
        model=_model(said),
        conversation=read_conversation(said.get("messages")),
        relayed=_relayed(said, kept),
        session_id=_session(metadata, headers),
        project_id=_project(metadata),
        metadata=kept,
        key=read_key(headers),
        is_retry=headers.get(RETRIES, "0").strip().lstrip("0").isdigit(),
        body_hash=sha256(body).digest(),
        size=len(body),
    )


def _refuse_unsupported(said: Mapping[str, Any]) -> None:
    if said.get("n") not in (None, 1):
        raise refused_field("n", "must be 1: one answer is given to a request")
    for name, instead in UNSUPPORTED.items():
        if said.get(name) is not None:
            raise refused_field(name, f"is not supported: {instead}")
    modalities = said.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise refused_field("modalities", 'must be ["text"]: only text is answered')


def _typed(said: Mapping[str, Any], name: str, kind: type) -> Any:
    value = said.get(name)
    if value is None or type(value) is kind:
        return value
    raise refused_field(name, f"must be {'an object' if kind is dict else 'true or false'}")


def _model(said: Mapping[str, Any]) -> str:
    model = said.get("model")
    if isinstance(model, str) and len(model) <= 255 and model.strip():
        return model
    raise refused_field("model", "must be named, with 1 to 255 characters")


def _relayed(said: Mapping[str, Any], metadata: dict[str, Any]) -> Relayed:
    streams = bool(_typed(said, "stream", bool))
    options = _typed(said, "stream_options", dict) or {}
    fields = {name: value for name, value in said.items() if name not in OURS and value is not None}
    if streams and options:
        fields["stream_options"] = {**options, "include_usage": True}
    if metadata:
        fields["metadata"] = metadata
    return Relayed(fields, streams, wants_usage=streams and options.get("include_usage") is True)


def _session(metadata: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    for value, name in ((headers.get("x-session-id"), "X-Session-Id"), (metadata.get(SESSION), f"metadata.{SESSION}")):
        if value is None:
            continue
        if not isinstance(value, str) or not is_client_id(value):
            raise refused_field(name, "must be 1 to 64 of A-Za-z0-9_-")
        return value
    return None


def _project(metadata: Mapping[str, Any]) -> str | None:
    project = metadata.get(PROJECT)
    if project is None or (isinstance(project, str) and len(project) <= 255 and project.strip()):
        return project
    raise refused_field(f"metadata.{PROJECT}", "must have 1 to 255 characters, and not only spaces")
