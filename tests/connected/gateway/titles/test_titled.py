"""A model's title from the first answer to the list that a browser shows, over every process that it passes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.titles.asking import INSTRUCTIONS
from shared.settings import Settings
from tests.connected.gateway.live.listening import Stream, listening, say
from tests.connected.gateway.stage import own_database
from tests.processes import Process, running
from tests.servers import Servers, empty_broker
from tests.tokens import token_for
from tests.waiting import PATIENCE_S

ROUTE = "Fly me from New York to Palm Beach on 4 May 2030, six people"
TITLE = "KTEB to KPBI on 2030-05-04, 6 passengers"
PATIENT = {"stored_wait_s": PATIENCE_S}  # nothing of this is about how long that takes


@dataclass
class Site:
    gateway: Process
    model: str

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.gateway.settings.http_port}{path}"
        headers = {"Authorization": f"Bearer {token_for(self.gateway.settings, 'ann')}"}
        async with aiohttp.ClientSession() as http, http.request(method, url, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def title(self, session: str) -> str | None:
        title: str | None = (await self.call("GET", f"/api/chat/sessions/{session}"))["session"]["title"]
        return title

    async def asked(self) -> list[str]:
        """Return which questions the model was asked to title, and by which name."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.model}/sim/requests") as response:
            requests = (await response.json())["requests"]
        return [
            f"{each['model']}: {each['messages'][1]['content'].splitlines()[2]}"
            for each in requests
            if each["messages"][0]["content"] == INSTRUCTIONS
        ]


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A gateway that has a model title sessions, and a logger, once for all of these tests."""
    await empty_broker(servers.amqp_url)
    logs = tmp_path_factory.mktemp("titles")
    async with (
        own_database(servers, template) as settings,
        serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox,
        running(_titling(settings, f"{sandbox.model}/v1"), logs, "gateway", "logger") as processes,
    ):
        yield Site(processes["gateway"], sandbox.model)


def _titling(settings: Settings, model: str) -> Settings:
    return settings.model_copy(
        update={"openai_base_url": model, "title_model": "sandbox-large", "titles_at_once": 1, **PATIENT}
    )


@pytest.fixture
async def stream(site: Site) -> AsyncIterator[Stream]:
    async with listening(site.gateway) as stream:
        yield stream


async def test_title_is_heard_of_and_shown_and_the_model_is_asked_once(site: Site, stream: Stream) -> None:
    await say(site.gateway, "chat", text=ROUTE, tools=False)
    assert (await stream.until("renamed", "chat")).changed == ["title"]
    assert await site.title("chat") == TITLE
    await say(site.gateway, "chat", text="[echo and back]")
    await say(site.gateway, "after", text="[echo the next session's]")
    await stream.until("renamed", "after")
    assert await site.title("chat") == TITLE
    assert (await site.asked())[:2] == [f"sandbox-large: {ROUTE}", "sandbox-large: [echo the next session's]"]


async def test_session_of_a_client_of_openais_is_titled_likewise(site: Site, stream: Stream) -> None:
    url = f"http://127.0.0.1:{site.gateway.settings.http_port}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {token_for(site.gateway.settings, 'ann')}"}
    body = {"model": "sandbox-small", "messages": [{"role": "user", "content": ROUTE}]}
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        assert response.status == 200
        session = response.headers["X-Session-Id"]
    await stream.until("renamed", session)
    assert await site.title(session) == TITLE


async def test_title_that_a_user_has_set_or_taken_back_is_theirs(site: Site, stream: Stream) -> None:
    before = await site.asked()
    await site.call("POST", "/api/chat/sessions", {"id": "mine", "title": "mine"})
    await say(site.gateway, "mine", text=ROUTE)
    await say(site.gateway, "other", text="[echo other]")
    await stream.until("renamed", "other")
    assert await site.title("mine") == "mine"
    assert await site.asked() == [*before, "sandbox-large: [echo other]"]
    await site.call("PATCH", "/api/chat/sessions/other", {"title": None})
    assert await site.title("other") == "[echo other]"


async def test_user_who_names_the_session_while_the_model_thinks_is_not_overruled(site: Site, stream: Stream) -> None:
    await say(site.gateway, "named", text="[first 300] [echo by the model]")
    await site.call("PATCH", "/api/chat/sessions/named", {"title": "by me"})
    await say(site.gateway, "later", text="[echo later]")  # asked for after it: one at once
    await stream.until("renamed", "later")
    assert await site.title("named") == "by me"


async def test_where_the_model_fails_the_title_stays_and_nobody_notices(site: Site, stream: Stream) -> None:
    await say(site.gateway, "odd", text="[raw \"\\u0000  \\ud800 I'm sorry, I can't\"] for Aspen")
    await say(site.gateway, "fine", text="[echo fine]")
    await stream.until("renamed", "fine")
    assert (await site.title("odd") or "").startswith("[raw")


async def test_gateway_that_is_killed_meanwhile_leaves_the_title_and_the_next_one_asks_nothing(site: Site) -> None:
    question = "[first 4000] [echo an answer] for Aspen"
    await say(site.gateway, "killed", text=question)
    site.gateway.kill()
    await site.gateway.start()
    before = await site.asked()
    async with listening(site.gateway) as stream:
        await say(site.gateway, "killed", text="[echo and back]")
        await say(site.gateway, "fresh", text="[echo fresh]")
        await stream.until("renamed", "fresh")
    assert await site.title("killed") == question
    assert await site.asked() == [*before, "sandbox-large: [echo fresh]"]
