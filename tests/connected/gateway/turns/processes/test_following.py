"""A turn that runs at one of two gateways is followed and stopped at either, and ends though its owner is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.supervisor.machine.ports import free_port
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.connected.gateway.turns.processes.pair import Pair, Parts, first_words, open_pair, parts_of, text_of
from tests.processes import Process
from tests.servers import Servers
from tests.waiting import until

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
async def pair_settings(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings:
        yield settings


@pytest.fixture(scope="module")
async def pair(pair_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with open_pair(pair_settings, tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
async def owner(pair_settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(pair_settings.database_url)
    yield connection
    await connection.close()


@pytest.fixture
def session() -> str:
    return f"s{new_id().hex}"


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_second_tab_sees_the_same_at_every_gateway(pair: Pair, session: str, where: str) -> None:
    gateway = getattr(pair, where)
    async with pair.chat(pair.here, session, "[chunks 40] [slow 50]") as response:
        parts: Parts = []
        following: asyncio.Task[tuple[int, Parts]] | None = None
        async for name, part in parts_of(response):
            parts.append((name, part))
            if part["type"] == "text-delta" and following is None:
                following = asyncio.create_task(pair.stream(gateway, session))
        assert following is not None
        status, seen = await following
    assert status == 200
    assert text_of(seen) == text_of(parts)
    assert {part["type"] for _, part in seen} == {part["type"] for _, part in parts}
    assert seen[-1] == parts[-1], "its last part, and that part's id"
    assert dict(parts).keys() >= {name for name, part in seen if not part["type"].endswith("-delta")}


@pytest.mark.parametrize("where", ["here", "there"])
async def test_who_left_off_reads_on_from_there(pair: Pair, session: str, where: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 20] [slow 50]") as response:
        name, begun = await first_words(response)
    status, rest = await pair.stream(getattr(pair, where), session, after=name)
    assert status == 200
    assert "start" not in [part["type"] for _, part in rest]
    (answer,) = [message for message in await pair.messages(pair.here, session) if message["role"] == "assistant"]
    assert begun + text_of(rest) == answer["content"]
    status, again = await pair.stream(pair.there, session, after=name)
    assert (status, text_of(again)) == (200, text_of(rest)), "after its end, from the row"
    assert await pair.stream(pair.there, session, after=rest[-1][0]) == (204, []), "nothing is left to read"
    assert await pair.stream(pair.there, session) == (204, []), "nothing runs"
    assert (await pair.stream(pair.there, session, after=name, user="eve"))[0] == 404


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_stop_keeps_the_text_and_ends_the_call_of_the_model(pair: Pair, session: str, where: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        _, begun = await first_words(response)
        assert (await pair.stop(getattr(pair, where), session, user="eve"))[0] == 404
        status, body = await pair.stop(getattr(pair, where), session)
        assert status == 200
        assert body == {"turn_id": response.headers["X-Turn-Id"], "status": "stopped"}
        rest = [part async for part in parts_of(response)]
    assert rest[-1][1]["type"] == "abort"
    shown = (await pair.messages(pair.there, session))[-1]
    assert shown["status"] == "stopped"
    assert shown["content"] == begun + text_of(rest)
    assert await pair.stop(pair.there, session) == (204, None)
    async with pair.chat(pair.there, session, "[echo next]", stream=False) as response:
        assert (await response.json())["message"]["content"] == "next", "to stop and then to send works at once"


async def test_a_reader_who_leaves_ends_nothing_but_makes_way(pair: Pair, session: str) -> None:
    """As `useChat` does: its `stop()` closes the connection, and then the next message comes."""
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        await first_words(response)
    for gateway in (pair.there, pair.here):
        async with pair.chat(gateway, session, "[chunks 1000] [slow 30]") as response:
            assert response.status == 200
            await first_words(response)
    await pair.stop(pair.here, session)
    statuses = [m["status"] for m in await pair.messages(pair.here, session) if m["role"] == "assistant"]
    assert statuses == ["stopped"] * 3


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_turn_that_somebody_reads_is_not_stopped_by_another_tab(pair: Pair, session: str, where: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 60] [slow 50]") as response:
        await first_words(response)
        async with pair.chat(getattr(pair, where), session, "another") as refused:
            assert refused.status == 409
            assert (await refused.json())["turn_id"] == response.headers["X-Turn-Id"]
        rest = [part async for part in parts_of(response)]
    assert rest[-1][1]["type"] == "finish"


async def test_a_reader_at_another_gateway_counts(pair: Pair, session: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 80] [slow 50]") as response:
        await first_words(response)
        following = await pair.following(pair.there, session)
    async with pair.chat(pair.here, session, "another") as refused:
        assert refused.status == 409
    _, seen = await following
    assert seen[-1][1]["type"] == "finish"


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_caller_says_what_becomes_of_a_busy_session(pair: Pair, session: str, where: str) -> None:
    gateway = getattr(pair, where)
    async with pair.chat(pair.here, session, "[chunks 40] [slow 50]") as response:
        await first_words(response)
        async with pair.chat(gateway, session, "now", on_busy="reject") as refused:
            assert refused.status == 409
        async with pair.chat(gateway, session, "[echo waited]", on_busy="wait", stream=False) as waited:
            assert (await waited.json())["message"]["content"] == "waited"
        assert [part async for part in parts_of(response)][-1][1]["type"] == "finish"
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        await first_words(response)
        async with pair.chat(gateway, session, "[echo mine]", on_busy="interrupt", stream=False) as instead:
            assert (await instead.json())["message"]["content"] == "mine"
        assert [part async for part in parts_of(response)][-1][1]["type"] == "abort"
    async with pair.chat(gateway, session, "hello", on_busy="perhaps") as refused:
        assert refused.status == 422


@pytest.mark.parametrize("named_by", ["key", "message"])
async def test_one_key_at_two_gateways_asks_the_model_once(pair: Pair, session: str, named_by: str) -> None:
    """A message's id with its text is a key, too, as of `useChat`."""
    before = await pair.asked()
    headers = pair.headers(**({"Idempotency-Key": session} if named_by == "key" else {}))
    message = {"id": session, "content": "[chunks 20] [slow 50]"}
    asked = {"session_id": session, "message": message["content"] if named_by == "key" else message}

    async def ask(gateway: Process) -> Parts:
        async with pair.http.post(pair.url(gateway, "/api/chat"), json=asked, headers=headers) as response:
            assert response.status == 200, await response.text()
            return [part async for part in parts_of(response)]

    here, there = await asyncio.gather(ask(pair.here), ask(pair.there))
    assert text_of(here) == text_of(there) != ""
    assert here[-1] == there[-1]
    again = await ask(pair.there)
    assert (text_of(again), again[-1]) == (text_of(here), here[-1]), "when it has ended, it is replayed"
    assert await pair.asked() == before + 1
    assert [message["role"] for message in await pair.messages(pair.here, session)] == ["user", "assistant"]


