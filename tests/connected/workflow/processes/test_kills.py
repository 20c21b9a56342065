"""Workflow processes are killed, stopped and suspended: at most one trip a request, and somebody goes on."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.supervisor.machine.ports import free_port
from shared.database import open_pool
from shared.jobs.leader import Leader
from shared.settings import Settings
from tests.connected.workflow.stage import Stage, long_ago, running_workflow
from tests.processes import running as running_processes
from tests.waiting import PATIENCE_S

HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
STATE = "SELECT state FROM workflow.requests WHERE request_id = $1"


@pytest.mark.fault
async def test_killed_before_the_call_it_is_sent_after_the_restart(quiet: Stage, tmp_path: Path) -> None:
    nowhere = quiet.settings.model_copy(update={"avinode_base_url": f"http://127.0.0.1:{free_port()}/api"})
    async with running_processes(nowhere, tmp_path, "workflow") as processes:
        event = await quiet.request()
        await quiet.becomes(True, "SELECT attempts = 1 AND state = 'intended' FROM workflow.requests")
        processes["workflow"].kill()
    async with running_workflow(quiet.settings):
        await quiet.becomes("created", STATE, event.request_id)
    assert await quiet.trips_at_avinode() == 1


@pytest.mark.fault
async def test_killed_during_the_call_it_is_unconfirmed_and_never_sent_again(quiet: Stage, tmp_path: Path) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=60_000)
    async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
        event = await quiet.request()
        await quiet.becomes("sending", STATE, event.request_id)
        await quiet.called("POST", "/api/trips")
        processes["workflow"].kill()
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        await quiet.becomes("unconfirmed", STATE, event.request_id)
        await quiet.created("s2")
    assert len(await quiet.calls("POST", "/api/trips")) == 2
    assert await quiet.trips_at_avinode() == 2


@pytest.mark.fault
async def test_killed_with_an_answer_that_is_not_written_its_trip_still_turns_up(quiet: Stage, tmp_path: Path) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=3000)
    async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
        event = await quiet.request()
        await quiet.called("POST", "/api/trips")
        async with quiet.database_away():
            async with asyncio.timeout(PATIENCE_S):
                while (await quiet.avinode.call("GET", "/sim/calls")).body["calls"][-1]["status"] is None:
                    await asyncio.sleep(0.02)
            processes["workflow"].kill()
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        await quiet.becomes("unconfirmed", STATE, event.request_id)
        (trip,) = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        await quiet.send_rfqs(trip["id"], 2)
        await quiet.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
    assert await quiet.owner.fetchval(STATE, event.request_id) == "created"
    assert len(await quiet.calls("POST", "/api/trips")) == 1


@pytest.mark.fault
async def test_killed_while_it_follows_a_notice_it_follows_it_again(quiet: Stage, tmp_path: Path) -> None:
    async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
        event, avinode_trip_id = await quiet.created()
        await quiet.avinode.switch_on(rest_hang_ms=60_000)
        await quiet.send_rfqs(avinode_trip_id, 2)
        await quiet.called("GET", "/api/rfqs")
        processes["workflow"].kill()
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        await quiet.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
        await quiet.settled()


@pytest.mark.fault
async def test_stopped_in_order_the_answer_is_waited_for(quiet: Stage, tmp_path: Path) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=1500)
    async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
        event = await quiet.request()
        await quiet.called("POST", "/api/trips")
        assert await processes["workflow"].stop() == 0
    assert await quiet.owner.fetchval(STATE, event.request_id) == "created"


@pytest.mark.fault
async def test_the_next_process_takes_over_from_a_suspended_leader(quiet: Stage, tmp_path: Path) -> None:
    async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
        first, _ = await quiet.created()
        processes["workflow"].signal(signal.SIGSTOP)
        # Unacknowledged deliveries of a suspended process are not what this is about: this one is in the table.
        await quiet.owner.execute(
            "UPDATE workflow.trips SET due_at = clock_timestamp(), last_checked_at = $1", long_ago()
        )
        async with running_workflow(quiet.settings):
            await quiet.becomes(
                True,
                "SELECT last_checked_at > '2021-01-01' FROM workflow.trips WHERE trip_id = $1",
                first.trip_id,
            )


@pytest.mark.parametrize("in_order", [True, False])
async def test_former_leader_leaves_neither_lock_nor_timeout_to_the_next_user(
    settings: Settings, in_order: bool
) -> None:
    elected = asyncio.Event()

    async def note() -> None:
        elected.set()

    async with open_pool(settings.workflow_database_url, "test", size=1) as pool:
        leader = Leader(pool, 1, note)
        leading = asyncio.create_task(leader.run())
        async with asyncio.timeout(PATIENCE_S):
            await elected.wait()
            leader.shut_down() if in_order else leading.cancel()
            with suppress(asyncio.CancelledError):
                await leading
        assert await pool.fetchval("SHOW idle_session_timeout") == "0"
        assert await pool.fetchval(HELD) == 0
