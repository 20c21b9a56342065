"""Everybody tries every route of a gateway on what is ann's, and gets what the table of `who_may_what.py` says."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.account.visitors.cookies import new_visitor
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.account.everything_of_ann import MARK, PROJECT, SAID, Everything, plant
from tests.connected.gateway.account.who_may_what import BEGINNING, CALLERS, TABLE, UNDOCUMENTED, Cell
from tests.connected.gateway.stage import own_database
from tests.processes import Process
from tests.servers import Servers, empty_broker, looking
from tests.tokens import token_for

LISTENED_S = 0.3  # to a stream of events, which has no end of its own
SENDER = f"elsewhere=whsec_{b64encode(bytes(32)).decode()}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def cell(self) -> Cell:
        return Cell(self.status, shows_hers=MARK in self.text)


@dataclass
class Scene:
    """A gateway with everything of ann's, and who calls it."""

    gateway: Process
    http: httpx2.AsyncClient
    everything: Everything
    headers: Mapping[str, Mapping[str, str]]  # by the caller's name
    document: Mapping[str, Mapping[str, Any]]
    turn_id: str  # of what is answered for long

    async def try_one(self, caller: str, method: str, pattern: str, everything: Everything) -> Answer:
        """Have somebody call a route with these ids."""
        content = everything.content(method.lower(), pattern)
        headers = {**content.pop("headers", {}), **self.headers[caller]}
        query = everything.query(method.lower(), pattern)
        self.http.cookies.clear()
        return await self.send(method, everything.path(pattern), headers=headers, params=query, **content)

    async def send(self, method: str, url: str, **request: Any) -> Answer:
        """Send it, and read the answer: of one that goes on for long what says whose it is."""
        async with self.http.stream(method, url, **request) as response:
            text = ""
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTENED_S if url == "/api/events" else None):
                    async for piece in response.aiter_text():
                        text += piece
                        if MARK in text and "event-stream" in response.headers["content-type"]:
                            break
        return Answer(response.status_code, text)


async def key_of(http: httpx2.AsyncClient, token: str, **body: Any) -> str:
    answer = await http.post("/api/keys", json={"name": "k", **body}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"]["token"])


async def share_of(http: httpx2.AsyncClient, token: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await http.post("/api/chat/sessions/s-ann/shares", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["share"]


@pytest.fixture(scope="module")
async def scene(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(own_database(servers, template))
        await empty_broker(servers.amqp_url)
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        told = settings.model_copy(
            update={
                "openai_base_url": f"{sandbox.model}/v1",
                "stored_wait_s": 0.0,
                "allowed_hosts": "127.0.0.1",
                "webhook_senders": SecretStr(SENDER),
            }
        )
        process = Process("gateway", told, tmp_path_factory.mktemp("matrix") / "gateway.log")
        await process.start()
        stack.push_async_callback(process.stop)
        base = f"http://127.0.0.1:{process.settings.http_port}"
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=base, timeout=30))
        owner = await stack.enter_async_context(looking(settings.database_url))
        everything = await plant(process.settings, owner)
        yield await set_up(Scene(process, http, everything, {}, {}, ""), process.settings)


async def set_up(scene: Scene, settings: Settings) -> Scene:
    """Sign everybody in, have ann share her session and ask something that is answered for long."""
    ann, bob = (token_for(settings, name) for name in ("ann", "bob"))
    tokens = {
        "ann": ann,
        "key": await key_of(scene.http, ann, projects=["p2"]),
        "bob": bob,
        "cat": token_for(settings, "cat", projects=[PROJECT]),
        "sam": await key_of(scene.http, token_for(settings, "sam", role="service"), role="service"),
        "vic": new_visitor(settings).value,
        "ada": token_for(settings, "ada", role="admin", projects=[PROJECT]),
        "root": token_for(settings, "root", role="admin"),
    }
    hers = {"Prefer": "respond-async"}
    scene.headers = {name: {"Authorization": f"Bearer {token}", **hers} for name, token in tokens.items()}
    scene.headers |= {"none": hers}
    by_link = await share_of(scene.http, ann)
    scene.everything.ids["token"] = by_link["url"].rpartition("/")[2]
    scene.everything.ids["share_id"] = (await share_of(scene.http, ann, users=["dora"]))["id"]
    body = {"session_id": "s-ann", "message": SAID}
    assert (await scene.send("POST", "/api/chat", json=body, headers=scene.headers["ann"])).cell == Cell(200, True)
    running = await scene.http.get("/api/chat/sessions/s-ann", headers=scene.headers["ann"])
    scene.turn_id = running.json()["session"]["running_turn"]["turn_id"]
    scene.document = (await scene.http.get("/openapi.json")).json()["paths"]
    return scene


async def test_every_route_stands_in_the_table(scene: Scene) -> None:
    """And the table has no other."""
    documented = {(method.upper(), path) for path, methods in scene.document.items() for method in methods}
    named = TABLE.keys() - UNDOCUMENTED
    assert documented - named == set(), "tell in who_may_what.py who may do this"
    assert named - documented == set(), "this is no route any more"


async def test_what_is_somebody_elses_is_as_what_is_not_there(scene: Scene) -> None:
    """So no answer tells that it is."""
    unknown = Everything(dict.fromkeys(scene.everything.ids, str(new_id())), scene.everything.settings)
    for caller in ("bob", "cat", "key"):
        for method, pattern in TABLE:
            if (method, pattern) not in BEGINNING and TABLE[method, pattern][caller].status == 404:
                answers = [
                    await scene.try_one(caller, method, pattern, everything)
                    for everything in (scene.everything, unknown)
                ]
                told = [(each.status, json.loads(each.text).get("detail")) for each in answers]
                assert told[0] == told[1], (caller, method, pattern)


def how_late(caller: str, route: tuple[str, str]) -> int:
    """Put what leaves nothing of ann's last."""
    method, path = route
    if caller == "root" and path.endswith("/erase"):
        return 2
    return 1 if caller == "ann" and method == "DELETE" else 0


async def test_everybody_gets_what_the_table_says(scene: Scene) -> None:
    wrong = []
    for caller, route in sorted(product(CALLERS, TABLE), key=lambda each: how_late(*each)):
        answer = await scene.try_one(caller, *route, scene.everything)
        if answer.cell != TABLE[route][caller]:
            wrong.append(
                f"{' '.join(route)} by {caller}: {answer.cell}, not {TABLE[route][caller]}: {answer.text[:300]}"
            )
    assert not wrong, "\n".join(wrong)


async def test_no_path_knows_another_method(scene: Scene) -> None:
    for pattern in {path for _, path in TABLE}:
        path = scene.everything.path(pattern)
        known = {method for method, other in TABLE if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", other), path)}
        for method in METHODS:
            if method not in known:
                answer = await scene.try_one("bob", method, pattern, scene.everything)
                assert answer.cell in (Cell(405), Cell(404)), (method, pattern, answer)


async def test_the_internal_address_tells_nothing_of_anybody(scene: Scene) -> None:
    """Its metrics are for whoever is in that network; a turn is for gateways, which show that they are."""
    base = f"http://127.0.0.1:{scene.gateway.settings.internal_port}"
    for caller in CALLERS:
        headers = scene.headers[caller]
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await scene.send("GET", base + path, headers=headers)).cell == Cell(200)
        turn = f"{base}/turns/{scene.turn_id}/1"
        assert (await scene.send("GET", f"{turn}/pieces", headers=headers)).cell == Cell(401)
        assert (await scene.send("POST", f"{turn}/stop", headers=headers)).cell == Cell(401)
