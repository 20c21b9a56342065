"""Deleted sessions and erased users: from the note on nothing of theirs is sent, told or in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from services.workflow.avinode.resources import Trip
from services.workflow.handlers import TripHandler
from services.workflow.rereading import Rereading
from services.workflow.store.facts.store import FactStore
from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.intents.requests import RequestStore
from services.workflow.store.status import StatusStore
from services.workflow.store.telling.quotes import QuoteStore
from services.workflow.store.ties.naming import name_trip
from services.workflow.store.ties.ties import advanced
from shared.database import Pool, open_pool, transaction
from shared.events import Event, SessionDeleted, TripAdvanced, TripAttached, TripReleased, TripRequested, UserErased
from shared.ids import new_id, user_hash
from tests.connected.locks import until_blocked
from tests.connected.workflow.stage import REQUEST_STATE, Stage, lose_an_answer, running_workflow

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
ROWS = """
    SELECT (SELECT count(*) FROM workflow.trip_sessions) + (SELECT count(*) FROM workflow.requests)
        + (SELECT count(*) FROM workflow.trips)
"""


def at(seconds: int) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def deleted(session: str = "s1", *, user: str = "ada", seconds: int = 9) -> SessionDeleted:
    return SessionDeleted(user_id=user, session_id=session, accepted_at=at(seconds))


def erased(user: str = "ada", *, seconds: int = 9) -> UserErased:
    return UserErased(user_id=user, erased_at=at(seconds))


def attached(reference: str, session: str = "s1", *, user: str = "ada", seconds: int = 0) -> TripAttached:
    return TripAttached(
        user_id=user, session_id=session, trip_id=new_id(), avinode_trip_id=reference, accepted_at=at(seconds)
    )


@pytest.fixture
async def pool(quiet: Stage) -> AsyncIterator[Pool]:
    async with open_pool(quiet.settings.workflow_database_url, "workflow") as pool:
        yield pool


@pytest.fixture
def trips(pool: Pool) -> TripStore:
    return TripStore(pool, shared=False)


@pytest.fixture
def facts(pool: Pool) -> FactStore:
    return FactStore(pool, shared=False, rereading=Rereading())


@pytest.fixture
def requests(pool: Pool) -> RequestStore:
    return RequestStore(pool, shared=False, rereading=Rereading())


async def commit(trips: TripStore, *events: Event) -> list[TripAdvanced]:
    """Hear one group."""
    return await TripHandler(trips).commit(events)


async def reference_of(stage: Stage, event: TripAttached | TripRequested) -> str | None:
    """Return the id at Avinode of the trip that an order's session has."""
    found: str | None = await stage.owner.fetchval(
        """
        SELECT avinode_trip_id FROM workflow.trips JOIN workflow.trip_sessions USING (trip_id)
        WHERE user_id = $1 AND session_id = $2 AND open
        """,
        event.user_id,
        event.session_id,
    )
    return found


@pytest.mark.parametrize("group", list(permutations(range(3))))
async def test_order_of_a_session_that_is_deleted_in_its_group_comes_to_nothing(
    quiet: Stage, trips: TripStore, group: tuple[int, ...]
) -> None:
    events = [quiet.requested(accepted_at=at(1)), attached("atrip-1", seconds=2), deleted()]

    assert await commit(trips, *(events[place] for place in group)) == []

    assert await quiet.owner.fetchval(ROWS) == 0
    assert await quiet.owner.fetchval("SELECT deleted_at FROM workflow.deleted_sessions") == at(9)


