"""All open connections, by what each of them waits for: whoever waits too long is ended, and makes room for others.

Nobody has a timer of its own. Connections stand in order of time in the row of their phase, so a look at the front of
each row, a few times a second, finds all that are overdue, and whom a newcomer may replace.
"""

import asyncio
import time
from enum import Enum, auto
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.gateway.http.server.arrivals import Arrivals
from shared.settings import Settings

SWEEP_S = 0.25
SLOWEST = 4096  # bytes a second that are taken of an answer, where much of it waits

CONNECTIONS = Gauge(
    "tripthread_http_connections", "Open connections to the public port, by what they wait for", ["phase"]
)
EVICTED = Counter("tripthread_http_evicted", "Connections that were ended to make room for others", ["phase"])
FULL = Counter("tripthread_http_full", "Connections that found no room, since all others were being answered")


class Phase(Enum):
    """What a connection is at."""

    __hash__ = object.__hash__  # that of `Enum` is written in Python, and each request enters rows by it

    NEW = auto()  # nothing came yet
    IDLE = auto()  # the last request has its answer, and no other has begun
    DROPPING = auto()  # there was an answer, and what still comes of its request is dropped
    HEAD = auto()  # a request's head is incomplete
    BODY = auto()  # its head is complete, its body is not
    ANSWERING = auto()  # a whole request is being answered


# Of these makes room who waits for longest, whatever for. If some went first, others could hold every place: those that
# send slowly, or that say nothing at all, and whoever has just had its answer would go for the next that comes.
GIVING_WAY = tuple(phase for phase in Phase if phase is not Phase.ANSWERING)


class Member(Protocol):
    """A connection, as far as this module knows it."""

    phase: Phase

    def waited_too_long(self) -> None:
        """Do what is due in this phase: end, or begin to wait once more."""

    def give_way(self) -> bool:
        """Hold less of what came; see `Arrivals`."""

    def make_room(self) -> None:
        """End at once, but for an answer that only has to arrive."""

    def abort(self) -> None:
        """End at once, whatever is not sent yet."""

    def unsent_bytes(self) -> int:
        """Return how much of what was written has not been taken by the caller."""


class Connections:
    def __init__(self, settings: Settings, most: int) -> None:
        self._most = most
        self.arrivals = Arrivals(settings.head_bytes_at_once)
        self._longest_s = {
            Phase.NEW: settings.http_idle_s,
            Phase.IDLE: settings.http_idle_s,
            Phase.DROPPING: settings.http_drop_s,
            Phase.HEAD: settings.http_head_s,
            Phase.BODY: settings.http_body_s,
        }
        self._unread_s = settings.http_unread_s
        self._whole_body_s = settings.http_whole_body_s
        self._rows: dict[Phase, dict[Member, float]] = {phase: {} for phase in Phase}
        self._bodies: dict[Member, float] = {}  # since when each is sending a body
        self._unread: dict[Member, tuple[float, int]] = {}  # since when, and how much was unsent then

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def enter(self, connection: Member, phase: Phase) -> None:
        """Put a connection at the end of a row, from now on."""
        now = time.monotonic()
        self._rows[connection.phase].pop(connection, None)
        connection.phase = phase
        self._rows[phase][connection] = now
        if phase is Phase.BODY:
            self._bodies.setdefault(connection, now)
        else:
            self._bodies.pop(connection, None)

    def begin_again(self, connection: Member) -> None:
        """Give a connection all of the time again that its phase may take."""
        self._bodies.pop(connection, None)
        self.enter(connection, connection.phase)

    def leave(self, connection: Member) -> None:
        self._rows[connection.phase].pop(connection, None)
        self._bodies.pop(connection, None)
        self._unread.pop(connection, None)
        self.arrivals.forget(connection)

    def find_room(self) -> bool:
        """Tell whether one more may come in, after those have gone that may have to go for it."""
        while len(self) >= self._most:
            connection = self._first_to_go()
            if connection is None:
                FULL.inc()
                return False
            self.evict(connection)
        return True

    def evict(self, connection: Member) -> None:
        """End a connection at once, so that there is room for others."""
        EVICTED.labels(connection.phase.name.lower()).inc()
        self.leave(connection)
        connection.make_room()

    def _first_to_go(self) -> Member | None:
        longest_waiting = [next(iter(row.items())) for phase in GIVING_WAY if (row := self._rows[phase])]
        return min(longest_waiting, key=lambda waiting: waiting[1])[0] if longest_waiting else None

    def unread(self, connection: Member) -> None:
        """Note that a caller does not take what was written to it."""
        self._unread[connection] = (time.monotonic(), connection.unsent_bytes())

    def read(self, connection: Member) -> None:
        self._unread.pop(connection, None)

    async def sweep(self) -> None:
        """End whoever is overdue, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for phase, longest_s in self._longest_s.items():
                self._end_overdue(self._rows[phase], now - longest_s)
            self._end_overdue(self._bodies, now - self._whole_body_s)
            self._end_unread(now - self._unread_s)
            for phase, row in self._rows.items():
                CONNECTIONS.labels(phase.name.lower()).set(len(row))

    def _end_overdue(self, row: dict[Member, float], latest: float) -> None:
        overdue = []
        for connection, since in row.items():
            if since > latest:
                break
            overdue.append(connection)
        for connection in overdue:
            connection.waited_too_long()

    def _end_unread(self, latest: float) -> None:
        for connection, (since, unsent) in list(self._unread.items()):
            if since > latest:
                continue
            if connection.unsent_bytes() <= unsent - SLOWEST * self._unread_s:  # slow, but it reads
                self.unread(connection)
            else:
                self.leave(connection)
                connection.abort()
