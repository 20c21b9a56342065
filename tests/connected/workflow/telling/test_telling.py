"""What happens to a trip is told into the sessions that are about it, once; every change is announced."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from services.workflow.store.hearing.trips import TripStore
from shared import topology
from shared.database import open_pool
from shared.events import TripClosed
from shared.settings import Settings
from tests.connected.between import Between
from tests.connected.brokers import own_broker, waiting
from tests.connected.workflow.deletion.test_deletion import commit
from tests.connected.workflow.stage import Stage, long_ago, open_stage, running_workflow
from tests.connected.workflow.telling.test_proposals import prepared, sent
from tests.processes import running as running_processes
from tests.waiting import until_true


async def test_a_quote_is_told_once_in_every_open_session(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.attach(avinode_trip_id, "s2")
    await stage.becomes(2, "SELECT count(*) FROM workflow.trip_sessions")
    rfqs = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.avinode.switch_on(duplicate=2)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    first = await stage.told(2)
    assert {one.session_id for one in first} == {"s1", "s2"}
    assert {(one.user_id, one.role) for one in first} == {("ada", "system")}
    assert first[0].content.startswith("Simulated Operator")
    assert " quoted 33,500 USD for the Simulated" in first[0].content
    assert first[0].metadata["trip_id"] == str(event.trip_id)

    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 31000.5})
    second = await stage.told(2)
    assert " revised its quote to 31,000.50 USD for the " in second[0].content
    assert len({one.message_id for one in first + second}) == 4
    await stage.settled()
    assert await waiting(stage.settings, topology.LOGGER_CHAT) == 0


async def test_a_quote_told_again_is_the_same_message(stage: Stage) -> None:
    _, avinode_trip_id = await stage.created()
    rfqs = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    (first,) = await stage.told(1)
    await stage.becomes(0, "SELECT count(*) FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
    await stage.owner.execute("UPDATE workflow.quotes SET told_at = NULL")  # as after a crash before the note
    (again,) = await stage.told(1)
    assert again == first.model_copy(update={"occurred_at": again.occurred_at})


async def test_a_decline_is_told_once_nobody_s_answer_is_awaited(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    first, second, third = await stage.send_rfqs(avinode_trip_id, 3)
    await stage.avinode.switch_on(duplicate=2)
    await stage.avinode.act(f"rfqs/{first}/decline", {"reason": "CREW_NOT_AVAILABLE"})
    await stage.avinode.act(f"rfqs/{second}/quote", {"price": 33500})
    (quoted,) = await stage.told(1)
    await stage.avinode.act(f"rfqs/{third}/decline", {"reason": "CABOTAGE"})
    (declined,) = await stage.told(1)
    assert declined.content == "Simulated Operator C declined (cabotage). All others have answered."
    assert (declined.role, declined.metadata) == ("system", {"kind": "decline", "trip_id": str(event.trip_id)})
    assert declined.created_at > quoted.created_at

    await stage.avinode.act(f"rfqs/{second}/decline", {"reason": "OTHER"})
    (left,) = await stage.told(1)
    assert left.content.startswith("Simulated Operator B declined (")
    assert left.content.endswith(" No operator is left who might quote.")
    (fourth,) = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.stands(event.trip_id, "analyzing_options", 4, 1, 0)
    await stage.avinode.act(f"rfqs/{fourth}/decline")
    (again,) = await stage.told(1)
    assert again.content.startswith("Simulated Operator D declined")
    await stage.settled()
    assert await waiting(stage.settings, topology.LOGGER_CHAT) == 0


async def test_a_decline_without_a_notice_is_told_as_well(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.avinode.switch_on(drop=True)
    (rfq_id,) = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.avinode.act(f"rfqs/{rfq_id}/decline")
    await stage.owner.execute("UPDATE workflow.trips SET due_at = clock_timestamp()")
    (told,) = await stage.told(1)
    assert told.content == "Simulated Operator A declined (owner declined). No operator is left who might quote."
    await stage.owner.execute("UPDATE workflow.trips SET due_at = clock_timestamp(), last_checked_at = '2020-01-01'")
    await stage.becomes(True, "SELECT last_checked_at > '2021-01-01' FROM workflow.trips")
    assert await waiting(stage.settings, topology.LOGGER_CHAT) == 0
    await stage.stands(event.trip_id, "requesting_quotes", 1, 0, 0)


async def test_a_decline_that_is_seen_before_its_notice_is_told_with_its_reason(quiet: Stage) -> None:
    """An RFQ is read for the notice that it was sent, when its operator has declined meanwhile."""
    async with running_workflow(quiet.settings):
        _, avinode_trip_id = await quiet.created("s1")
    (rfq_id,) = await quiet.send_rfqs(avinode_trip_id, 1)
    await quiet.avinode.switch_on(drop=True)
    await quiet.avinode.act(f"rfqs/{rfq_id}/decline", {"reason": "CABOTAGE"})
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        (told,) = await quiet.told(1)
    assert told.content == "Simulated Operator A declined (cabotage). No operator is left who might quote."


async def test_a_cancellation_is_told_to_whoever_had_the_trip(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.attach(avinode_trip_id, "s2")
    await stage.becomes(2, "SELECT count(*) FROM workflow.trip_sessions")
    wish = TripClosed(
        user_id="ada", session_id="s1", trip_id=event.trip_id, outcome="cancelled", reason="CHANGED", message="sorry"
    )
    await stage.publisher.publish(wish)
    await stage.publisher.publish(wish)
    told = await stage.told(2)
    assert {one.session_id for one in told} == {"s1", "s2"}
    assert {one.content for one in told} == {"The trip was cancelled: plans have changed."}
    assert {one.metadata["kind"] for one in told} == {"cancellation"}
    await stage.settled()
    assert await waiting(stage.settings, topology.LOGGER_CHAT) == 0


async def test_a_cancellation_by_a_colleague_at_avinode_is_told_as_well(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.send_rfqs(avinode_trip_id, 1)
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
    await stage.avinode.act(f"trips/{avinode_trip_id}/cancel")
    (told,) = await stage.told(1)
    assert told.content == "The trip was cancelled at Avinode."


async def test_what_cannot_be_said_holds_up_nothing_else(quiet: Stage) -> None:
    """A proposal that nobody can read, and one after it."""
    first, second = (quiet.requested(session, accepted_at=long_ago()) for session in ("s1", "s2"))
    proposals = [prepared(order) for order in (first, second)]
    async with open_pool(quiet.settings.workflow_database_url, "workflow") as pool:
        await commit(TripStore(pool, shared=False), first, second, *proposals, *map(sent, proposals))
    await quiet.owner.execute("UPDATE workflow.requests SET state = 'created'")
    await quiet.owner.execute(
        "UPDATE workflow.proposals SET content = '{\"options\": 7}', sent_at = sent_at - interval '1 h'"
        " WHERE proposal_id = $1",
        proposals[0].proposal_id,
    )
    async with running_workflow(quiet.settings) as worker:
        (told,) = await quiet.told(1)
        assert told.session_id == "s2"
        assert worker.fault() is None
    unsaid = "SELECT unsaid FROM workflow.proposals WHERE told_at IS NULL"
    assert (await quiet.owner.fetchval(unsaid)).startswith("ValidationError")


async def test_every_change_is_announced_to_every_session(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.attach(avinode_trip_id, "s2")
    await stage.becomes(2, "SELECT count(*) FROM workflow.trip_sessions")
    stage.advanced.clear()
    await stage.send_rfqs(avinode_trip_id, 1)
    await stage.becomes("done", "SELECT state FROM workflow.deliveries")
    cause = await stage.owner.fetchval("SELECT event_id FROM workflow.deliveries")
    await stage.answered(cause)
    heard = [one for one in stage.advanced if str(cause) in one["causes"]]
    assert {one["session_id"] for one in heard} == {"s1", "s2"}
    assert {one["trip_id"] for one in heard} == {str(event.trip_id)}


@pytest.mark.fault
@pytest.mark.parametrize("is_published", [False, True], ids=["before-the-publish", "before-its-confirm"])
async def test_killed_while_it_tells_the_next_process_says_the_same(
    quiet: Stage, tmp_path: Path, is_published: bool
) -> None:
    between = Between(quiet.settings.as_service("workflow").amqp_url)
    async with between.listening() as url:
        behind = quiet.settings.model_copy(update={"workflow_amqp_url": url})
        async with running_processes(behind, tmp_path, "workflow") as processes:
            event, avinode_trip_id = await quiet.created()
            (rfq_id,) = await quiet.send_rfqs(avinode_trip_id, 1)
            await quiet.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
            (between.confirms if is_published else between.asks).clear()
            await quiet.avinode.act(f"rfqs/{rfq_id}/quote", {"price": 33500})
            await quiet.becomes(1, "SELECT count(*) FROM workflow.quotes WHERE said_at IS NOT NULL")
            first = await quiet.told(1) if is_published else []
            processes["workflow"].kill()
    said_at = await quiet.owner.fetchval("SELECT said_at FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
    async with running_workflow(quiet.settings):
        (told,) = await quiet.told(1)
        assert told.created_at == said_at
        assert [one.model_copy(update={"occurred_at": told.occurred_at}) for one in first] in ([], [told])
        await quiet.becomes(0, "SELECT count(*) FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
    assert await waiting(quiet.settings, topology.LOGGER_CHAT) == 0


async def test_a_note_stands_where_it_is_told_and_not_where_what_it_tells_of_was_learned(quiet: Stage) -> None:
    """The quote is known, its note is pending, and somebody reads what is said meanwhile."""
    async with running_workflow(quiet.settings):
        _, avinode_trip_id = await quiet.created()
        (rfq_id,) = await quiet.send_rfqs(avinode_trip_id, 1)
        await quiet.avinode.act(f"rfqs/{rfq_id}/quote", {"price": 33500})
        await quiet.told(1)
        await quiet.becomes(0, "SELECT count(*) FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
    await quiet.owner.execute("UPDATE workflow.quotes SET told_at = NULL, said_at = NULL")
    read_at = await quiet.owner.fetchval("SELECT clock_timestamp()")
    async with running_workflow(quiet.settings):
        (told,) = await quiet.told(1)
        assert told.created_at > read_at
        await quiet.becomes(0, "SELECT count(*) FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
        await quiet.owner.execute("UPDATE workflow.quotes SET told_at = NULL, seen_at = clock_timestamp()")
        (revised,) = await quiet.told(1)  # by a process of an earlier release, which knows no `said_at`
        assert revised.created_at > told.created_at


@pytest.mark.fault
async def test_a_quote_that_comes_without_a_broker_is_told_when_there_is_one(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with own_broker() as broker:
        changed = {
            "amqp_url": broker.url,
            "publish_deadline_s": 0.5,
            "trip_reread_s": 0.2,
            "trip_reread_longest_s": 0.2,
        }
        async with (
            open_stage(settings.model_copy(update=changed), owner) as stage,
            running_workflow(stage.settings) as worker,
        ):
            event, avinode_trip_id = await stage.created()
            await stage.avinode.switch_on(drop=True)
            rfqs = await stage.send_rfqs(avinode_trip_id, 1)
            await asyncio.to_thread(broker.kill)
            await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
            await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)
            await until_true(lambda: "BrokerAway" in (worker.fault() or ""))
            read_at = await owner.fetchval("SELECT clock_timestamp()")
            await asyncio.to_thread(broker.start)
            (told,) = await stage.told(1)
            assert "33,500 USD" in told.content
            assert told.created_at > read_at  # whoever has read on meanwhile
