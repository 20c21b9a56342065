"""Three taggers as processes: one is killed, stopped or without its database, and no number is lost or given twice."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres
from services.tagger.counter import SessionKey
from shared import topology
from shared.ids import model_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import waiting
from tests.connected.locks import until_blocked
from tests.processes import Process, running
from tests.servers import Servers, empty_broker, looking
from tests.settings import settings_for
from tests.tagging import (
    BEGAN,
    MODEL,
    assert_gapless,
    deleted,
    erased,
    holding_counters,
    holding_session,
    read_counters,
    read_tags,
    registered,
    spoke,
)
from tests.waiting import PATIENCE_S, until, until_true

NAMES = ("tagger_1", "tagger_2", "tagger_3")
USERS = ("ada", "bob", "cleo")
PACE_S = 0.02  # between ten messages and the next ten
TAKEOVER_S = 60.0  # the broker gives up a silent consumer after two to three heartbeats of 10 s


class Flow:
    """Users who begin one session after the other, while a test does something to the taggers."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.sessions: list[SessionKey] = []  # whose message the broker has

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ended = asyncio.Event()
        task = asyncio.create_task(self._speak_until(ended))
        try:
            yield
        finally:
            ended.set()
            await task

    async def _speak_until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self.speak(10)
            await asyncio.sleep(PACE_S)

    async def speak(self, count: int) -> None:
        """Let so many users begin a session; every fifth message is sent twice."""
        places = range(len(self.sessions), len(self.sessions) + count)
        messages = [spoke(f"s{place}", user=USERS[place % len(USERS)], at=place) for place in places]
        await asyncio.gather(*(self._publisher.publish(message) for message in [*messages, *messages[::5]]))
        self.sessions += [(message.user_id, message.session_id) for message in messages]

    async def goes_on(self, count: int = 100) -> None:
        """Wait until so many more sessions have begun."""
        enough = len(self.sessions) + count
        await until_true(lambda: len(self.sessions) >= enough, within_s=PATIENCE_S)


@pytest.fixture
async def taggers(settings: Settings, tmp_path: Path) -> AsyncIterator[dict[str, Process]]:
    """Three taggers on one queue, of which the broker lets one work; small groups make many transactions."""
    async with running(settings.model_copy(update={"group_size": 20}), tmp_path, *NAMES) as taggers:
        yield taggers


@pytest.fixture
async def flow(settings: Settings, owner: asyncpg.Connection, taggers: dict[str, Process]) -> AsyncIterator[Flow]:
    async with Publisher(settings, "test") as publisher:
        yield await begin(publisher, owner)


async def begin(publisher: Publisher, owner: asyncpg.Connection) -> Flow:
    """Register the model that everybody will speak to, and wait until the taggers know it."""
    await publisher.publish(registered())
    await until(lambda: owner.fetchval("SELECT count(*) FROM tagging.models"), "the model")
    return Flow(publisher)


async def test_taggers_that_are_killed_in_the_middle_leave_no_gap(
    settings: Settings, owner: asyncpg.Connection, flow: Flow, taggers: dict[str, Process]
) -> None:
    async with flow.running():
        for _ in range(2):
            async with holding_counters(settings, *USERS):
                [first] = await until_blocked(owner)
                taggers[first].kill()
                # The next one gets the same messages, and waits for what the dead one had begun.
                [second] = set(await until_blocked(owner, count=2)) - {first}
                taggers[second].kill()
            await flow.goes_on()
            await asyncio.gather(taggers[first].start(), taggers[second].start())

    await all_tagged_without_a_gap(settings, owner, flow.sessions)


async def test_taggers_that_are_killed_at_any_time_leave_no_gap(
    settings: Settings, owner: asyncpg.Connection, flow: Flow, taggers: dict[str, Process]
) -> None:
    async with flow.running():
        for _ in range(5):
            await flow.goes_on()
            killed = taggers[await working(owner)]
            killed.kill()
            await killed.start()

    await all_tagged_without_a_gap(settings, owner, flow.sessions)


async def test_two_hundred_at_once_have_one_number_each_though_the_tagger_is_killed_halfway(
    settings: Settings, owner: asyncpg.Connection, taggers: dict[str, Process]
) -> None:
    messages = [spoke(f"s{place:03}", at=place) for place in range(200)]
    others = [spoke("of-bob", user="bob"), spoke("of-large", model="large")]
    async with Publisher(settings, "test") as publisher:
        await asyncio.gather(*(publisher.publish(registered(name)) for name in (MODEL, "large")))
        async with holding_session(settings, "ada", "s100"):
            await asyncio.gather(*(publisher.publish(each) for each in [*messages, *others, *messages[::7]]))
            [active] = await until_blocked(owner)
            assert 0 < len(await read_tags(owner)) < 200, "it is halfway"
            taggers[active].kill()
            await until_blocked(owner, count=2)  # the next one, and what the dead one had begun
        sessions = [(each.user_id, each.session_id) for each in [*messages, *others]]
        await all_tagged_without_a_gap(settings, owner, sessions)
        tags, (small, large) = await read_tags(owner), (model_id("acme", name) for name in (MODEL, "large"))
        assert await read_counters(owner) == {("ada", small): 200, ("bob", small): 1, ("ada", large): 1}
        assert tags["bob", "of-bob"].endswith("_001")

        await asyncio.gather(*(publisher.publish(each) for each in messages))
        [last] = [session for session, tag in tags.items() if tag.endswith("_200")]
        await publisher.publish(deleted(last[1], at=900))
        await publisher.publish(spoke("next", at=901))
        await until(lambda: tag_of(owner, "next"), "the next one's tag")
        assert await tag_of(owner, "next") == f"chat_model_{small.hex[:6]}_201"

        await publisher.publish(erased(at=902))
        await publisher.publish(spoke("anew", at=903))
        await until(lambda: tag_of(owner, "anew"), "the tag of who begins anew")
        assert await tag_of(owner, "anew") == f"chat_model_{small.hex[:6]}_001"