async def test_what_failed_at_one_gateway_runs_again_at_the_other(pair: Pair, session: str) -> None:
    asked = {"session_id": session, "message": {"id": session, "content": "[chunks 9] [cut 3]"}}
    answers = []
    for gateway in (pair.here, pair.there):
        async with pair.http.post(pair.url(gateway, "/api/chat"), json=asked, headers=pair.headers()) as response:
            parts = [part async for _, part in parts_of(response)]
        assert parts[-1]["type"] == "error"
        answers.append(parts[0]["messageId"])
    assert len(set(answers)) == 2
    shown = [(message["role"], message["status"]) for message in await pair.messages(pair.here, session)]
    assert shown == [("user", "complete"), ("assistant", "interrupted")]


async def test_followers_of_a_killed_owner_see_the_turn_to_its_end(
    pair: Pair, session: str, owner: asyncpg.Connection
) -> None:
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        await first_words(response)
        following = await pair.following(pair.there, session)

        async def kept() -> bool:
            query = "SELECT partial_parts IS NOT NULL FROM gateway.turns WHERE session_id = $1"
            return bool(await owner.fetchval(query, session))

        await until(kept, "a checkpoint")
        pair.here.kill()
    try:
        await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() WHERE session_id = $1", session)
        status, seen = await following
        assert status == 200
        assert seen[-1][1]["type"] == "error"
        answer = (await pair.messages(pair.there, session))[-1]
        assert answer["status"] == "interrupted"
        assert answer["content"] != ""
        assert text_of(seen).startswith(answer["content"]), "what is kept is what was seen, up to the last checkpoint"
    finally:
        await pair.here.start()


