"""A channel in confirm mode: what is published on it is with the broker, came back, was refused, or is not known of.

It writes and hears its frames by the wire itself, and aiormq sees none of them. The broker numbers what is published
on a channel 1, 2, 3, and confirms by these tags, many at once where `multiple` is set. What no queue takes comes back
first, with its message id, and is confirmed after that.
"""

import asyncio
import struct
from collections.abc import Callable
from itertools import takewhile
from typing import NamedTuple

import pamqp.frame
from aiormq import spec
from pamqp.header import ContentHeader

from shared.broker.connection import Disconnected
from shared.broker.wire import BASIC, END, HEADER, METHOD, PREFIX, Wire
from shared.errors import BrokerAway
from shared.publishing.publication import Publication

_ACK, _NACK, _RETURN, _QOS_OK = 80, 120, 50, 11  # methods of the class `basic`
_METHOD = struct.Struct(">HH")
_CONFIRM = struct.Struct(">HHQB")  # class, method, tag and flags
_MULTIPLE = 1

MOST_UNCONFIRMED = 10_000  # of which whoever waited has mostly given up; each is remembered until its confirm comes


class Unroutable(BrokerAway):
    """No queue takes the message."""


class Refused(BrokerAway):
    """The broker could not keep the message (`basic.nack`)."""


class _Sent(NamedTuple):
    """What is remembered of a message: not its body, since its confirm may come long after its sender gave up."""

    confirm: asyncio.Future[None]
    exchange: str
    key: str
    message_id: str | None


