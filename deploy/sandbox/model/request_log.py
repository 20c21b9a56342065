"""The requests that reached the model, so that a test can prove what did and what did not."""

from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec

SHOWN_APART = ("model", "stream", "messages", "tools")


class RequestLog:
    """Keep the newest request bodies, as they came, within a number and a size."""

    def __init__(self, max_requests: int = 5_000, max_bytes: int = 32 * 2**20) -> None:
        self._kept: deque[tuple[int, datetime, bytes]] = deque()
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._bytes = 0
        self._last_id = 0

    def keep(self, body: bytes) -> int:
        """Keep a request body and return its id."""
        self._last_id += 1
        self._kept.append((self._last_id, datetime.now(UTC), body))
        self._bytes += len(body)
        while len(self._kept) > self._max_requests or self._bytes > self._max_bytes:
            self._bytes -= len(self._kept.popleft()[2])
        return self._last_id

    def since(self, request_id: int) -> list[dict[str, Any]]:
        """Return the requests after an id, oldest first."""
        return [_shown(*kept) for kept in self._kept if kept[0] > request_id]


def _shown(request_id: int, at: datetime, body: bytes) -> dict[str, Any]:
    asked = msgspec.json.decode(body)
    return {
        "id": request_id,
        "at": at.isoformat(),
        "model": asked["model"],
        "stream": bool(asked.get("stream")),
        "messages": asked["messages"],
        "tools": asked.get("tools") or [],
        "parameters": {name: value for name, value in asked.items() if name not in SHOWN_APART},
    }
