"""What went wrong with a connection is told in words: callers and logs see no object of ours."""

import asyncio

import pytest
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError

from shared.broker.connection import describe


class Channel:
    """Something that a library may put into its error."""

    def __repr__(self) -> str:
        return f'<Channel: "1" of <Connection: "amqp://guest@broker/" at {id(self):#x}> at {id(self):#x}>'


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ChannelInvalidStateError(f"writer of {Channel()!r} is closed"), "writer of is closed"),
        (ChannelInvalidStateError(Channel()), ""),
        (RuntimeError(f"{object()!r} was closed"), "was closed"),
        (RuntimeError(f"Writer {asyncio.Queue()!r}"), "Writer"),
        (AMQPConnectionError(ConnectionRefusedError(111, "refused")), "[Errno 111] refused"),
        (AMQPConnectionError(OSError(object())), ""),
        (OSError(104, "reset by peer"), "104 reset by peer"),
    ],
)
def test_an_error_is_described_without_objects(error: Exception, said: str) -> None:
    name = type(error).__name__
    assert describe(error) == (f"{name}: {said}" if said else name)
