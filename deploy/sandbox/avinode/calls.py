"""The REST calls received, so that a test can prove what was asked of Avinode and what was not."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

_KEPT_CALLS = 10_000


@dataclass(slots=True)
class Call:
    """A REST call received; the status is None until it was answered, and stays so if the caller left."""

    id: int
    at: datetime
    method: str
    path: str
    status: int | None = None


class CallLog:
    """Keep the newest calls."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self._last_id = 0

    def open(self, method: str, path: str, at: datetime) -> Call:
        """Note a call that has just come in."""
        self._last_id += 1
        self._calls.append(Call(self._last_id, at, method, path))
        return self._calls[-1]

    def since(self, call_id: int) -> list[Call]:
        """List the calls after an id, oldest first."""
        return [call for call in self._calls if call.id > call_id]