async def test_deletion_of_one_session_touches_no_other(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    orders = [quiet.requested("s1"), quiet.requested("s2"), quiet.requested("s1", "bob")]
    await commit(trips, *orders)

    for _ in range(2):
        await commit(trips, deleted("s1"), deleted("s1", seconds=12), deleted("s9", user="bob"))

    left = await quiet.owner.fetch("SELECT user_id, session_id FROM workflow.trip_sessions WHERE open")
    assert {tuple(row) for row in left} == {("ada", "s2"), ("bob", "s1")}
    async with transaction(pool) as db:
        assert [len(await advanced(db, order.trip_id)) for order in orders] == [0, 1, 1]


async def test_late_orders_of_a_deleted_session_never_reach_avinode(stage: Stage) -> None:
    await stage.publisher.publish(deleted("s1"))
    await stage.request("s1")
    await stage.attach("atrip-1", "s1")
    await stage.created("s2")

    assert await stage.calls("POST", "/api/trips") == ["POST /api/trips"]
    assert await stage.owner.fetchval("SELECT array_agg(DISTINCT session_id) FROM workflow.requests") == ["s2"]


@pytest.mark.parametrize("is_erased", [False, True])
async def test_order_that_was_not_sent_yet_is_not_sent_any_more(quiet: Stage, is_erased: bool) -> None:
    await quiet.avinode.switch_on(rest_status=503)
    async with running_workflow(quiet.settings):
        event = await quiet.request("s1")
        await quiet.becomes(True, "SELECT attempts > 0 AND state = 'intended' FROM workflow.requests")
        now = datetime.now(UTC)
        gone = UserErased(user_id="ada", erased_at=now) if is_erased else SessionDeleted(user_id="ada", session_id="s1")
        await quiet.publisher.publish(gone)
        await quiet.becomes(0, "SELECT count(*) FROM workflow.trips WHERE trip_id = $1", event.trip_id)
        await quiet.avinode.switch_on()
        await quiet.created("s2")

    assert await quiet.trips_at_avinode() == 1


async def test_nothing_that_is_due_is_taken_up_from_the_note_on(
    quiet: Stage, trips: TripStore, requests: RequestStore, facts: FactStore
) -> None:
    await commit(trips, quiet.requested("s1", accepted_at=at(1)), attached("atrip-1", "s2", seconds=1))
    for event in (deleted("s1"), erased()):
        assert await requests.has_due() == isinstance(event, SessionDeleted)
        await commit(trips, event)
        assert not await requests.has_due()
        assert await requests.begin_sending() is None

    due = await facts.next_due(unread=True)
    assert due is not None
    assert (due.reference, due.is_wanted) == ("atrip-1", False)
    await facts.let_go(due.trip_id)
    assert await facts.next_due(unread=True) is None
    assert await facts.trip_called("atrip-1") is None


async def test_order_that_is_being_sent_is_left_and_its_answer_finds_nothing(quiet: Stage) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=1500)
    async with running_workflow(quiet.settings):
        event = await quiet.request("s1")
        await quiet.becomes("sending", REQUEST_STATE, event.request_id)
        await quiet.publisher.publish(deleted("s1"))
        await quiet.becomes(True, "SELECT swept_at IS NOT NULL FROM workflow.deleted_sessions")
        await quiet.called("POST", "/api/trips")
        await quiet.avinode.switch_on()
        await quiet.created("s2")

    assert await quiet.trips_at_avinode() == 2  # nothing is cancelled there
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


async def test_answer_to_an_order_that_has_gone_changes_nothing(
    quiet: Stage, trips: TripStore, requests: RequestStore, facts: FactStore
) -> None:
    order = quiet.requested("s1")
    await commit(trips, order)
    intent = await requests.begin_sending()
    assert intent is not None
    await quiet.owner.execute("DELETE FROM workflow.trips")

    assert await requests.created(intent, trip("atrip-1"), None) == []
    assert await requests.unconfirmed(intent, "nobody knows") == []
    assert await facts.add_trip(order.trip_id, trip("atrip-1")) == (None, [])
    assert await quiet.owner.fetchval(ROWS) == 0


async def test_what_an_erased_user_ordered_before_is_gone_and_what_after_is_not(
    quiet: Stage, trips: TripStore, requests: RequestStore
) -> None:
    before = [quiet.requested(f"s{place}", accepted_at=at(place)) for place in range(3)]
    await commit(trips, *before[:2])

    after = quiet.requested("s1", accepted_at=at(11))  # in a session that had one
    outcomes = await commit(trips, before[2], after, erased(), quiet.requested("s1", "bob", accepted_at=at(3)))

    assert {(one.user_id, one.trip_id == after.trip_id) for one in outcomes} == {("ada", True), ("bob", False)}
    assert await commit(trips, *before) == []
    sent = {intent.trip_id for _ in range(2) if (intent := await requests.begin_sending())}
    assert after.trip_id in sent
    assert not sent & {event.trip_id for event in before}
    assert await requests.begin_sending() is None


