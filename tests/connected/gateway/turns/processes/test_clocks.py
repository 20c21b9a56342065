"""Two gateways whose clocks are an hour apart are one to their callers: every time that counts is the database's."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg
import orjson
import pytest

from deploy.supervisor.machine.packages import require
from deploy.supervisor.trouble import Trouble
from services.gateway.turns.stored.claims import LEASE_S
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.turns.processes.pair import Pair, first_words, open_pair, parts_of, text_of
from tests.processes import running
from tests.waiting import until

pytestmark = pytest.mark.fault

AHEAD_S = 3600
LEASE = "SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM gateway.turns WHERE session_id = $1"
LONG_S = 3 * AHEAD_S  # for which a token is valid, so that it is at both


@pytest.fixture(scope="module")
def fake_time(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead; what it measures with is not."""

    def library() -> Path | None:
        return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

    try:
        log = tmp_path_factory.mktemp("apt") / "log"
        require("libfaketime", ("libfaketime",), lambda: library() is not None, log=log)
    except Trouble as trouble:
        pytest.skip(str(trouble))
    return {"LD_PRELOAD": str(library()), "FAKETIME": f"+{AHEAD_S}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
async def pair(settings: Settings, tmp_path: Path, fake_time: dict[str, str]) -> AsyncIterator[Pair]:
    async with (
        running(settings, tmp_path, "logger"),
        open_pair(settings, tmp_path, environment_there=fake_time) as pair,
    ):
        pair.token_lasts_s = LONG_S
        yield pair


def hour_of(response: aiohttp.ClientResponse) -> int:
    """Return the hour by the clock of the gateway that answered, which made the turn's id (UUIDv7)."""
    return round(((UUID(response.headers["X-Turn-Id"]).int >> 80) / 1000 - time.time()) / AHEAD_S)


async def test_a_conversation_at_gateways_whose_clocks_are_an_hour_apart_keeps_its_order(pair: Pair) -> None:
    session, texts = f"s{new_id().hex}", []
    for number in range(6):
        texts.append(f"[echo {number}]")
        gateway = (pair.here, pair.there)[number % 2]
        async with pair.chat(gateway, session, texts[-1], stream=False) as response:
            assert response.status == 200, await response.text()
            assert hour_of(response) == number % 2
    for gateway in (pair.here, pair.there):
        async with pair.chat(gateway, session, "[recall]", stream=False) as response:
            texts.append("[recall]")
            assert orjson.loads((await response.json())["message"]["content"]) == texts

    async def all_stored() -> bool:
        return all(message["stored"] for message in await pair.messages(pair.here, session))

    await until(all_stored, "all of it to be stored")
    for gateway in (pair.here, pair.there):
        shown = await pair.messages(gateway, session)
        assert [message["content"] for message in shown if message["role"] == "user"] == texts
        assert [message["created_at"] for message in shown] == sorted(message["created_at"] for message in shown)


async def test_a_lease_is_no_longer_and_no_shorter_for_a_clock_that_is_an_hour_ahead(
    pair: Pair, owner: asyncpg.Connection
) -> None:
    """Whoever looks at another's turn neither takes it for abandoned, nor waits an hour until it is."""
    for runs, looks in ((pair.here, pair.there), (pair.there, pair.here)):
        session = f"s{new_id().hex}"
        async with pair.chat(runs, session, "[chunks 1000] [slow 30]") as response:
            _, begun = await first_words(response)
            async with pair.chat(looks, session, "[echo next]", on_busy="reject") as refused:
                assert refused.status == 409
            following = await pair.following(looks, session)
            lease_s = await owner.fetchval(LEASE, session)
            assert 0 < lease_s <= LEASE_S
            assert (await pair.stop(looks, session))[0] == 200
            _, seen = await following
            rest = [part async for part in parts_of(response)]
        assert seen[-1][1]["type"] == "abort"
        assert text_of(seen) == begun + text_of(rest)


async def test_one_key_at_gateways_whose_clocks_are_an_hour_apart_is_one_turn(pair: Pair) -> None:
    session, turns, before = f"s{new_id().hex}", set(), await pair.asked()
    for gateway in (pair.there, pair.here, pair.there):
        async with pair.chat(gateway, session, "", message={"id": "m1", "content": "[echo once]"}) as response:
            turns.add(response.headers["X-Turn-Id"])
            assert text_of([part async for part in parts_of(response)]) == "once"
    assert len(turns) == 1
    assert await pair.asked() == before + 1
