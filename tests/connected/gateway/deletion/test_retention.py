"""Sessions that are older than they are to be kept, on a real PostgreSQL with the gateway's own roles."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from services.gateway.deletion.retention import AT_ONCE, ProposalStore
from services.gateway.deletion.retention import OldSessions as Old
from services.gateway.deletion.retiring import MOST_UNSETTLED, SessionRetiring, session_retiring
from services.gateway.deletion.store import Deletion, DeletionStore
from services.gateway.deletion.sweeps import SweepStore
from services.gateway.turns.stored.claims import Lost
from services.gateway.turns.stored.store import TurnStore
from shared.database import open_pool
from shared.ids import new_id
from shared.jobs.retention import LOOK_S
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.pure.gateway.samples import claim
from tests.waiting import until

DAYS = 30
OLD, YOUNG = 31, 29


class _Told:
    """Keeps what was deleted."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    async def follow(self, deletions: list[Deletion]) -> None:
        self.sessions += [deletion.session_id for deletion in deletions]


class Site:
    """A gateway's job and its database."""

    def __init__(self, owner: asyncpg.Connection, old: Old, proposals: ProposalStore) -> None:
        self.owner, self.old, self.proposals = owner, old, proposals
        self.told, self.all_is_heard = _Told(), True

    def job(self, days: int | None = DAYS) -> SessionRetiring:
        async def heard() -> bool:
            return self.all_is_heard

        return SessionRetiring(self.old, self.proposals, self.told, days=days, all_is_heard=heard)  # type: ignore[arg-type]

    async def session(self, name: str, age: float = OLD, **columns: Any) -> None:
        at = await self.owner.fetchval("SELECT now() - $1 * interval '1 day'", float(age))
        values = {
            "user_id": "ann", "session_id": name, **dict.fromkeys(("last_activity_at", "created_at", "updated_at"), at),
            **columns,
        }  # fmt: skip
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.owner.execute(
            f"INSERT INTO chat.sessions ({', '.join(values)}) VALUES ({places})",  # noqa: S608
            *values.values(),
        )

    async def deletions(self) -> list[tuple[str, bool]]:
        rows = await self.owner.fetch("SELECT session_id, is_proposed FROM gateway.deletions ORDER BY session_id")
        return [(row["session_id"], row["is_proposed"]) for row in rows]


@pytest.fixture
async def site(settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Site]:
    async with (
        open_pool(settings.gateway_database_url, "test", size=4) as own,
        open_pool(settings.admin_database_url, "test", size=2) as admin,
    ):
        yield Site(owner, Old(admin), ProposalStore(own))


async def test_a_session_goes_when_whatever_was_said_or_set_in_it_is_old(site: Site) -> None:
    await site.session("old")
    await site.session("young", YOUNG)
    await site.session("set", updated_at=await site.owner.fetchval("SELECT now()"))
    await site.session("gone", deleted_at=await site.owner.fetchval("SELECT now()"))
    await site.job().work()
    assert await site.deletions() == [("old", False)]
    assert site.told.sessions == ["old"]


@pytest.mark.parametrize(
    ("trip", "goes"),
    [
        ("open = true, activity = 31, flight = -1", False),
        ("open = true, activity = 29, flight = 400", False),
        ("open = true, activity = 31, flight = 29", False),
        ("open = true, activity = 31, flight = 32", True),
        ("open = false, activity = 31, flight = -1", False),
        ("open = false, activity = 31, flight = 32", True),
        ("cancelled = true, activity = 31, flight = -1", True),
        ("cancelled = true, activity = 29, flight = 400", False),
    ],
)
async def test_a_trip_is_as_young_as_its_last_flight_and_what_happens_at_avinode(
    site: Site, trip: str, goes: bool
) -> None:
    said = dict(each.split(" = ") for each in trip.split(", "))
    await site.session("s")
    trip_id, is_open = new_id(), said.get("open") == "true"
    await site.owner.execute(
        """
        INSERT INTO workflow.trips (trip_id, route, last_activity_at, created_at, outcome, closed_at)
        VALUES ($1, jsonb_build_array(jsonb_build_object('date', '2020-01-01'),
                jsonb_build_object('date', (now() - $2 * interval '1 day')::date)),
            now() - $3 * interval '1 day', now() - interval '500 days', $4::text,
            CASE WHEN $4::text IS NOT NULL THEN now() END)
        """,
        trip_id,
        float(said["flight"]),
        float(said["activity"]),
        None if is_open else "cancelled" if "cancelled" in said else "completed",
    )
    await site.owner.execute(
        "INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, open, ended_at)"
        " VALUES ('ann', 's', $1, $2, CASE WHEN NOT $2 THEN now() END)",
        trip_id,
        is_open,
    )
    await site.job().work()
    assert await site.deletions() == ([("s", False)] if goes else [])


