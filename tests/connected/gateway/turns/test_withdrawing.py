"""A claim that failed is forgotten, in case it was committed all the same, and no other."""

from dataclasses import replace

import asyncpg

from services.gateway.model.upstreams import open_upstreams
from services.gateway.turns.claims import Lost, claim_in
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
