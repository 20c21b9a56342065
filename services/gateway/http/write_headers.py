"""What the headers of a write ask for: how long to wait until it is stored, and which request it repeats."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from services.gateway.http.edge.middleware import correlation_id_of
from services.gateway.http.handed import from_app
from services.gateway.http.requests.idempotency_key import KeyHeader, read_key
from shared.settings import Settings


@dataclass(frozen=True)
class Write:
    wait_s: float  # how long to wait until it is stored; 0: answer 202 at once
    key: str | None  # the same key of the same caller is the same write
    correlation_id: UUID


def write_of(request: Request, settings: Settings) -> Write:
    """Read what the headers of a request ask for.

    Raises:
        Invalid: Its key is none that can be kept.
    """
    wait_s = 0.0 if _prefers_async(request) else settings.stored_wait_s
    return Write(wait_s, read_key(request.headers), correlation_id_of(request))


async def _write(request: Request, settings: Annotated[Settings, from_app(Settings)], _key: KeyHeader = None) -> Write:
    return write_of(request, settings)


WriteDep = Annotated[Write, Depends(_write)]


def _prefers_async(request: Request) -> bool:
    """Read `Prefer: respond-async` (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(preference.partition(";")[0].strip() == "respond-async" for preference in preferences)
