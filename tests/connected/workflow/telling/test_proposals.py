"""Proposals in the workflow: prepared, changed and sent, once each; what is sent completes the trip."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.proposals.sends import SendStore
from services.workflow.store.ties.bans import take
from shared.database import Pool, open_pool, transaction
from shared.events import Event, ProposalChanged, ProposalPrepared, ProposalSent, TripAttached, TripRequested
from shared.ids import new_id
from shared.proposals.content import Content, Option
from tests.connected.workflow.deletion.test_deletion import at, attached, commit, deleted, erased
from tests.connected.workflow.deletion.test_sweeps import sweep
from tests.connected.workflow.stage import Stage, running_workflow

STANDS = """
    SELECT format('%s %s %s', p.state, t.outcome, s.open)
    FROM workflow.proposals p JOIN workflow.trips t USING (trip_id) JOIN workflow.trip_sessions s USING (trip_id)
    WHERE p.proposal_id = $1 AND s.session_id = 's1'
"""


@pytest.fixture
async def pool(quiet: Stage) -> AsyncIterator[Pool]:
    async with open_pool(quiet.settings.workflow_database_url, "workflow") as pool:
        yield pool


@pytest.fixture
def trips(pool: Pool) -> TripStore:
    return TripStore(pool, shared=True, mails=True)


def content(note: str = "Dear client", cents: int = 3_601_250) -> Content:
    option = Option(quote_id="aquote-1", price_cents=3_350_000, currency="USD", client_price_cents=cents)
    return Content(currency="USD", note=note, options=(option,))


def of(order: TripAttached | TripRequested, seconds: int, **changes: Any) -> dict[str, Any]:
    """Return what every event about a proposal of this order's trip says."""
    known = {"user_id": order.user_id, "session_id": order.session_id, "trip_id": order.trip_id}
    return {**known, "accepted_at": at(seconds), **changes}


def prepared(order: TripAttached | TripRequested, *, seconds: int = 2, **changes: Any) -> ProposalPrepared:
    said = {"proposal_id": new_id(), "content": content(), **changes}
    return ProposalPrepared.model_validate(of(order, seconds, **said))


def changed(proposal: ProposalPrepared, note: str, *, seconds: int = 3) -> ProposalChanged:
    known = proposal.model_dump(include={"user_id", "session_id", "trip_id", "proposal_id"})
    return ProposalChanged(**known, accepted_at=at(seconds), content=content(note))


def sent(proposal: ProposalPrepared, *to: str, seconds: int = 4, **changes: Any) -> ProposalSent:
    known = proposal.model_dump(include={"user_id", "session_id", "trip_id", "proposal_id"})
    return ProposalSent.model_validate({**known, "accepted_at": at(seconds), "to": to, **changes})


async def note_of(stage: Stage) -> list[str]:
    rows = await stage.owner.fetch("SELECT note, content ->> 'note' AS inner FROM workflow.proposals")
    assert all(row["note"] == row["inner"] for row in rows)
    return [row["note"] for row in rows]


async def sends(stage: Stage) -> list[tuple[str, str | None]]:
    rows = await stage.owner.fetch("SELECT state, code FROM workflow.proposal_sends ORDER BY created_at, event_id")
    return [(row["state"], row["code"]) for row in rows]


async def test_a_prepared_proposal_moves_the_step_and_stays_prepared_once(quiet: Stage, trips: TripStore) -> None:
    order = quiet.requested(accepted_at=at(1))
    proposal = prepared(order)
    await commit(trips, order)

    for _ in range(2):
        (outcome,) = await commit(trips, proposal)
        assert (outcome.session_id, outcome.causes) == ("s1", (proposal.event_id,))
        assert outcome.changed == ("trip", "proposal")

    assert await quiet.owner.fetchval("SELECT step FROM workflow.trips") == "proposal_ready"
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.proposals") == 1
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "prepared  t"


async def test_of_changes_the_newest_stands_whatever_order_they_come_in(quiet: Stage, trips: TripStore) -> None:
    order = quiet.requested(accepted_at=at(1))
    proposal = prepared(order)
    first, last = changed(proposal, "first", seconds=3), changed(proposal, "last", seconds=4)
    await commit(trips, order, proposal, last, first, last)
    assert await note_of(quiet) == ["last"]


