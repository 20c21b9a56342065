"""Notice that a caller leaves while it is being answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from services.gateway.http.held.bodies import until_left


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Leave the block when the caller leaves, as `asyncio.timeout` does when the time is up."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a request is always one
    is_within, is_gone = True, False

    def leave(leaving: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if is_within and not leaving.cancelled():
            is_gone = True
            task.cancel()

    leaving = asyncio.create_task(until_left(receive))
    leaving.add_done_callback(leave)
    try:
        yield
    except asyncio.CancelledError:
        if not is_gone or task.uncancel() > 0:
            raise
    finally:
        is_within = False
        leaving.cancel()