async def test_order_of_the_same_key_as_one_of_before_the_erasure_is_another(quiet: Stage, trips: TripStore) -> None:
    before = quiet.requested("s1", accepted_at=at(1))
    again = before.model_copy(update={"event_id": new_id(), "accepted_at": at(10)})
    await commit(trips, before)

    assert [one.trip_id for one in await commit(trips, again, erased())] == [before.trip_id]

    assert await quiet.owner.fetchval("SELECT created_at FROM workflow.requests") == at(10)
    assert await quiet.owner.fetchval("SELECT started_at FROM workflow.trip_sessions WHERE open") == at(10)


async def test_order_of_the_same_key_as_one_that_lost_before_the_erasure_is_another(
    quiet: Stage, trips: TripStore
) -> None:
    before = attached("no such trip", seconds=1)
    again = before.model_copy(update={"avinode_trip_id": "atrip-1", "accepted_at": at(10)})
    await commit(trips, before)

    await commit(trips, again, erased())

    assert await reference_of(quiet, again) == "atrip-1"
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.requests") == 1


async def test_tombstone_of_before_the_erasure_says_nothing_any_more(quiet: Stage, trips: TripStore) -> None:
    await commit(trips, deleted("s1", seconds=2))
    await commit(trips, erased(seconds=5), deleted("s2", seconds=4), deleted("s3", seconds=6))

    orders = [quiet.requested(f"s{place}", accepted_at=at(10)) for place in (1, 2, 3)]
    assert [one.session_id for one in await commit(trips, *orders)] == ["s1", "s2"]

    await commit(trips, deleted("s1", seconds=11), deleted("s2", seconds=4))
    assert await quiet.owner.fetchval("SELECT array_agg(session_id) FROM workflow.trip_sessions WHERE open") == ["s2"]
    left = await quiet.owner.fetch("SELECT session_id FROM workflow.deleted_sessions ORDER BY session_id")
    assert [row["session_id"] for row in left] == ["s1", "s3"]


async def test_line_in_the_ledger_is_the_latest_erasure(quiet: Stage, trips: TripStore) -> None:
    latest = erased(seconds=5)
    for _ in range(2):
        await commit(trips, erased(seconds=3), latest, erased(seconds=4))

    [line] = await quiet.owner.fetch("SELECT user_hash, user_id, event_id, erased_at FROM workflow.erased_users")
    assert tuple(line) == (user_hash("ada"), "ada", latest.event_id, at(5))


@pytest.mark.parametrize("gone", [deleted("s1"), erased()])
async def test_trip_of_which_only_deleted_sessions_were_is_free_for_others(
    quiet: Stage, trips: TripStore, gone: Event
) -> None:
    """And nobody gets what its user had made of it: they have another row."""
    first = attached("atrip-1", seconds=1)
    await commit(trips, first)
    stranger = attached("atrip-1", user="bob", seconds=2)
    await commit(trips, stranger)
    assert await reference_of(quiet, stranger) is None

    for user in ("bob", "ada"):
        await commit(trips, gone)
        again = attached("atrip-1", "s5", user=user, seconds=20)
        await commit(trips, again)
        if user == "bob":
            assert await reference_of(quiet, again) == "atrip-1"
            assert again.trip_id != first.trip_id
            assert await quiet.owner.fetchval(
                "SELECT trip_id FROM workflow.trips WHERE avinode_trip_id = 'atrip-1'"
            ) == (again.trip_id)
        else:
            assert await reference_of(quiet, again) is None  # bob has it now


async def test_erased_user_may_attach_their_trip_again_in_the_same_session(quiet: Stage, pool: Pool) -> None:
    """Another has it too, so the trip stays, and with it the tie of before."""
    trips = TripStore(pool, shared=True)
    first = attached("atrip-1", seconds=1)
    await commit(trips, first, attached("atrip-1", user="bob", seconds=1))
    await commit(trips, erased())
    async with transaction(pool) as db:
        assert [one.user_id for one in await advanced(db, first.trip_id)] == ["bob"]

    again = attached("atrip-1", seconds=10)
    await commit(trips, again)

    row = await quiet.owner.fetchrow("SELECT * FROM workflow.trip_sessions WHERE user_id = 'ada'")
    assert row is not None
    assert (row["open"], row["started_at"], row["deleted_at"]) == (True, at(10), None)
    async with transaction(pool) as db:
        assert len(await advanced(db, row["trip_id"])) == 2


