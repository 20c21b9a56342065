"""Reading the event that a message of a queue carries."""

from collections.abc import Mapping
from typing import Protocol

from shared.consuming.unreadable import UNREADABLE
from shared.errors import Undecodable
from shared.events import Event, decode
from shared.topology import Queue


class Carried(Protocol):
    """A message as the broker delivered it, whoever's class it is of."""

    @property
    def type(self) -> str | None: ...  # the event's class name
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, object]: ...
    @property
    def message_id(self) -> str | None: ...  # the event's id
    @property
    def correlation_id(self) -> str | None: ...


def decode_event(message: Carried) -> Event:
    """Read the event that a message carries.

    Raises:
        UnknownType: It is none that we know.
        Undecodable: It is none.
    """
    if message.type is None and (why := message.headers.get(UNREADABLE)):
        raise Undecodable(f"its properties cannot be read: {why}")
    return decode(message.type, message.body)


def check_heard(content: object, queue: Queue) -> None:
    """Refuse what a queue neither hears nor once heard.

    Raises:
        Undecodable: It is such.
    """
    known = queue.hears + queue.no_longer_hears
    # Not isinstance, which pydantic's classes make ten times as slow.
    if known and type(content) not in known:
        raise Undecodable(f"{queue.name} does not hear {type(content).__name__}")


def read_event(message: Carried, queue: Queue) -> Event:
    """Read the event that a message of this queue carries.

    Raises:
        Poison: It is none that the queue hears.
    """
    event = decode_event(message)
    check_heard(event, queue)
    return event
