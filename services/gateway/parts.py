"""What the gateway's routes work with: made once by `app.py`, handed to every request."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from services.gateway.reading.reader import Reader
from services.gateway.receipts import Receipts
from services.gateway.store import Store
from shared.publisher import Publisher
from shared.settings import Settings


@dataclass(frozen=True)
class Parts:
    settings: Settings
    publisher: Publisher
    store: Store  # gateway.turns
    reader: Reader  # everybody else's tables, as the caller may see them
    admin: Reader  # the same tables, as administrators may see them
    receipts: Receipts
    faults: Callable[[], Awaitable[Mapping[str, str]]]  # what keeps this gateway from its job; empty when ready


def parts_of(request: HTTPConnection) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _parts(request: HTTPConnection) -> Parts:
    return parts_of(request)


PartsDep = Annotated[Parts, Depends(_parts)]