async def test_a_session_in_which_a_turn_is_being_claimed_stays(
    site: Site, settings: Settings, owner: asyncpg.Connection
) -> None:
    await site.session("used")
    await site.session("old")
    claimant = await asyncpg.connect(settings.gateway_database_url)
    async with claimant.transaction():
        await claimant.execute(
            """
            INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until,
                correlation_id, model, provider, question, asked_at)
            VALUES ($1, 'ann', 'used', 'x', 'o', 'running', now() + interval '1 minute', $1, 'm', 'openai', '{}', now())
            """,
            new_id(),
        )
        job = site.job()
        await job.work()
        # Nobody knows yet what that transaction has written, and nobody else may begin.
        assert await site.deletions() == [("old", True), ("used", True)]
        async with open_pool(settings.gateway_database_url, "test", 1) as pool:
            assert await TurnStore(pool).claim(claim("Hello", user_id="ann", session_id="old")) is Lost.TAKEN
    await claimant.close()

    async def is_decided() -> bool:
        await job.work()
        return bool(site.told.sessions)

    await until(is_decided, "what was proposed, long before the next look", LOOK_S / 2)
    assert await site.deletions() == [("old", False)]
    assert site.told.sessions == ["old"]
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 1


async def test_what_is_proposed_is_looked_at_again_by_whoever_comes_next(site: Site, owner: asyncpg.Connection) -> None:
    for name in ("old", "renamed"):
        await site.session(name)
    await site.proposals.propose([("ann", "old"), ("ann", "renamed")], DAYS)  # and is killed
    await owner.execute("UPDATE chat.sessions SET updated_at = now() WHERE session_id = 'renamed'")
    await site.job().work()
    assert await site.deletions() == [("old", False)]
    assert site.told.sessions == ["old"]


@pytest.mark.parametrize("why", ["the setting was taken back", "the broker is away"])
async def test_without_a_broker_or_a_setting_nothing_is_proposed_and_what_was_is_left_alone(
    site: Site, why: str
) -> None:
    await site.session("old")
    await site.session("other")
    await site.proposals.propose([("ann", "old")], DAYS)
    site.all_is_heard = why != "the broker is away"
    await site.job(DAYS if why == "the broker is away" else None).work()
    assert await site.deletions() == []
    assert site.told.sessions == []


async def test_what_is_set_in_the_moment_before_a_session_is_proposed_keeps_it(site: Site) -> None:
    """It was accepted and is on its way when the row is there, which is too late to refuse it."""
    await site.session("old")

    async def is_heard() -> bool:
        return not await site.deletions()

    job = SessionRetiring(site.old, site.proposals, site.told, days=DAYS, all_is_heard=is_heard)  # type: ignore[arg-type]
    await job.work()
    assert await site.deletions() == []
    assert site.told.sessions == []


@pytest.mark.parametrize("broker", ["away", "read by nobody"])
async def test_what_is_on_its_way_may_be_of_an_old_session(site: Site, settings: Settings, broker: str) -> None:
    await site.session("old")
    nowhere = {"amqp_url": "amqp://x:x@127.0.0.1:9/", "gateway_amqp_url": "", "publish_deadline_s": 0.1}
    publisher = Publisher(settings if broker != "away" else settings.model_copy(update=nowhere), "gateway")
    job = session_retiring(site.old, site.proposals, site.told, publisher, DAYS)  # type: ignore[arg-type]
    async with publisher:
        await job.work()
    assert await site.deletions() == []


async def test_who_deletes_a_session_that_is_proposed_has_deleted_it(site: Site, settings: Settings) -> None:
    await site.session("s", YOUNG)
    await site.proposals.propose([("ann", "s")], DAYS)
    async with open_pool(settings.gateway_database_url, "test", 1) as pool:
        store, aged = DeletionStore(pool), "UPDATE gateway.deletions SET deleted_at = deleted_at - interval '1 minute'"
        await site.owner.execute(aged)
        assert await store.untold_deletions() == []
        assert await SweepStore(pool).unswept() == {}
        (deletion,) = await store.delete([("ann", "s")], new_id())
        await site.job().work()
        await site.proposals.withdraw([("ann", "s")])  # as a job that has just seen it proposed
        assert await site.deletions() == [("s", False)]
        assert [each.event_id for each in await store.untold_deletions()] == [deletion.event_id]
        assert list(await SweepStore(pool).unswept()) == [("ann", "s")]


async def test_a_gateway_of_before_that_deletes_what_is_proposed_has_deleted_it(site: Site) -> None:
    await site.session("s", YOUNG)
    await site.proposals.propose([("ann", "s")], DAYS)
    await site.owner.execute("UPDATE gateway.deletions SET told_at = now()")
    await site.job().work()
    assert await site.deletions() == [("s", False)]


async def test_more_go_only_when_the_services_have_swept_what_went(site: Site) -> None:
    for number in range(AT_ONCE + 1):
        await site.session(f"s{number}")
    await site.owner.execute(
        """
        INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id)
        SELECT 'bob', 'b' || number, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1) AS number
        """,
        MOST_UNSETTLED,
    )
    await site.job().work()
    assert site.told.sessions == []
    await site.owner.execute("UPDATE gateway.deletions SET settled_at = now()")
    job = site.job()
    await job.work()
    assert len(site.told.sessions) == AT_ONCE