class ConfirmedChannel:
    """Publishes, and tells of each message what the broker says of it."""

    def __init__(self, wire: Wire, number: int, frame_max: int) -> None:
        """Publish on a channel that is in confirm mode and that nobody else has published on."""
        self._wire = wire
        self._number = number
        self._frame_max = frame_max
        self._loop = asyncio.get_running_loop()
        self._last_tag = 0
        self._unconfirmed: dict[int, _Sent] = {}  # by tag
        self._returned: set[int] = set()  # tags of what came back and is not confirmed yet
        self._lost: str | None = None
        self._waiting_since = 0.0  # when the first one of those that are unconfirmed now was sent
        self.confirmed_at = 0.0  # both by the loop's clock
        wire.take(number, self._heard)

    @property
    def unconfirmed(self) -> int:
        """How much is."""
        return len(self._unconfirmed)

    @property
    def is_full(self) -> bool:
        """Whether so much is unconfirmed that another channel is worth a try."""
        return self.unconfirmed >= MOST_UNCONFIRMED

    @property
    def is_writable(self) -> bool:
        """Whether the broker takes what is sent."""
        return self._wire.is_writable

    async def publish(self, publication: Publication) -> None:
        """Send a message once the broker takes some, and return when it has it in every queue that hears it.

        Raises:
            Unroutable, Refused, Disconnected: As `send` has it.
        """
        while not self._wire.is_writable and not self._lost:
            await self._wire.until_writable()
        await self.send(publication)

    def send(self, publication: Publication) -> asyncio.Future[None]:
        """Send a message, and return what is over when the broker has it in every queue that hears it.

        Raises:
            Unroutable (from what is returned): No queue takes it.
            Refused (from what is returned): The broker could not keep it.
            Disconnected (also at once): The channel is gone, and whether the broker has it is unknown.
        """
        if self._lost or self._wire.is_closing:
            raise Disconnected(self._lost or "the connection was closed")
        frames = publication.frames(self._number, self._frame_max, mandatory=True)
        if not self._unconfirmed:
            self._waiting_since = self._loop.time()
        self._last_tag += 1
        confirm = self._loop.create_future()
        self._unconfirmed[self._last_tag] = _Sent(
            confirm, publication.exchange, publication.key, publication.message_id
        )
        self._wire.write(frames)
        return confirm

    def lose(self, reason: str) -> None:
        """Take note that nothing will be confirmed any more."""
        if self._lost is None:
            self._lost = reason
            for sent in self._unconfirmed.values():
                if not sent.confirm.done():
                    sent.confirm.set_exception(Disconnected(reason))
            self._unconfirmed.clear()
            self._wire.stop_waiting()

    def silent_since(self) -> float | None:
        """Say since when a confirm is waited for and nothing at all was heard; None where none is waited for."""
        return max(self._waiting_since, self._wire.heard_at) if self._unconfirmed else None

    def ask(self) -> None:
        """Have the broker say something, whatever it is: a limit for consumers, of which this channel has none."""
        self._wire.write(pamqp.frame.marshal(spec.Basic.Qos(), self._number))

    def _heard(self, kind: int, payload: bytes) -> bool:
        """Take what is said of messages; what is said of the channel is aiormq's."""
        if kind != METHOD:
            if kind == HEADER:
                self._came_back(payload)
            return True
        class_id, method = _METHOD.unpack_from(payload)
        if class_id != BASIC:
            return False
        if method in (_ACK, _NACK):
            self._confirmed(payload)
        return method in (_ACK, _NACK, _RETURN, _QOS_OK)

    def _confirmed(self, payload: bytes) -> None:
        _, method, last, flags = _CONFIRM.unpack_from(payload)
        self.confirmed_at = self._wire.heard_at
        tags = [last]
        if flags & _MULTIPLE:  # they are in the order of their tags; 0 means all
            tags = list(takewhile(lambda tag: tag <= (last or tag), self._unconfirmed))
        for tag in tags:
            self._settle(tag, is_refused=method == _NACK)

    def _settle(self, tag: int, *, is_refused: bool) -> None:
        came_back = tag in self._returned
        self._returned.discard(tag)
        if tag not in self._unconfirmed:
            return
        sent = self._unconfirmed.pop(tag)
        if sent.confirm.done():  # whoever waited has given up
            return
        if came_back:
            sent.confirm.set_exception(Unroutable(f"no queue takes {sent.key!r} from exchange {sent.exchange!r}"))
        elif is_refused:
            sent.confirm.set_exception(Refused("the broker refused the message"))
        else:
            sent.confirm.set_result(None)

    def _came_back(self, payload: bytes) -> None:
        """Remember which message no queue took; of two of one id both, of which the other is then sent twice."""
        header = pamqp.frame.unmarshal(PREFIX.pack(HEADER, self._number, len(payload)) + payload + END)[2]
        message_id = header.properties.message_id if isinstance(header, ContentHeader) else None
        self._returned.update(tag for tag, sent in self._unconfirmed.items() if sent.message_id == message_id)


class SilenceWatch:
    """Gives a channel up where a confirm is waited for and nothing at all is heard, not where confirms are slow.

    A broker with much to do confirms late: whoever opened another connection for that would send it everything again.
    One that is there answers when it is asked, which it is after half of the time.
    """

    def __init__(
        self, channel: ConfirmedChannel, longest_s: float, is_excused: Callable[[], bool], give_up: Callable[[], None]
    ) -> None:
        """Watch a channel until `end`.

        Args:
            channel: Which.
            longest_s: How long it may be silent.
            is_excused: Tells whether the broker has said that it will be silent.
            give_up: Is called at most once.
        """
        self._channel = channel
        self._half_s = longest_s / 2
        self._is_excused = is_excused
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._asked_since: float | None = None  # the beginning of the silence in which it was asked
        self._look()

    def _look(self) -> None:
        wait_s = self._half_s
        since = self._channel.silent_since()
        if since is not None and not self._is_excused():
            silent_s = self._loop.time() - since
            if silent_s < self._half_s:
                wait_s -= silent_s
            elif since != self._asked_since:
                self._asked_since = since
                self._channel.ask()
            else:
                self._give_up()
                return
        self._timer = self._loop.call_later(wait_s, self._look)

    def end(self) -> None:
        self._timer.cancel()