async def test_erased_user_is_no_stranger_who_holds_a_trip(quiet: Stage, pool: Pool) -> None:
    await commit(TripStore(pool, shared=True), attached("atrip-1"), attached("atrip-1", user="bob"))
    trips, other = TripStore(pool, shared=False), attached("atrip-1", "s2", user="bob", seconds=10)
    refused = attached("atrip-1", "s3", user="bob", seconds=8)

    await commit(trips, refused)
    await commit(trips, erased(), other)

    assert await reference_of(quiet, refused) is None
    assert await reference_of(quiet, other) == "atrip-1"


async def test_release_outlives_its_users_erasure_and_names_nobody(quiet: Stage, pool: Pool) -> None:
    trips = TripStore(pool, shared=True)
    first = attached("atrip-1", seconds=1)
    await commit(trips, first, attached("atrip-1", user="bob", seconds=1))
    await commit(trips, TripReleased(trip_id=first.trip_id, user_ids=("ada",), operator="root"))
    refused, later = attached("atrip-1", "s2", seconds=2), attached("atrip-1", seconds=10)

    await commit(trips, refused)
    assert await reference_of(quiet, refused) is None
    await commit(trips, erased(), later)

    assert await reference_of(quiet, later) is None
    [ban] = await quiet.owner.fetch("SELECT * FROM workflow.bans")
    assert (ban["user_hash"], ban["avinode_trip_id"]) == (user_hash("ada"), "atrip-1")
    assert "ada" not in map(str, ban.values())


async def test_release_tells_nobody_whose_session_is_deleted(quiet: Stage, pool: Pool) -> None:
    trips = TripStore(pool, shared=True)
    first = attached("atrip-1", seconds=1)
    await commit(trips, first, attached("atrip-1", user="bob", seconds=1))
    await commit(trips, erased())

    outcomes = await commit(trips, TripReleased(trip_id=first.trip_id, user_ids=("ada", "bob"), operator="root"))

    assert [one.user_id for one in outcomes] == ["bob"]


async def test_quote_is_told_to_no_deleted_session_and_a_refusal_neither(quiet: Stage, pool: Pool) -> None:
    trips = TripStore(pool, shared=True)
    orders = [
        attached("atrip-1", f"s{place}", user=user, seconds=1) for place, user in enumerate(("ada", "bob", "cleo"))
    ]
    await commit(trips, *orders)
    await a_quote(quiet, orders[0].trip_id)
    await commit(trips, deleted("s0"), erased("bob"))

    quote = await QuoteStore(pool).next_untold()
    assert quote is not None
    assert quote.sessions == [("cleo", "s2", at(1))]
    assert [one.user_id for one in await StatusStore(pool).show("refused", 60)] == ["cleo"]


async def test_notice_of_a_trip_that_is_to_go_finds_none(quiet: Stage, trips: TripStore, facts: FactStore) -> None:
    order = attached("atrip-1", seconds=1)
    await commit(trips, order)
    await a_quote(quiet, order.trip_id)
    assert await facts.trip_of_rfq("arfq-1") == order.trip_id
    await commit(trips, erased())

    assert await facts.trip_of_rfq("arfq-1") is None
    assert await facts.trip_called("atrip-1") is None


async def test_what_was_read_for_a_trip_that_is_to_go_is_read_again_for_another(
    quiet: Stage, trips: TripStore, facts: FactStore
) -> None:
    first, second = attached("atrip-1", seconds=1), attached("atrip-1", user="bob", seconds=20)
    await commit(trips, first)
    await a_quote(quiet, first.trip_id)
    assert await facts.unknown_quotes(first.trip_id, ["aquote-1"]) == []
    assert await facts.unknown_messages(first.trip_id, ["asellermsg-1"]) == []
    await commit(trips, erased(), second)

    assert await facts.unknown_quotes(second.trip_id, ["aquote-1"]) == ["aquote-1"]
    assert await facts.unknown_messages(second.trip_id, ["asellermsg-1"]) == ["asellermsg-1"]


