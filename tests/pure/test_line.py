"""A publisher's line can be closed at any moment, also where a cancellation gets lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from shared import line
from shared.connection import Disconnected
from shared.declaring import require
from shared.line import KeptLine
from shared.settings import Settings


class Network:
    """Refuses the first connection; of the second it knows only when somebody gives up waiting."""

    def __init__(self, *, connects: bool) -> None:
        self._connects = connects
        self._attempts = 0
        self.trying_again = asyncio.Event()

    @asynccontextmanager
    async def open_connection(self, *_: object) -> AsyncIterator[Any]:
        self._attempts += 1
        if self._attempts == 2:
            self.trying_again.set()
            with suppress(asyncio.CancelledError):  # as asyncio.wait_for does in Python 3.11
                await asyncio.Event().wait()
        if self._attempts == 1 or not self._connects:
            raise Disconnected("refused")
        yield self

    async def channel(self, **_: object) -> Any:
        return SimpleNamespace(close_callbacks=set())


@pytest.mark.parametrize("connects", [True, False])
async def test_line_is_closed_where_the_cancellation_is_lost(connects: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(connects=connects)
    monkeypatch.setattr(line, "open_connection", network.open_connection)
    kept = KeptLine(Settings(_env_file=None), "test", require)
    async with asyncio.timeout(5):
        await kept.open()
        await network.trying_again.wait()
        kept.refuse()
        await kept.close()
    assert kept.line is None


async def test_line_is_closed_where_a_look_loses_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = asyncio.Event()

    @asynccontextmanager
    async def open_connection(*_: object) -> AsyncIterator[Any]:
        channel = SimpleNamespace(close_callbacks=set())
        yield SimpleNamespace(channel=AsyncMock(return_value=channel))

    async def prepare(_: object) -> None:
        looking.set()
        with suppress(asyncio.CancelledError):  # as asyncio.wait_for does in Python 3.11
            await asyncio.Event().wait()

    monkeypatch.setattr(line, "open_connection", open_connection)
    monkeypatch.setattr(line, "is_blocked", lambda _: False)
    monkeypatch.setattr(line, "LOOK_EVERY_S", 0)
    kept = KeptLine(Settings(_env_file=None), "test", prepare)
    async with asyncio.timeout(5):
        await kept.open()
        await looking.wait()
        kept.refuse()
        await kept.close()
    assert kept.line is None
