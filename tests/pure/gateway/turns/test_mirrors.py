"""A mirror lasts for as long as somebody follows it, and goes with the last."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from services.gateway.http.held.shares import Shares
from services.gateway.turns.elsewhere.abandoned import Abandoned
from services.gateway.turns.elsewhere.mirrors import Mirrors
from services.gateway.turns.elsewhere.peers import Peers
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from tests.pure.gateway.samples import turn
from tests.waiting import until_true


class _Owner:
    """Runs a turn that says nothing, and knows how many gateways follow it."""

    followed = 0

    async def follow(self, _turn: Turn) -> AsyncGenerator[str]:
        self.followed += 1
        try:
            while True:
                yield ""
                await asyncio.Event().wait()
        finally:
            self.followed -= 1


def _mirrors(owner: _Owner) -> Mirrors:
    return Mirrors(
        cast(TurnStore, None), cast(Peers, owner), cast(Abandoned, None), Shares(2**20, one_bytes=2**20, free_bytes=0)
    )


async def test_all_who_follow_share_one_and_its_owner_is_left_with_the_last() -> None:
    owner = _Owner()
    mirrors, running = _mirrors(owner), turn()
    buffer = mirrors.follow(running)
    here, there = buffer.attach(), mirrors.follow(running).attach()
    assert mirrors.follow(running) is buffer
    await until_true(lambda: owner.followed == 1)
    here.close()
    assert mirrors.follow(running) is buffer
    there.close()
    await until_true(lambda: owner.followed == 0)
    assert mirrors.follow(running) is not buffer


async def test_who_comes_as_the_last_one_goes_is_not_left_alone() -> None:
    owner = _Owner()
    mirrors, running = _mirrors(owner), turn()
    buffer = mirrors.follow(running)
    first = buffer.attach()
    await until_true(lambda: owner.followed == 1)
    first.close()
    second = mirrors.follow(running).attach()
    for _ in range(10):
        await asyncio.sleep(0)  # whatever the going of the first has begun
    assert mirrors.follow(running) is buffer
    assert owner.followed == 1
    second.close()
    await until_true(lambda: owner.followed == 0)
