"""Tokens that are got for a client: one for all calls of Avinode, a new one when it ends or is refused."""

import asyncio
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr

from services.workflow.avinode.client import open_avinode
from services.workflow.avinode.credentials import Credentials
from services.workflow.avinode.errors import AvinodeAway, AvinodeLocked
from shared.settings import Settings
from tests.connected.workflow.stage import QUICK, open_stage, running_workflow, serving

CLIENT: dict[str, Any] = {"avinode_client_id": "tripthread", "avinode_client_secret": SecretStr("s" * 20)}


class Door:
    """Gives tokens and takes the last one only."""

    def __init__(self, **fields: Any) -> None:
        self.given: list[str] = []
        self.asked: list[str] = []
        self.fields = {"expires_in": 1800, **fields}
        self.status = 200
        self.is_shut = False

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/oauth/token"):
            await asyncio.sleep(0.05)  # time for others to come
            self.given.append(f"token-{len(self.given) + 1}")
            return web.json_response({"access_token": self.given[-1], **self.fields}, status=self.status)
        self.asked.append(f"{request.method} {request.headers['Authorization']}")
        is_known = bool(self.given) and request.headers["Authorization"] == f"Bearer {self.given[-1]}"
        return web.json_response({"data": {"id": "atrip-1"}}, status=200 if is_known and not self.is_shut else 401)


def client_of(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"avinode_base_url": url, **CLIENT})


async def test_one_token_is_got_for_all_calls_that_wait_for_it(settings: Settings) -> None:
    door = Door()
    async with serving(door.answer) as url, open_avinode(client_of(settings, url), QUICK) as avinode:
        await asyncio.gather(*(avinode.read("trips", "atrip-1") for _ in range(8)))
        await avinode.read("trips", "atrip-1")
    assert (door.given, len(door.asked)) == (["token-1"], 9)


async def test_a_token_is_replaced_before_its_end_and_not_earlier(settings: Settings) -> None:
    door, now = Door(expires_in=600), [0.0]
    async with serving(door.answer) as url, open_avinode(client_of(settings, url), QUICK) as avinode:
        credentials = Credentials(client_of(settings, url), avinode._http, lambda: now[0])
        seen = []
        for now[0] in (0.0, 539.0, 541.0):
            seen.append(await credentials.token())
    assert seen == ["token-1", "token-1", "token-2"]


async def test_a_token_that_is_refused_is_replaced_once_for_all(settings: Settings) -> None:
    door = Door()
    async with serving(door.answer) as url, open_avinode(client_of(settings, url), QUICK) as avinode:
        await avinode.read("trips", "atrip-1")
        door.given.append("somebody-else-has-ended-it")
        await asyncio.gather(*(avinode.read("trips", "atrip-1") for _ in range(4)))
    assert door.given[2:] == ["token-3"]


async def test_credentials_that_stay_refused_are_left_alone_like_a_token_that_is(settings: Settings) -> None:
    door = Door()
    door.is_shut = True
    async with serving(door.answer) as url, open_avinode(client_of(settings, url), QUICK) as avinode:
        with pytest.raises(AvinodeLocked):
            await avinode.read("trips", "atrip-1")
        assert (len(door.given), len(door.asked)) == (2, 2)
        assert avinode.refusal is not None


@pytest.mark.parametrize(
    ("status", "fields", "error"),
    [
        (401, {}, AvinodeLocked),
        (400, {}, AvinodeLocked),
        (500, {}, AvinodeAway),
        (302, {}, AvinodeAway),
        (200, {"access_token": None}, AvinodeAway),
        (200, {"access_token": "a\nb"}, AvinodeAway),
    ],
)
async def test_without_a_token_nothing_is_called_and_all_wait(
    settings: Settings, status: int, fields: dict[str, Any], error: type[Exception]
) -> None:
    door = Door(**fields)
    door.status = status
    async with serving(door.answer) as url, open_avinode(client_of(settings, url), QUICK) as avinode:
        with pytest.raises(error) as raised:
            await avinode.read("trips", "atrip-1")
        assert getattr(raised.value, "is_acted_on", False) is False
        assert (door.asked, avinode.bucket.held_s > 0) == ([], True)


async def test_the_workflow_works_with_a_client_at_an_avinode_that_knows_it(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_stage(settings.model_copy(update=CLIENT), owner, **CLIENT) as stage:
        async with running_workflow(stage.settings):
            event, avinode_trip_id = await stage.created()
            await stage.send_rfqs(avinode_trip_id, 2)
            await stage.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
        assert len(await stage.calls("POST", "/oauth/token")) == 1
        bad = {"avinode_client_secret": SecretStr("w" * 20)}
        async with running_workflow(stage.settings.model_copy(update=bad)):
            await stage.request("s2")
            await stage.becomes(True, "SELECT refusal LIKE '%no token: answered 401%' FROM workflow.avinode_status")
        assert await stage.trips_at_avinode() == 1


def test_the_workflow_needs_a_token_or_a_client() -> None:
    needed: dict[str, Any] = {
        "workflow_database_url": "postgresql://x",
        "amqp_url": "amqp://x:y@z/",
        "avinode_api_token": "t" * 20,
    }
    production: dict[str, Any] = {"environment": "production", **needed}
    with pytest.raises(ValueError, match="AVINODE_AUTH_TOKEN"):
        Settings(_env_file=None, **production).checked_for("workflow")
    assert Settings(_env_file=None, **production, **CLIENT).checked_for("workflow")
