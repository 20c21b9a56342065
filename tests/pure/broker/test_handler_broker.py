"""The end of a FastStream broker: whatever its connection met, it is over, and nobody goes on mending it."""

import asyncio
from typing import Any, cast

import pytest
from aiormq.exceptions import AMQPConnectionError

from shared.broker.connection import Disconnected
from shared.consuming.handler_broker import _closed, stop_broker
from tests.waiting import PATIENCE_S


class Connection:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.closed = asyncio.Event()

    async def close(self) -> None:
        self.closed.set()


class Broker:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def stop(self) -> None:
        raise self._error


class Settling:
    failure: Exception | None = None

    def give_up(self, failure: Exception) -> None:
        self.failure = failure


@pytest.mark.parametrize(
    "error",
    [ExceptionGroup("Failed to stop subscribers", [AMQPConnectionError("lost")]), AMQPConnectionError("lost")],
    ids=["grouped", "alone"],
)
async def test_a_connection_that_is_lost_while_its_consumer_is_cancelled_is_closed(error: Exception) -> None:
    connection = Connection()
    await stop_broker(cast(Any, Broker(error)), cast(Any, connection))
    assert connection.closed.is_set()


async def test_a_connection_that_was_lost_is_given_up_and_closed() -> None:
    connection, settling = Connection(), Settling()
    _closed(cast(Any, settling), cast(Any, connection), AMQPConnectionError("lost"))
    assert isinstance(settling.failure, Disconnected)
    async with asyncio.timeout(PATIENCE_S):
        await connection.closed.wait()
