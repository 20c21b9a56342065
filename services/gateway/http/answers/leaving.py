"""Notice that a caller leaves while it is being answered."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from starlette.types import Receive, Scope

from services.gateway.http.held.bodies import until_left

LEAVING = "tripthread.leaving"  # where a request's scope has the `tell_leaving` of its exchange, on our own server


class Leaving:
    """Whether a caller has left."""

    def __init__(self, receive: Receive, scope: Scope, told: Callable[[], None]) -> None:
        """Listen until closed.

        Args:
            receive: Of a request whose body was read.
            scope: Of the same request.
            told: Is called when its caller leaves, soon where it has left already.
        """
        self.has_left = False
        self._told: Callable[[], None] | None = told
        self._task: asyncio.Task[None] | None = None
        tell_leaving: Callable[[Callable[[], None]], None] | None = scope.get(LEAVING)
        if tell_leaving is not None:  # a task of its own for each request would cost more than its head
            tell_leaving(self._leave)
        else:
            self._task = asyncio.create_task(until_left(receive))
            self._task.add_done_callback(self._end)

    def close(self) -> None:
        """Listen no more."""
        self._told = None
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._leave()

    def _leave(self) -> None:
        if self._told is not None:
            self.has_left = True
            self._told()


class WhileConnected:
    """Leaves the block when the caller leaves, as `asyncio.timeout` does when the time is up."""

    def __init__(self, receive: Receive, scope: Scope) -> None:
        self._receive = receive
        self._scope = scope

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a request is always one
        self._task = task
        self._leaving = Leaving(self._receive, self._scope, self._leave)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        self._leaving.close()
        is_ours = kind is asyncio.CancelledError and self._leaving.has_left
        return is_ours and self._task.uncancel() <= 0

    def _leave(self) -> None:
        self._task.cancel()
