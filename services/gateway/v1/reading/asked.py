"""What a client of OpenAI's asks for, whichever way it asks; and what all of its ways have in common. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from services.gateway.http.requests.fields import check_extras
from services.gateway.http.requests.idempotency_key import read_key
from services.gateway.http.requests.json_body import read_json, require_json
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.model.relayed import Relayed
from services.gateway.turns.histories import Message
from services.gateway.v1.reading.conversation import Conversation, shown
from shared.errors import Invalid, UnsupportedMedia
from shared.ids import is_client_id

SESSION, PROJECT = "session_id", "project_id"  # of the metadata
RETRIES = "x-stainless-retry-count"  # how often OpenAI's SDKs have sent this request before
KINDS = {dict: "an object", bool: "true or false", str: "a string", list: "a list"}


@dataclass(frozen=True)
class Naming:
    """Where a request belongs, and which of several equal ones it is."""

    session_id: str | None  # none: it names none
    project_id: str | None
    metadata: dict[str, Any]  # without the former
    key: str | None  # of the caller
    is_retry: bool
    body_hash: bytes
    size: int  # bytes


@dataclass(frozen=True)
class Asked:
    """One request."""

    model: str
    conversation: Conversation
    relayed: Relayed
    naming: Naming
    streams: bool
    prompt: tuple[Message, ...] = ()  # what the model is told first, and no history keeps
    previous: UUID | None = None  # the turn whose answer it goes on from
    results: tuple[tuple[str, str], ...] = ()  # of tools that were called there: (call, its place in the request)
    stores: bool = True  # it may be gone on from, and asked for again
    told: Mapping[str, Any] = field(default_factory=dict)  # what the answer repeats of it


def read_body(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Read the object that a request is.

    Raises:
        Invalid: It is none.
        UnsupportedMedia: It does not say that it is JSON, and may come from another site's form; or it is packed.
    """
    require_json(headers)
    try:
        said = read_json(body)
    except Invalid as error:
        packed = headers.get("content-encoding", "identity")
        if packed.strip().lower() == "identity":
            raise
        raise UnsupportedMedia(
            f"A body with Content-Encoding {shown(packed)} is not read: send it as it is."
        ) from error
    if not isinstance(said, dict):
        raise Invalid("The body must be a JSON object.")
    return said


def read_naming(said: Mapping[str, Any], body: bytes, headers: Mapping[str, str], max_extra_bytes: int) -> Naming:
    """Read what says where a request belongs.

    Raises:
        Invalid: It can't be so; the field is named as OpenAI names it.
        TooLarge: It has too much metadata.
    """
    metadata = typed(said, "metadata", dict) or {}
    check_extras(max_extra_bytes, metadata)
    return Naming(
        session_id=_session(metadata, headers),
        project_id=_project(metadata),
        metadata={name: value for name, value in metadata.items() if name not in (SESSION, PROJECT)},
        key=read_key(headers),
        is_retry=headers.get(RETRIES, "0").strip().lstrip("0").isdigit(),
        body_hash=sha256(body).digest(),
        size=len(body),
    )


def read_model(said: Mapping[str, Any]) -> str:
    """Read the name of the model that is asked.

    Raises:
        Invalid: There is none.
    """
    model = said.get("model")
    if isinstance(model, str) and len(model) <= 255 and model.strip():
        return model
    raise refused_field("model", "must be named, with 1 to 255 characters")


def typed(said: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field's value, which may be left out.

    Raises:
        Invalid: It is of another type.
    """
    value = said.get(name)
    if value is None or type(value) is kind:
        return value
    raise refused_field(name, f"must be {KINDS[kind]}")


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