async def test_what_is_sent_by_hand_completes_the_trip_and_changes_no_more(quiet: Stage, trips: TripStore) -> None:
    order = quiet.requested(accepted_at=at(1))
    proposal, other = prepared(order), prepared(order)
    by_hand = sent(proposal)
    await commit(trips, order, proposal, other, by_hand)
    await commit(trips, by_hand, changed(proposal, "too late", seconds=9), sent(proposal, seconds=5))
    await commit(trips, sent(other, "client@example.test", seconds=6))

    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "by_hand completed f"
    assert await note_of(quiet) == ["Dear client"] * 2
    assert await sends(quiet) == [("by_hand", None), ("lost", "proposal_settled"), ("lost", "trip_closed")]
    is_one_time = await quiet.owner.fetchval(
        """
        SELECT p.sent_at = t.proposal_sent_at AND p.sent_at = t.closed_at AND p.sent_at = s.ended_at
        FROM workflow.proposals p JOIN workflow.trips t USING (trip_id) JOIN workflow.trip_sessions s USING (trip_id)
        WHERE p.sent_at IS NOT NULL
        """
    )
    assert is_one_time
    again = quiet.requested(accepted_at=at(20))
    await commit(trips, again)
    open_now = await quiet.owner.fetchval("SELECT trip_id FROM workflow.trip_sessions WHERE open")
    assert open_now == again.trip_id, "a new request in the same chat starts a new trip"


async def test_without_mail_whatever_is_sent_is_sent_by_hand(quiet: Stage, pool: Pool) -> None:
    trips = TripStore(pool, shared=False)
    order = quiet.requested(accepted_at=at(1))
    proposal = prepared(order)
    await commit(trips, order, proposal, sent(proposal, "client@example.test"))
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "by_hand completed f"
    assert await quiet.owner.fetchval("SELECT recipients FROM workflow.proposal_sends") == ["client@example.test"]


