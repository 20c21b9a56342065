"""What changes at one gateway is heard at another, by whose it is and by nobody else."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.supervisor.private.servers import RabbitMQ
from services.gateway.writes.announcing import Announcing
from shared.broker.declaring import Declaring
from shared.events import SessionChanged
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.gateway.live.listening import Stream, listening, say
from tests.connected.gateway.stage import own_database
from tests.connected.gateway.turns.processes.pair import Pair, open_pair
from tests.processes import running
from tests.servers import Servers, empty_broker, looking
from tests.settings import settings_for
from tests.tokens import token_for
from tests.waiting import PATIENCE_S, until

AT_ONCE_S = 5.0  # from the change to the event, half of what is between two looks
MADE_GOOD_S = 15.0  # from the change to the event, where its hint was lost
LOOKS_S = 1.0  # of one of the two gateways: what is heard at the other is no look's doing


@dataclass
class Site:
    settings: Settings
    pair: Pair
    owner: asyncpg.Connection


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Two gateways and what stores their chats, once for all of these tests."""
    await empty_broker(servers.amqp_url)
    logs = tmp_path_factory.mktemp("site")
    async with (
        own_database(servers, template) as settings,
        open_pair(settings, logs, told_here={"event_looks_s": LOOKS_S}) as pair,
        running(settings, logs, "logger", "tagger"),
        looking(settings.database_url) as owner,
    ):
        yield Site(settings, pair, owner)


async def test_a_chat_at_one_gateway_is_heard_at_the_other_at_once(site: Site) -> None:
    async with listening(site.pair.there) as stream:
        await say(site.pair.here, "heard")
        heard: set[tuple[str, ...]] = set()
        async with asyncio.timeout(AT_ONCE_S):
            while len(heard) < 2:
                event = await stream.next()
                assert event is not None
                assert event.session_id == "heard"
                heard.add((event.name, *event.changed))
        assert heard == {("stored", "messages"), ("tagged", "tag")}


async def test_a_message_that_its_client_stored_is_heard_at_the_other_at_once(site: Site) -> None:
    url = site.pair.url(site.pair.here, "/api/chat/sessions/noted/messages")
    async with listening(site.pair.there) as stream:
        note = {"role": "user", "content": "a note"}
        async with site.pair.http.post(url, json=note, headers=site.pair.headers()) as answer:
            assert answer.status == 201
        assert (await stream.until("stored", "noted", AT_ONCE_S)).changed == ["messages"]


async def test_somebody_else_s_changes_are_never_heard(site: Site) -> None:
    async with listening(site.pair.there, "bob") as bob, listening(site.pair.there, "ann") as ann:
        await say(site.pair.here, "private", "ann")
        await ann.until("stored", "private")
        await say(site.pair.here, "own", "bob")
        event = await bob.next()
        assert event is not None
        assert event.session_id == "own"


async def test_a_token_that_names_projects_hears_of_their_sessions_only(site: Site) -> None:
    async with listening(site.pair.there, "pat", projects=["p1"]) as limited, listening(site.pair.there, "pat") as all_:
        for session, project in {"elsewhere": "p2", "nowhere": None, "here": "p1"}.items():
            await say(site.pair.here, session, "pat", project_id=project)
            await all_.until("stored", session)
        event = await limited.next()
        assert event is not None
        assert event.session_id == "here"


async def test_what_a_user_sets_of_a_session_is_told_by_its_name(site: Site) -> None:
    edit = {"user_id": "ann", "session_id": "set", "accepted_at": datetime.now(UTC), "began_at": datetime.now(UTC)}
    as_gateway = site.settings.as_service("gateway")
    async with listening(site.pair.there) as stream, Publisher(as_gateway, "gateway", Declaring()) as publisher:
        await publisher.publish(SessionChanged(**edit, changed=("title", "pinned"), title="Aspen", pinned=True))
        assert (await stream.until("renamed", "set", AT_ONCE_S)).changed == ["title"]
        assert (await stream.until("changed", "set", AT_ONCE_S)).changed == ["pinned"]


async def test_what_a_gateway_changes_itself_is_heard_at_every_gateway(site: Site) -> None:
    as_gateway = site.settings.as_service("gateway")
    async with (
        listening(site.pair.here) as here,
        listening(site.pair.there) as there,
        Publisher(as_gateway, "gateway", Declaring()) as publisher,
    ):
        announcing = Announcing(publisher)
        await announcing.touched("ann", ["gone"], "deleted", "shares")
        for stream in (here, there):
            await stream.until("deleted", "gone", within_s=AT_ONCE_S)
            assert (await stream.until("changed", "gone", within_s=AT_ONCE_S)).changed == ["shares"]
        await announcing.erased("ann")
        for stream in (here, there):
            await stream.until("resync", None, within_s=AT_ONCE_S)


