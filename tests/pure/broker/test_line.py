"""A publisher's line can be closed at any moment, also where a cancellation gets lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiormq import spec

from shared.broker.connection import Disconnected
from shared.broker.declaring import require
from shared.publishing import line
from shared.publishing.line import KeptLine
from shared.publishing.publication import Publication
from shared.settings import Settings
from tests.stand_ins.wires import FakeConnection
from tests.waiting import PATIENCE_S, until_true


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
        yield FakeConnection()


@pytest.mark.parametrize("connects", [True, False])
async def test_line_is_closed_where_the_cancellation_is_lost(connects: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(connects=connects)
    monkeypatch.setattr(line, "open_connection", network.open_connection)
    kept = KeptLine(Settings(_env_file=None), "test", require)
    async with asyncio.timeout(PATIENCE_S):
        await kept.open()
        await network.trying_again.wait()
        kept.refuse()
        await kept.close()
    assert kept.line is None


async def test_line_is_closed_where_a_look_loses_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = asyncio.Event()

    @asynccontextmanager
    async def open_connection(*_: object) -> AsyncIterator[Any]:
        yield FakeConnection()

    async def prepare(_: object) -> None:
        looking.set()
        with suppress(asyncio.CancelledError):  # as asyncio.wait_for does in Python 3.11
            await asyncio.Event().wait()

    monkeypatch.setattr(line, "open_connection", open_connection)
    monkeypatch.setattr(line, "is_blocked", lambda _: False)
    monkeypatch.setattr(line, "LOOK_EVERY_S", 0)
    kept = KeptLine(Settings(_env_file=None), "test", prepare)
    async with asyncio.timeout(PATIENCE_S):
        await kept.open()
        await looking.wait()
        kept.refuse()
        await kept.close()
    assert kept.line is None


async def test_a_line_that_is_refused_still_brings_confirms_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, looks = FakeConnection(), 0

    @asynccontextmanager
    async def open_connection(*_: object) -> AsyncIterator[Any]:
        yield connection

    async def prepare(_: object) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(line, "open_connection", open_connection)
    monkeypatch.setattr(line, "is_blocked", lambda _: False)
    monkeypatch.setattr(line, "LOOK_EVERY_S", 0)
    kept = KeptLine(Settings(_env_file=None), "test", prepare)
    async with asyncio.timeout(PATIENCE_S):
        await kept.open()
        waiting = asyncio.create_task((await kept.get()).confirmed.publish(Publication("events", "", b"", {})))
        kept.refuse()
        before = looks
        await until_true(lambda: looks > before + 2 or waiting.done())
        connection.transports.wire.say(1, spec.Basic.Ack(1))
        await waiting
        await kept.close()


@pytest.mark.parametrize("is_confirming", [True, False])
async def test_a_slow_look_is_a_fault_unless_the_broker_confirms_meanwhile(
    is_confirming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, looked = FakeConnection(), asyncio.Event()
    wire = connection.transports.wire

    @asynccontextmanager
    async def open_connection(*_: object) -> AsyncIterator[Any]:
        yield connection

    async def prepare(_: object) -> None:
        looked.set()
        if is_confirming:
            wire.say(1, spec.Basic.Ack(1))
        await asyncio.Event().wait()

    monkeypatch.setattr(line, "open_connection", open_connection)
    monkeypatch.setattr(line, "is_blocked", lambda _: False)
    monkeypatch.setattr(line, "LOOK_EVERY_S", 0)
    monkeypatch.setattr("shared.broker.connection.CONNECT_TIMEOUT_S", 0.05)
    kept = KeptLine(Settings(_env_file=None), "test", prepare)
    async with asyncio.timeout(PATIENCE_S):
        await kept.open()
        for _ in range(2):  # when the second one begins, the first is over
            looked.clear()
            await looked.wait()
    assert kept.lacks == (None if is_confirming else "TimeoutError")
    kept.refuse()
    await kept.close()