async def test_of_two_wishes_to_mail_at_once_one_is_worked(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    order = quiet.requested(accepted_at=at(1))
    proposal = prepared(order)
    wishes = [sent(proposal, "client@example.test", seconds=4 + place) for place in range(2)]
    await commit(trips, order, proposal, *wishes, *wishes)
    assert await sends(quiet) == [("intended", None), ("lost", "proposal_settled")]
    store = SendStore(pool)
    taken = await store.begin_sending()
    assert taken is not None
    assert (taken.event_id, taken.recipients) == (wishes[0].event_id, ("client@example.test",))
    assert await store.begin_sending() is None


async def mailing(quiet: Stage, trips: TripStore, store: SendStore) -> tuple[ProposalPrepared, Any]:
    order = quiet.requested(accepted_at=at(1))
    proposal = prepared(order)
    await commit(trips, order, proposal, sent(proposal, "client@example.test"))
    return proposal, await store.begin_sending()


async def test_what_was_refused_may_be_changed_and_sent_again(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    store = SendStore(pool)
    proposal, taken = await mailing(quiet, trips, store)
    await commit(trips, changed(proposal, "while it is being sent"))
    (outcome,) = await store.settle(taken, "failed", "550 no such user")
    assert outcome.changed == ("trip", "proposal")
    assert await note_of(quiet) == ["Dear client"]
    await commit(trips, changed(proposal, "corrected", seconds=5), sent(proposal, "right@example.test", seconds=6))
    again = await store.begin_sending()
    assert again is not None
    assert again.content["note"] == "corrected"
    await store.settle(again, "sent")
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "sent completed f"
    assert await sends(quiet) == [("failed", None), ("sent", None)]


async def test_what_nobody_can_confirm_is_not_mailed_again_but_may_be_marked(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    store = SendStore(pool)
    proposal, taken = await mailing(quiet, trips, store)
    assert not await store.has_stale(60)
    assert len(await store.abandon()) == 1  # as a process does that begins after it
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "unconfirmed  t"
    await commit(trips, sent(proposal, "client@example.test", seconds=6), changed(proposal, "no", seconds=6))
    assert await store.begin_sending() is None
    assert await note_of(quiet) == ["Dear client"]
    await commit(trips, sent(proposal, seconds=7))
    assert await store.settle(taken, "sent") != []  # the answer came late
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "by_hand completed f"
    assert await sends(quiet) == [("sent", None), ("lost", "proposal_settled"), ("by_hand", None)]


async def test_a_trip_that_was_cancelled_meanwhile_stays_cancelled(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    store = SendStore(pool)
    proposal, taken = await mailing(quiet, trips, store)
    await quiet.owner.execute("UPDATE workflow.trips SET closed_at = now(), outcome = 'cancelled'")
    await store.settle(taken, "sent")
    assert await quiet.owner.fetchval(STANDS, proposal.proposal_id) == "sent cancelled f"


@pytest.mark.parametrize("gone", [deleted("s1"), erased()])
async def test_of_a_shared_trip_what_its_author_deleted_goes_and_the_rest_stays(
    quiet: Stage, trips: TripStore, pool: Pool, gone: Event
) -> None:
    ada, bob = attached("atrip-1", "s1", seconds=1), attached("atrip-1", "s1", user="bob", seconds=1)
    theirs, mine = prepared(ada), prepared(bob, trip_id=ada.trip_id)
    by_other = sent(theirs, "other@example.test", user_id="bob")
    await commit(trips, ada, bob, theirs, mine, sent(theirs, "client@example.test", seconds=5), by_other)
    await commit(trips, gone)
    assert await SendStore(pool).begin_sending() is None, "nothing of it is mailed from the note on"
    late = [changed(theirs, "late", seconds=5), sent(theirs, "x@example.test", seconds=6), prepared(ada, seconds=7)]
    assert await commit(trips, *late) == []

    await sweep(quiet, pool)

    rows = await quiet.owner.fetch("SELECT user_id FROM workflow.proposals")
    assert [row["user_id"] for row in rows] == ["bob"]
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.proposal_sends") == 0
    assert await quiet.owner.fetchval("SELECT step FROM workflow.trips") == "proposal_ready"
    await commit(trips, sent(mine, seconds=20))
    assert await quiet.owner.fetchval("SELECT step FROM workflow.trips") == "proposal_ready"


async def test_who_lost_the_trip_leaves_no_proposal_to_whoever_has_it_next(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    order = attached("atrip-1", "s1", seconds=1)
    proposal = prepared(order)
    await commit(trips, order, proposal, sent(proposal, "client@example.test"))
    async with transaction(pool) as db:
        await take(db, order.trip_id, ["ada"])
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.proposals") == 0
    assert await sends(quiet) == []
    assert await commit(trips, prepared(order, seconds=5)) == []


async def test_a_sent_proposal_is_told_into_every_session_once(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    first, second = attached("atrip-1", "s1", seconds=1), attached("atrip-1", "s2", seconds=1)
    proposal = prepared(first)
    await commit(trips, first, second, proposal, sent(proposal))
    async with running_workflow(quiet.settings):
        told = await quiet.told(2)
    assert {one.session_id for one in told} == {"s1", "s2"}
    assert {one.content for one in told} == {"The proposal was sent by hand: one option, for 36,012.50 USD."}
    assert {(one.role, one.metadata["proposal_id"]) for one in told} == {("system", str(proposal.proposal_id))}
    await quiet.becomes(True, "SELECT told_at IS NOT NULL FROM workflow.proposals")
    await quiet.owner.execute("UPDATE workflow.proposals SET told_at = NULL")  # as after a crash before the note
    async with running_workflow(quiet.settings):
        again = await quiet.told(2)
    assert {one.message_id for one in again} == {one.message_id for one in told}


async def test_rows_of_one_trip_take_their_proposals_along(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    """Attached by its id in one session and by its code in another, the trip is one once Avinode has shown it."""
    await quiet.avinode.switch_on(drop=True)
    code, _ = await quiet.avinode.trip_with_rfqs(1)
    name = (await quiet.avinode.read(f"trips/{code}"))["id"]
    by_id, by_code = attached(name, "s1", seconds=1), attached(code, "s2", seconds=1)
    proposals = [prepared(by_id), prepared(by_code)]
    await commit(trips, by_id, by_code, *proposals, sent(proposals[1], "client@example.test"))
    async with running_workflow(quiet.settings):
        await quiet.becomes(1, "SELECT count(*) FROM workflow.trips")
    (trip_id,) = [row["trip_id"] for row in await quiet.owner.fetch("SELECT trip_id FROM workflow.trips")]
    await commit(trips, changed(proposals[0], "changed", seconds=9))
    assert sorted(await note_of(quiet)) == ["Dear client", "changed"]
    assert await quiet.owner.fetchval("SELECT DISTINCT trip_id FROM workflow.proposals") == trip_id
    assert await quiet.owner.fetchval("SELECT DISTINCT trip_id FROM workflow.proposal_sends") == trip_id
    await commit(trips, prepared(by_code, seconds=10))  # by a gateway that had read the row that is gone
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.proposals WHERE trip_id = $1", trip_id) == 3