async def test_followers_at_two_gateways_of_a_killed_owner_see_the_same(
    pair: Pair, session: str, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    elsewhere = Process(
        "gateway", pair.here.settings.model_copy(update={"http_port": free_port()}), tmp_path / "elsewhere.log"
    )
    await elsewhere.start()
    try:
        async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
            await first_words(response)
            following = [await pair.following(gateway, session) for gateway in (pair.there, elsewhere)]

            async def kept() -> bool:
                query = "SELECT partial_parts IS NOT NULL FROM gateway.turns WHERE session_id = $1"
                return bool(await owner.fetchval(query, session))

            await until(kept, "a checkpoint")
            pair.here.kill()
        await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() WHERE session_id = $1", session)
        seen = [parts for status, parts in await asyncio.gather(*following) if status == 200]
        answer = (await pair.messages(pair.there, session))[-1]
        assert answer["status"] == "interrupted"
        assert [parts[-1][1]["type"] for parts in seen] == ["error", "error"]
        assert [parts[0][1]["messageId"] for parts in seen] == [answer["id"]] * 2
        assert answer["content"] != ""
        assert all(text_of(parts).startswith(answer["content"]) for parts in seen)
    finally:
        await elsewhere.stop()
        await pair.here.start()


async def test_a_killed_owner_s_turn_ends_though_nobody_asks(
    pair: Pair, session: str, owner: asyncpg.Connection
) -> None:
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        await first_words(response)
        pair.here.kill()
    try:
        await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() WHERE session_id = $1", session)

        async def ended() -> bool:
            query = "SELECT state = 'interrupted' AND answer_published FROM gateway.turns WHERE session_id = $1"
            return bool(await owner.fetchval(query, session))

        await until(ended, "the other gateway to have ended it, and told of it")
    finally:
        await pair.here.start()


async def test_a_turn_of_an_owner_that_hangs_is_stopped_by_its_row(pair: Pair, session: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        _, begun = await first_words(response)
        pair.here.signal(signal.SIGSTOP)
        try:
            assert (await pair.stop(pair.there, session))[0] == 200
            async with pair.chat(pair.there, session, "[echo next]", stream=False) as after:
                assert (await after.json())["message"]["content"] == "next"
        finally:
            pair.here.signal(signal.SIGCONT)
        rest = [part async for part in parts_of(response)]
    assert rest[-1][1]["type"] == "abort", "its owner learns of it when it renews the lease"
    answers = [m for m in await pair.messages(pair.here, session) if m["role"] == "assistant"]
    assert [answer["status"] for answer in answers] == ["stopped", "complete"]
    assert answers[0]["content"] == begun + text_of(rest), "and then keeps all that its reader has"


async def test_a_turn_of_an_owner_that_began_anew_is_stopped(pair: Pair, session: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 1000] [slow 30]") as response:
        await first_words(response)
        pair.here.kill()
    await pair.here.start()
    assert (await pair.stop(pair.there, session))[0] == 200
    async with pair.chat(pair.there, session, "[echo next]", stream=False) as after:
        assert (await after.json())["message"]["content"] == "next"


async def test_a_reader_who_leaves_a_silent_turn_elsewhere_makes_way(pair: Pair, session: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 3] [stall 1]") as response:
        await first_words(response)
        following = await pair.following(pair.there, session)  # which hears nothing more
    following.cancel()
    async with pair.chat(pair.there, session, "[echo next]", stream=False) as after:
        assert after.status == 200, await after.text()
        assert (await after.json())["message"]["content"] == "next"


async def test_the_internal_routes_are_for_gateways_alone(pair: Pair, session: str) -> None:
    async with pair.chat(pair.here, session, "[chunks 20] [slow 50]") as response:
        turn = f"http://127.0.0.1:{pair.here.settings.internal_port}/turns/{response.headers['X-Turn-Id']}/1"
        for headers in ({}, {"Authorization": "Bearer x"}, pair.headers()):
            async with pair.http.get(f"{turn}/pieces", headers=headers) as refused:
                assert refused.status == 401
            async with pair.http.post(f"{turn}/stop", headers=headers) as refused:
                assert refused.status == 401
