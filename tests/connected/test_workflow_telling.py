"""A quote is told into every open session of its trip, once; every change is announced."""

import asyncio

import asyncpg
import pytest

from shared import topology
from shared.settings import Settings
from tests.connected.brokers import own_broker, waiting
from tests.connected.workflow_stage import Stage, open_stage, running_workflow
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
            await asyncio.to_thread(broker.start)
            (told,) = await stage.told(1)
            assert "33,500 USD" in told.content
