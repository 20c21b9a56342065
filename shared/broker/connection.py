"""One AMQP connection that is never mended: whoever loses it opens another, and makes sure of everything again.

aio-pika's robust connections restore a channel under the same object, which hides whose delivery tags those were.
Here a delivery belongs to the channel that brought it, and a lost connection is an error that somebody handles.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aiormq.exceptions import AMQPError

from shared.errors import BrokerAway
from shared.settings import Settings

CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0  # a broker with an alarm does not answer a close
HEARTBEAT_S = 10  # a peer that vanished without a word is noticed after three of these

OBJECT = re.compile(r"<[^<>]*(?:<[^<>]*>[^<>]*)*\bat 0x[0-9a-fA-F]+[^<>]*>")  # the repr of an object, of two say

# RuntimeError: aiormq raises it, and a subclass of it, where a connection or channel has closed in the meantime.
LOST = (AMQPError, OSError, EOFError, RuntimeError)


# What must be true of the broker before a connection is used.
Prepare = Callable[[AbstractConnection], Awaitable[None]]


class Disconnected(BrokerAway):
    """The connection to the broker is gone."""


@asynccontextmanager
async def open_connection(
    settings: Settings,
    name: str,
    prepare: Prepare,
    connection_class: type[aio_pika.Connection] = aio_pika.Connection,
) -> AsyncIterator[AbstractConnection]:
    """Connect, prepare, and close at the end.

    Raises:
        Disconnected: The broker cannot be reached, refuses the login, lacks something or has it of another shape.
    """
    connection = connection_class(
        make_url(settings.amqp_url, heartbeat=HEARTBEAT_S),
        client_properties={"connection_name": f"{settings.instance} {name}"},
    )
    try:
        with disconnections():
            await connection.connect(timeout=CONNECT_TIMEOUT_S)
        await prepared(connection, prepare)
        yield connection
    finally:
        await close_connection(connection)


async def prepared(connection: AbstractConnection, prepare: Prepare) -> None:
    """Prepare, within a time.

    Raises:
        Disconnected: It failed.
    """
    with disconnections():
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await prepare(connection)


async def close_connection(connection: AbstractConnection) -> None:
    """Close a connection, or give that up after a while: a lost one may be what is closed."""
    with suppress(Disconnected), disconnections():
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()


@contextmanager
def disconnections() -> Iterator[None]:
    """Turn everything that a lost connection makes aiormq raise into `Disconnected`."""
    try:
        yield
    except asyncio.CancelledError as error:
        # aiormq also ends the futures of a lost connection by cancelling them; only a cancellation of ours may pass.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Disconnected("the connection was closed") from error
    except LOST as error:
        raise Disconnected(describe(error)) from error
    except Exception as error:
        if type(error) is not Exception:  # aiormq ends so what still waits when a line is lost
            raise
        raise Disconnected(describe(error)) from error


def describe(error: BaseException | None) -> str:
    """Say in one line what went wrong, for logs and readiness."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return "the connection was closed"
    # Libraries put whole objects into their errors, which say nothing but where in our memory something is.
    text = " ".join(str(argument) for argument in error.args if isinstance(argument, str | int | float | Exception))
    text = " ".join(OBJECT.sub("", text).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_blocked(connection: AbstractConnection) -> bool:
    """Tell whether the broker has an alarm (memory, disk) and reads nothing from this connection.

    aiormq keeps `connection.blocked` to itself, but its `ready()` waits exactly while it lasts: one step tells.
    """
    step = until_unblocked(connection)
    try:
        step.send(None)
    except StopIteration:
        return False
    step.close()
    return True


async def until_unblocked(connection: AbstractConnection) -> None:
    """Wait for the end of the broker's alarm; returns at once where there is none."""
    if connection.transport is not None:
        await connection.transport.ready()
