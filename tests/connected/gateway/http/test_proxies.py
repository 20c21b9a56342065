"""Real proxies before the real public server: what reaches it, and what reaches the caller."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.gateway.writes.announcing import Announcing
from shared.broker.declaring import Declaring
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.gateway.live.listening import listening
from tests.connected.proxies import FILES, before
from tests.processes import running
from tests.service.gateway.http.raw_http import RawCaller, Serving, serving, write_all_then_read
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until_true

# nginx speaks HTTP/1.0 to the gateway unless it is told otherwise.
OLD_NGINX = {"proxy_http_version 1.1;": "proxy_http_version 1.0;"}
PROXIES = [("nginx", {}), ("nginx", OLD_NGINX), ("haproxy", {}), ("caddy", {})]
IDLE = {"nginx": "keepalive_timeout 60s", "haproxy": "pool-purge-delay 5s", "caddy": "keepalive 60s"}
every_proxy = pytest.mark.parametrize(("proxy", "changes"), PROXIES, ids=["nginx", "nginx 1.0", "haproxy", "caddy"])


@asynccontextmanager
async def served_behind(
    proxy: str, changes: dict[str, str], directory: Path, **settings: object
) -> AsyncIterator[tuple[Serving, int]]:
    async with serving(**settings) as served, before(served.port, proxy, directory, changes) as port:
        yield served, port


async def call(port: int, said: bytes, local: str = "127.0.0.1") -> RawCaller:
    caller = RawCaller(*await asyncio.open_connection("127.0.0.1", port, local_addr=(local, 0)))
    await caller.say(said)
    return caller


@every_proxy
async def test_an_answer_streams_through(proxy: str, changes: dict[str, str], tmp_path: Path) -> None:
    async with served_behind(proxy, changes, tmp_path) as (served, port):
        caller = await call(port, b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await caller.head()).status == 200
        assert await caller.piece() == b"first,"  # the second is not written yet
        served.app.release()
        assert await caller.piece() == b"second"
        assert await caller.piece() == b""


@every_proxy
async def test_a_413_arrives_as_one(proxy: str, changes: dict[str, str], tmp_path: Path) -> None:
    async with served_behind(proxy, changes, tmp_path) as (_, port):
        for length in (1_500_000, 20_000_000):
            if (proxy, length) == ("caddy", 20_000_000):
                continue  # it breaks off a caller that is still writing, whatever is behind it
            head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length
            for _ in range(3):  # a reset may come too late to do harm
                answer = await asyncio.to_thread(write_all_then_read, port, head, b"x" * length)
                assert answer.startswith(b"HTTP/1.1 413 ")
                ours = proxy != "nginx" or length < 2_000_000  # more than that it refuses itself
                assert (b'"code":"too_large"' in answer) is ours


@pytest.mark.parametrize("proxy", FILES)
async def test_it_is_the_proxy_that_ends_an_idle_connection(proxy: str, tmp_path: Path) -> None:
    sooner = {IDLE[proxy]: re.sub(r"\d+s", "1s", IDLE[proxy])}
    async with served_behind(proxy, sooner, tmp_path) as (served, port):
        caller = await call(port, b"")
        assert (await caller.get()).status == 200
        await until_true(lambda: served.open_connections() == 0, within_s=30)  # long before ours does
        assert (await caller.get()).status == 200


def test_the_gateway_keeps_a_connection_for_longer_than_a_proxy() -> None:
    kept_s = {name: int(re.findall(r"\d+", IDLE[name])[0]) for name in FILES}
    assert all(IDLE[name] in FILES[name].read_text() for name in FILES)
    assert max(kept_s.values()) < Settings.model_fields["http_idle_s"].default


@every_proxy
@pytest.mark.parametrize(("trusted", "seen"), [("127.0.0.1", "127.0.0.2"), ("", "127.0.0.1")])
async def test_a_proxy_that_is_trusted_says_who_calls(
    proxy: str, changes: dict[str, str], trusted: str, seen: str, tmp_path: Path
) -> None:
    async with served_behind(proxy, changes, tmp_path, trusted_proxies=trusted) as (served, port):
        forged = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        caller = await call(port, b"GET /echo HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % forged, local="127.0.0.2")
        assert (await caller.answer()).status == 200
        (scope,) = served.app.requests
        assert (scope["client"][0], scope["scheme"]) == (seen, "http")
        assert dict(scope["headers"])[b"host"] == b"localhost"


@pytest.mark.parametrize(("proxy", "changes"), PROXIES[:3], ids=["nginx", "nginx 1.0", "haproxy"])
async def test_an_answer_that_breaks_off_does_so_for_the_caller(
    proxy: str, changes: dict[str, str], tmp_path: Path
) -> None:
    async with served_behind(proxy, changes, tmp_path) as (_, port):
        caller = await call(port, b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await caller.head()).status == 200
        assert not (await caller.ended()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("proxy", FILES)
async def test_a_turn_streams_through_from_the_whole_gateway(proxy: str, settings: Settings, tmp_path: Path) -> None:
    async with (
        simulated(settings) as outside,
        running(outside.settings, tmp_path, "gateway") as processes,
        before(processes["gateway"].settings.http_port, proxy, tmp_path, {}) as port,
    ):
        body = b'{"message": "[chunks 4][stall 2]"}'  # the model falls silent in the middle of its answer
        head = (
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n"
            f"Authorization: Bearer {token_for(settings, 'ann')}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        caller = await call(port, head.encode() + body)
        assert (await caller.head()).status == 200
        assert await caller.piece()
        processes["gateway"].kill()  # in order it would wait for the turn


@every_proxy
async def test_events_come_through_at_once_and_their_end_too(
    proxy: str, changes: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    async with (
        running(settings, tmp_path, "gateway") as processes,
        before(processes["gateway"].settings.http_port, proxy, tmp_path, changes) as port,
        Publisher(settings.as_service("gateway"), "gateway", Declaring()) as publisher,
        listening(processes["gateway"], port=port) as stream,
    ):
        for session in ("s1", "s2"):
            await Announcing(publisher).touched("ann", [session], "title")
            await stream.until("renamed", session)  # what is held back comes with the end, if at all
        processes["gateway"].signal(signal.SIGTERM)
        assert await stream.next() is None