async def test_who_comes_back_is_told_to_fetch_everything_first(site: Site) -> None:
    async with listening(site.pair.here) as first:
        left_off = first.last_id
    async with listening(site.pair.there, after=left_off) as again:
        event = await again.next(AT_ONCE_S)
        assert event is not None
        assert (event.name, event.session_id, event.changed) == ("resync", None, [])


async def test_a_hint_that_was_lost_is_made_good_by_a_look_and_nothing_is_told_twice(site: Site) -> None:
    """A row changes, and nobody says so."""
    async with listening(site.pair.here, "eve") as stream:
        await say(site.pair.there, "quiet", "eve")
        await until(lambda: kept(site, "quiet"), "all of the chat to be stored")
        await say(site.pair.there, "after", "eve")  # each service tells of it after what it told of the first chat
        assert await chatted(stream, "after") == {"quiet", "after"}
        await until(lambda: kept(site, "after"), "all of that, too, to be stored")
        await stream.all(3 * LOOKS_S)  # which find nothing that was not told
        await site.owner.execute(
            "UPDATE chat.sessions SET pinned = true, updated_at = clock_timestamp() WHERE session_id = 'quiet'"
        )
        events = [await stream.next(MADE_GOOD_S), await stream.next(), await stream.next()]
        assert {event and (event.name, event.session_id) for event in events} == {
            ("stored", "quiet"),
            ("renamed", "quiet"),
            ("changed", "quiet"),
        }
        await say(site.pair.there, "next", "eve")
        assert await chatted(stream, "next") == {"next"}
        later = await stream.all(3 * LOOKS_S)  # looks later, too, there is nothing but what hints told
        assert {(event.session_id, event.name) for event in later} <= {("next", "stored")}


async def kept(site: Site, session: str) -> bool:
    """Tell whether question and answer are stored, and the tag is."""
    return bool(
        await site.owner.fetchval(
            """
            SELECT (SELECT count(*) = 2 FROM chat.messages WHERE session_id = $1)
                AND EXISTS (SELECT FROM tagging.session_tags WHERE session_id = $1)
            """,
            session,
        )
    )


async def chatted(stream: Stream, session: str) -> set[str | None]:
    """Read on until this session's chat was told of by whoever stores it; return of which sessions that was."""
    heard: set[tuple[str, str | None]] = set()
    while not heard >= {("stored", session), ("tagged", session)}:
        event = await stream.next()
        assert event is not None
        heard.add((event.name, event.session_id))
    assert {name for name, _ in heard} == {"stored", "tagged"}
    return {session_id for _, session_id in heard}


async def test_a_token_that_expires_ends_its_stream(site: Site) -> None:
    began = time.time()
    async with listening(site.pair.here, expires_in_s=3) as stream:
        assert await stream.next() is None
        assert time.time() - began > 1.9


async def test_a_user_may_have_so_many_streams_and_no_more(site: Site) -> None:
    headers = {"Authorization": f"Bearer {token_for(site.settings, 'many')}"}
    url = site.pair.url(site.pair.here, "/api/events")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(url, headers=headers) for _ in range(site.settings.event_streams_at_once + 1)]
        assert [stream.status for stream in streams] == [200] * site.settings.event_streams_at_once + [429]
        streams[0].close()
        async with asyncio.timeout(PATIENCE_S):
            while (await http.get(url, headers=headers)).status == 429:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
async def test_it_is_only_read(site: Site, method: str) -> None:
    url = site.pair.url(site.pair.here, "/api/events")
    async with site.pair.http.request(method, url, headers=site.pair.headers()) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_a_stranger_hears_nothing(site: Site) -> None:
    async with site.pair.http.get(site.pair.url(site.pair.here, "/api/events")) as answer:
        assert answer.status == 401


async def test_a_gateway_that_is_told_to_stop_ends_its_streams_at_once(settings: Settings, tmp_path: Path) -> None:
    async with (
        open_pair(settings, tmp_path) as pair,
        listening(pair.there, "nobody") as stream,
        pair.chat(pair.there, "s1", "[chunks 100] [slow 50]") as answer,
    ):
        await answer.content.readany()  # it goes on answering for a while
        began = time.monotonic()
        pair.there.signal(signal.SIGTERM)
        assert await stream.next() is None
        assert time.monotonic() - began < 10
        assert pair.there.lives


@pytest.mark.fault
async def test_a_broker_that_dies_and_comes_back_is_a_gap_and_then_events_come_again(
    settings: Settings, breakable: RabbitMQ, tmp_path: Path
) -> None:
    told = settings_for(settings.database_url, breakable.url)
    async with (
        open_pair(told, tmp_path) as pair,
        running(told, tmp_path, "logger") as processes,
        listening(pair.there) as stream,
    ):
        await say(pair.here, "before")
        await stream.until("stored", "before")
        await asyncio.to_thread(breakable.kill)
        await asyncio.to_thread(breakable.start)
        await stream.until("resync", None)
        await asyncio.gather(*(process.ready() for process in (pair.here, pair.there, *processes.values())))
        await say(pair.here, "after")
        await stream.until("stored", "after")