async def tag_of(owner: asyncpg.Connection, session: str) -> str | None:
    tag: str | None = await owner.fetchval(
        "SELECT session_tag FROM tagging.session_tags WHERE user_id = 'ada' AND session_id = $1", session
    )
    return tag


async def test_tagger_that_is_stopped_in_the_middle_holds_nobody_up_and_goes_on_later(
    settings: Settings, owner: asyncpg.Connection, flow: Flow, taggers: dict[str, Process]
) -> None:
    async with holding_counters(settings, "ada"):
        await flow.speak(50)
        [stopped] = await until_blocked(owner)
        taggers[stopped].signal(signal.SIGSTOP)
    # From here on it holds every user's counter, in a transaction that it will never end.
    await flow.speak(50)
    await all_tagged(owner, flow.sessions, within_s=TAKEOVER_S)

    for name in taggers.keys() - {stopped}:
        taggers[name].kill()
    taggers[stopped].signal(signal.SIGCONT)
    await flow.speak(50)
    await all_tagged_without_a_gap(settings, owner, flow.sessions)


async def test_tagger_that_is_killed_in_the_middle_of_a_sweep_leaves_the_rest_to_the_next(
    settings: Settings, owner: asyncpg.Connection, flow: Flow, taggers: dict[str, Process]
) -> None:
    await owner.execute(
        """
        INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id, tagged_at)
        SELECT 'dora', 's' || to_char(n, 'FM0000'), model_id, n, 'chat_model_' || n, gen_random_uuid(), $1
        FROM tagging.models, generate_series(1, 2500) AS n
        """,
        BEGAN,
    )
    async with Publisher(settings, "test") as publisher, holding_up_sweeps(settings, "s1500"):
        await publisher.publish(erased("dora", at=1))
        [first] = await until_blocked(owner)
        assert await owner.fetchval("SELECT count(*) FROM tagging.session_tags") == 1500
        taggers[first].kill()
    done = "SELECT done_at IS NOT NULL AND user_id IS NULL FROM tagging.erased_users"
    await until(lambda: owner.fetchval(done), "the sweep", TAKEOVER_S)

    assert await owner.fetchval("SELECT count(*) FROM tagging.session_tags") == 0


@asynccontextmanager
async def holding_up_sweeps(settings: Settings, session_id: str) -> AsyncIterator[None]:
    """Let whoever sweeps this session's row wait; by no transaction, since a sweep waits for those to begin with."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute("SELECT pg_advisory_lock(1)")
        await connection.execute(
            f"""
            CREATE FUNCTION tagging.wait() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN OLD; END $$;
            CREATE TRIGGER wait BEFORE DELETE ON tagging.session_tags
                FOR EACH ROW WHEN (OLD.session_id = '{session_id}') EXECUTE FUNCTION tagging.wait()
            """
        )
        yield
    finally:
        await connection.close()


async def test_database_that_is_killed_loses_no_number(
    servers: Servers, own_database: Postgres, tmp_path: Path
) -> None:
    await empty_broker(servers.amqp_url)
    settings = settings_for(own_database.url, servers.amqp_url, group_size=20)
    migrate(settings)
    async with Publisher(settings, "test") as publisher, running(settings, tmp_path, *NAMES):
        async with looking(settings.database_url) as owner:
            flow = await begin(publisher, owner)
        async with flow.running():
            for _ in range(2):
                await flow.goes_on()
                own_database.kill()
                await flow.goes_on()
                await asyncio.to_thread(own_database.start)
        async with looking(settings.database_url) as owner:
            await all_tagged_without_a_gap(settings, owner, flow.sessions)


async def all_tagged_without_a_gap(
    settings: Settings, owner: asyncpg.Connection, sessions: Sequence[SessionKey]
) -> None:
    await all_tagged(owner, sessions, within_s=PATIENCE_S)
    await assert_gapless(owner)
    assert await waiting(settings, topology.DEAD) == 0


async def all_tagged(owner: asyncpg.Connection, sessions: Sequence[SessionKey], within_s: float) -> None:
    """Wait until each of these sessions has its tag; no other may have one."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while len(await read_tags(owner)) < len(sessions):
                await asyncio.sleep(0.05)
    tags = await read_tags(owner)
    assert tags.keys() == set(sessions)
    assert all(tags.values())


async def working(owner: asyncpg.Connection) -> str:
    """Return the name of the tagger that the broker lets work: the others have no business with the database."""
    name: str = await owner.fetchval(
        """
        SELECT split_part(application_name, ' ', 1) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'tagger%' ORDER BY state_change DESC LIMIT 1
        """
    )
    return name
