"""All that is kept of one person, as lines of JSON: read and sent piece by piece, and never held whole."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.account.caller import Caller
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.visitors.store import LinkStore
from services.gateway.http.answers.sliced import Slice, SlicedResponse
from services.gateway.http.held.room import Room
from services.gateway.privacy.kinds import KINDS, Kind
from services.gateway.privacy.pages import PAGE_BYTES, PATIENCE_S, ExportReader, ReadPage
from shared.errors import Crowded, TooMany

MEDIA_TYPE = "application/x-ndjson"
FORMAT = 1  # of the lines

Record = Callable[[], Awaitable[None]]


class ExportPlaces:
    """How many exports go on at once on this replica, visitors' at most half of them; and of one caller only one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, bool] = {}  # whether it is a visitor's, by who has it

    @contextmanager
    def taken(self, caller: Caller) -> Iterator[None]:
        """Have a place in the block.

        Raises:
            TooMany: The caller has one already.
            Crowded: There is none.
        """
        user_id, is_visitor = caller.user_id, caller.is_visitor
        if user_id in self._taken:
            raise TooMany("one export at a time: another one of yours is being sent", retry_after_s=10)
        visitors = sum(self._taken.values())
        if len(self._taken) >= self._most or (is_visitor and visitors >= max(1, self._most // 2)):
            raise Crowded("This instance sends as many exports as it can.")
        self._taken[user_id] = is_visitor
        try:
            yield
        finally:
            del self._taken[user_id]


class Exporting:
    """What the routes of exports work with."""

    def __init__(
        self,
        read: ReadPage,
        links: LinkStore,
        places: ExportPlaces,
        lanes: Lanes,
        room: Room,
        *,
        kinds: Sequence[Kind] = KINDS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._kinds = kinds
        self._read = read
        self._links = links
        self._places = places
        self._lanes = lanes
        self._room = room

    async def owners_of(self, user_id: str) -> list[str]:
        """Return under which names somebody has what is theirs: their own, and those of visitors whom they were."""
        return [user_id, *await self._links.of(user_id)]

    def of(self, owners: Sequence[str], caller: Caller, record: Record | None = None) -> Response:
        """Answer a caller with the export of a person who has these names.

        Args:
            owners: The names.
            caller: Who is sent it.
            record: What is done once there is a place for it, before anything is read.
        """
        reader = ExportReader(self._read, owners, self._kinds)
        sliced = SlicedResponse(
            self._room,
            partial(self._lanes.of, caller),
            _slices(reader),
            before=first_line(owners),
            after=lambda: last_line(reader.rows),
            between=b"",
            media_type=MEDIA_TYPE,
            headers={"Content-Disposition": 'attachment; filename="tripthread-export.ndjson"'},
            patience_s=self._patience_s,
        )
        return PlacedResponse(sliced, self._places, caller, record)


class PlacedResponse(Response):
    """An answer that takes a place for as long as it is sent."""

    def __init__(self, answer: Response, places: ExportPlaces, caller: Caller, record: Record | None) -> None:
        super().__init__()
        self._answer = answer
        self._places = places
        self._caller = caller
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._places.taken(self._caller):
            if self._record is not None:
                await self._record()
            await self._answer(scope, receive, send)


def _slices(reader: ExportReader) -> Iterator[Slice]:
    """Two at least: the second is asked for before the first is made."""
    for _ in range(2):
        yield PAGE_BYTES, reader.next_lines
    while not reader.is_done:
        yield PAGE_BYTES, reader.next_lines


def first_line(owners: Sequence[str]) -> bytes:
    """Say whose export it is, and when it began."""
    return orjson.dumps({"export": FORMAT, "users": owners, "began_at": datetime.now(UTC)}) + b"\n"


def last_line(rows: int) -> bytes:
    """Say that nothing is missing, and how many rows there were."""
    return orjson.dumps({"complete": True, "rows": rows, "ended_at": datetime.now(UTC)}) + b"\n"
