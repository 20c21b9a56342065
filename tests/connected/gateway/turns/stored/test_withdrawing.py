"""A claim that failed is forgotten, in case it was committed all the same, and no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.stored.claims import Lost, claim_in
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.database import open_pool, transaction
from shared.ids import new_id
from tests.connected.gateway.turns.turn_stage import Gateway
from tests.connected.locks import until_blocked
from tests.waiting import until


async def test_a_withdrawal_spares_the_repeat_that_another_gateway_answers(gateway: Gateway) -> None:
    lost = gateway.claim("[slow 50] [chunks 5]", key="k1")
    # What a proxy sends again is the same to the last header, so the ids of turn and request are the same too.
    running = await gateway.turns.start(replace(lost, nonce=new_id()), [])
    async with open_upstreams(gateway.settings) as upstreams:
        elsewhere = gateway.another(upstreams)
        elsewhere.withdraw(lost.turn_id, lost.nonce)
        elsewhere.shut_down()
        await elsewhere.run()
    assert (await running.result()).state == "complete"


async def test_a_lost_claim_is_withdrawn(gateway: Gateway, owner: asyncpg.Connection) -> None:
    claim = gateway.claim("hello")
    await gateway.store.claim(claim)
    gateway.runner.withdraw(claim.turn_id, claim.nonce)

    async def gone() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 0 FROM gateway.turns"))

    await until(gone, "the withdrawal")


async def test_a_withdrawal_waits_for_a_claim_that_is_being_committed(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    """As where a claim was given up while the server still wrote it: a row that comes afterwards must go too."""
    claim = gateway.claim("hello")
    async with open_pool(gateway.settings.gateway_database_url, "claims") as pool, transaction(pool) as db:
        [turn] = await claim_in(db, [claim])
        assert isinstance(turn, Turn)
        gateway.runner.withdraw(claim.turn_id, claim.nonce)
        await until_blocked(owner)

    async def gone() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 0 FROM gateway.turns"))

    await until(gone, "the withdrawal")
    assert await gateway.store.claim(gateway.claim("hello")) is not Lost.TAKEN


@asynccontextmanager
async def held_up(url: str, passing: asyncio.Event) -> AsyncIterator[str]:
    """Pass a database's bytes on, and hold those to it up where they are not to pass."""
    parts = urlsplit(url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        always = asyncio.Event()
        always.set()
        from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pump(reader, to_server, passing), pump(from_server, writer, always))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield url.replace(f":{parts.port}/", f":{port}/")
    server.close()


async def test_a_claim_that_comes_after_its_withdrawal_gets_nothing(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    passing = asyncio.Event()
    passing.set()
    claim = gateway.claim("hello")

    async def over() -> bool:
        query = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'held up%')"
        return bool(await owner.fetchval(query))

    async with (
        held_up(gateway.settings.gateway_database_url, passing) as url,
        open_pool(url, "held up", 1) as pool,
    ):
        store = TurnStore(pool)
        assert isinstance(await store.claim(gateway.claim("before", session="s2")), Turn)
        passing.clear()
        with pytest.raises(TimeoutError):
            await store.claim(claim)
        await gateway.store.withdraw(claim.turn_id, claim.nonce)
        passing.set()
        await until(over, "the claim to come late")
    assert not await owner.fetchval("SELECT count(*) FROM gateway.turns WHERE session_id = 's1'")
    assert isinstance(await gateway.store.claim(gateway.claim("hello")), Turn)
