"""An export is read as it is sent: no more of it is held than a piece, and none is read for nobody."""

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest
from starlette.types import Message, Scope

from services.gateway.account.caller import Caller
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.visitors.store import LinkStore
from services.gateway.http.held.room import Room
from services.gateway.privacy.export import Exporting, ExportPlaces
from services.gateway.privacy.kinds import KINDS, Kind
from services.gateway.privacy.pages import PAGE_BYTES, PAGES_AT_ONCE, ExportPage
from shared.errors import Overloaded, TooMany
from shared.events import ConversationRead
from tests.service.gateway.fakes import World

PATH = "/api/me/export"
ROWS = 4000
SCOPE: Scope = {"type": "http", "method": "GET", "path": PATH, "headers": []}


class Stage:
    """Exports of a world's rows, of which is noted how much was read and sent."""

    def __init__(self, world: World, patience_s: float = 10.0) -> None:
        self.patience_s = patience_s
        self.pages = 0
        self.read = 0  # bytes
        self.sent = 0
        self.most_held = 0
        self.left = asyncio.Event()  # set: whoever asked is gone
        self.faults: dict[int, list[Exception]] = {}  # that meet whoever reads a page, by its number
        self.lines: list[bytes] = []
        self._world = world

    async def answer(self, *owners: str) -> None:
        exporting = Exporting(
            self._read,
            LinkStore(None),  # type: ignore[arg-type]
            ExportPlaces(1),
            Lanes(),
            Room(2**20),
            patience_s=self.patience_s,
        )
        caller = Caller(owners[0], None, "user", None, owners)
        await exporting.of(owners, caller)(SCOPE, self._receive, self._send)

    async def _read(self, owner: str, kind: Kind, after: tuple[Any, ...] | None) -> ExportPage:
        if faults := self.faults.get(self.pages):
            raise faults.pop()
        page = await self._world.read_kept(owner, kind, after)
        self.pages += 1
        self.read += sum(map(len, page.lines))
        self.most_held = max(self.most_held, self.read - self.sent)
        return page

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent += len(message.get("body", b""))
        self.lines += message.get("body", b"").splitlines()
        await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    rows = [{"message_id": f"m{number}", "content": "word " * 400} for number in range(ROWS)]
    return World(kept={("u1", "chat.messages"): rows})


async def test_thousands_of_rows_are_sent_whole_and_the_last_line_says_so(world: World) -> None:
    async with world.client("u1") as client:
        answer = await client.get(PATH)
    lines = [orjson.loads(line) for line in answer.text.splitlines()]
    assert [line["row"]["message_id"] for line in lines[1:-1]] == [f"m{number}" for number in range(ROWS)]
    assert (lines[0]["users"], lines[-1]["complete"], lines[-1]["rows"]) == (["u1"], True, ROWS)
    assert answer.headers["content-disposition"] == 'attachment; filename="tripthread-export.ndjson"'


async def test_no_more_is_read_than_a_piece_before_that_is_sent(world: World) -> None:
    stage = Stage(world)
    await stage.answer("u1")
    assert stage.read > 20 * PAGE_BYTES
    assert stage.most_held <= 2 * PAGE_BYTES


async def test_nothing_is_read_for_somebody_who_has_gone(world: World) -> None:
    stage = Stage(world)
    stage.left.set()
    await stage.answer("u1")
    assert 0 < stage.read <= 2 * PAGE_BYTES, "of eight megabytes"


async def test_somebody_who_has_gone_is_looked_for_where_there_is_nothing_to_send(world: World) -> None:
    stage = Stage(World())
    stage.left.set()
    await stage.answer(*(f"visitor_{number}" for number in range(200)))
    assert stage.pages <= 3 * PAGES_AT_ONCE < 200 * len(KINDS)


async def test_a_page_that_fails_for_a_moment_is_read_again_and_none_twice(world: World) -> None:
    stage = Stage(world)
    for number in (20, 21, 30):
        stage.faults[number] = [ConnectionRefusedError(), TooMany(), Overloaded(), TimeoutError()]
    await stage.answer("u1")
    lines = [orjson.loads(line) for line in stage.lines]
    assert [line["row"]["message_id"] for line in lines[1:-1]] == [f"m{number}" for number in range(ROWS)]
    assert lines[-1]["rows"] == ROWS
    assert not any(stage.faults.values())


@pytest.mark.parametrize(
    ("fault", "patience_s", "tried"),
    [(ConnectionRefusedError(), 0.0, 1), (asyncpg.InsufficientPrivilegeError("no right"), 60.0, 1)],
)
async def test_a_page_that_cannot_be_read_ends_an_export_without_its_last_line(
    world: World, fault: Exception, patience_s: float, tried: int
) -> None:
    stage = Stage(world, patience_s)
    stage.faults[20] = [fault] * 9
    with pytest.raises(type(fault)):
        await stage.answer("u1")
    assert len(stage.faults[20]) == 9 - tried
    assert stage.read > 0, "and some of it was sent"
    assert b"complete" not in b"".join(stage.lines)


async def test_who_has_nothing_yet_is_told_at_once_that_the_database_is_away(world: World) -> None:
    stage = Stage(world, 60.0)
    stage.faults[0] = [ConnectionRefusedError()] * 9
    with pytest.raises(ConnectionRefusedError):
        await stage.answer("u1")
    assert (stage.sent, len(stage.faults[0])) == (0, 8)


async def test_an_administrator_who_may_read_no_bodies_exports_nobody(world: World) -> None:
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    async with world.client("root", role="admin") as client:
        answer = await client.get("/api/admin/users/u1/export")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert world.published == []


@pytest.mark.parametrize("fault", ["broker_away", "broker_loses_all"])
async def test_an_administrator_who_is_not_recorded_exports_nobody(world: World, fault: str) -> None:
    setattr(world, fault, True)
    async with world.client("root", role="admin") as client:
        answer = await client.get("/api/admin/users/u1/export")
    assert (answer.status_code, "word" in answer.text) == (503, False)


async def test_an_administrator_is_recorded_with_each_of_the_person_s_names(world: World) -> None:
    world.linked["visitor_1"] = "u1"
    async with world.client("root", role="admin") as client:
        answer = await client.get("/api/admin/users/u1/export", params={"reason": "they asked"})
    assert orjson.loads(answer.text.splitlines()[0])["users"] == ["u1", "visitor_1"]
    reads = [event for event in world.published if isinstance(event, ConversationRead)]
    assert [(read.operator, read.kind, read.user_id, read.query["reason"]) for read in reads] == [
        ("root", "export", "u1", "they asked"),
        ("root", "export", "visitor_1", "they asked"),
    ]


async def test_a_reading_that_finds_no_place_is_not_recorded(world: World) -> None:
    world.export_places = ExportPlaces(0)
    async with world.client("root", role="admin") as client:
        answer = await client.get("/api/admin/users/u1/export")
    assert (answer.status_code, answer.json()["code"]) == (503, "crowded")
    assert world.published == []