async def test_lost_answer_of_a_deleted_session_is_not_looked_for(
    quiet: Stage, trips: TripStore, facts: FactStore
) -> None:
    event = await lose_an_answer(quiet)
    assert (await facts.unanswered()).has_unconfirmed
    await commit(trips, SessionDeleted(user_id="ada", session_id="s1"))

    assert not (await facts.unanswered()).has_unconfirmed
    assert await facts.add_trip(None, trip("atrip-1", external=str(event.request_id))) == (None, [])


async def test_trip_of_a_deleted_session_does_not_become_one_with_anothers(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    """It is the elder, and was requested; but what its user had goes, and the other's stays."""
    gone, living = quiet.requested("s1", accepted_at=at(1)), attached("ABC123", user="bob", seconds=20)
    await commit(trips, gone)
    await quiet.owner.execute("UPDATE workflow.trips SET avinode_trip_id = 'atrip-7'")
    await commit(trips, deleted("s1"), living)

    async with transaction(pool) as db:
        kept = await name_trip(db, living.trip_id, "atrip-7", "ABC123", shared=False)

    assert kept == living.trip_id
    assert await reference_of(quiet, living) == "atrip-7"
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips WHERE trip_id = $1", gone.trip_id) == 1


async def test_deleted_ties_have_no_say_when_two_trips_become_one(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    """A session that asked again after its erasure keeps the trip, whose older row it had once."""
    elder, other = quiet.requested("s1", accepted_at=at(1)), quiet.requested("s2", accepted_at=at(10))
    await commit(trips, elder)
    await commit(trips, erased(), other)
    await quiet.owner.execute(  # she has both; one by a tie of before besides
        """
        INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, open, ended_at, started_at)
        VALUES ('ada', 's3', $1, false, now(), $2), ('ada', 's2', $1, false, now(), $2),
            ('ada', 's4', $1, true, NULL, $3)
        """,
        elder.trip_id,
        at(2),
        at(11),
    )
    await quiet.owner.execute("UPDATE workflow.trips SET avinode_trip_id = 'atrip-7' WHERE trip_id = $1", elder.trip_id)

    async with transaction(pool) as db:
        kept = await name_trip(db, other.trip_id, "atrip-7", None, shared=False)

    left = await quiet.owner.fetch("SELECT session_id, trip_id, open FROM workflow.trip_sessions ORDER BY session_id")
    assert [tuple(row) for row in left] == [("s2", kept, True), ("s4", kept, True)]


async def test_order_that_waits_for_the_note_of_its_sessions_deletion_finds_it(quiet: Stage, trips: TripStore) -> None:
    async with quiet.owner.transaction():
        await quiet.owner.execute("LOCK TABLE workflow.deleted_sessions IN SHARE MODE")
        noting = asyncio.create_task(commit(trips, deleted("s1")))
        await until_blocked(quiet.owner)
        ordering = asyncio.create_task(commit(trips, quiet.requested("s1")))
        await until_blocked(quiet.owner, count=2)
    await noting

    assert await ordering == []
    assert await quiet.owner.fetchval(ROWS) == 0


async def a_quote(stage: Stage, trip_id: UUID) -> None:
    """Let an operator have answered, and nobody been told."""
    await stage.owner.execute(
        f"""
        INSERT INTO workflow.rfqs (rfq_id, trip_id, fetched_at) VALUES ('arfq-1', '{trip_id}', now());
        INSERT INTO workflow.quotes (quote_id, rfq_id, trip_id, lift_id, estimate, fetched_at)
            VALUES ('aquote-1', 'arfq-1', '{trip_id}', 'asellerlift-1', false, now());
        INSERT INTO workflow.trip_messages (avinode_message_id, trip_id, kind, fetched_at)
            VALUES ('asellermsg-1', '{trip_id}', 'quote', now())
        """  # noqa: S608
    )


def trip(avinode_trip_id: str, external: str | None = None) -> Trip:
    return Trip(avinode_trip_id, None, external, False, None, [], None, (), (), ())
