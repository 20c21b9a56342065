"""A workflow's process that is suspended, or cut off, with messages in its hands: each has its effect, and once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.supervisor.private.servers import RabbitMQ
from shared import topology
from shared.settings import Settings
from tests.connected.brokers import purge, waiting
from tests.connected.workflow.stage import REQUEST_STATE, Stage, open_stage, running_workflow
from tests.processes import running as running_processes
from tests.settings import settings_for
from tests.waiting import until

BLOCKED = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def broken_off(settings: Settings, owner: asyncpg.Connection, breakable: RabbitMQ) -> AsyncIterator[Stage]:
    """A stage whose broker may close connections."""
    mine = settings_for(settings.database_url, breakable.url)
    await purge(mine)
    async with open_stage(mine, owner) as stage:
        yield stage


async def consumers_of(broker: RabbitMQ) -> list[str]:
    """Name the connections that consume the workflow's queues, as `rabbitmqctl` does."""
    listed = await asyncio.to_thread(broker.ctl, "list_connections", "pid", "client_properties")
    return [line.split("\t")[0] for line in listed.splitlines() if "workflow.trips" in line or "deliveries" in line]


async def cut_off(broker: RabbitMQ, connections: list[str]) -> None:
    """Close them, as `rabbitmqctl close_connection` does, which takes seconds for each."""
    names = ", ".join(f'"{connection}"' for connection in connections)
    close = f'rabbit_networking:close_connection(rabbit_misc:string_to_pid(Name), "test") || Name <- [{names}]'
    await asyncio.to_thread(broker.ctl, "eval", f"[{close}].")


@pytest.mark.fault
async def test_what_a_suspended_process_holds_is_worked_by_the_next_one_and_once(
    broken_off: Stage, breakable: RabbitMQ, tmp_path: Path
) -> None:
    stage = broken_off
    async with running_processes(stage.settings, tmp_path, "workflow") as processes:
        held = await consumers_of(breakable)
        assert len(held) == 2
        processes["workflow"].signal(signal.SIGSTOP)
        events = [await stage.request(f"s{number}") for number in range(3)]
        await until(lambda: _none_waits(stage), "the suspended process to be sent them")
        async with running_workflow(stage.settings):
            await cut_off(breakable, held)
            for event in events:
                await stage.becomes("created", REQUEST_STATE, event.request_id)
            processes["workflow"].signal(signal.SIGCONT)  # what it was sent is in its socket still
            await processes["workflow"].ready()
            late = await stage.request("s3")
            await stage.becomes("created", REQUEST_STATE, late.request_id)
    assert await stage.trips_at_avinode() == 4
    assert await waiting(stage.settings, topology.DEAD) == 0


@pytest.mark.fault
async def test_what_was_being_committed_when_the_broker_was_lost_comes_again_and_counts_once(
    broken_off: Stage, breakable: RabbitMQ
) -> None:
    stage = broken_off
    async with running_workflow(stage.settings):
        first, _ = await stage.created("s0")
        async with stage.owner.transaction():
            await stage.owner.execute("LOCK TABLE workflow.requests IN EXCLUSIVE MODE")
            event = await stage.request("s1")
            await until(lambda: stage.owner.fetchval(BLOCKED), "the commit")
            await cut_off(breakable, await consumers_of(breakable))
        await stage.becomes("created", REQUEST_STATE, event.request_id)
        await stage.answered(event.event_id)
        await until(lambda: _none_waits(stage), "the queue to be empty")
    assert first.trip_id != event.trip_id
    assert await stage.trips_at_avinode() == 2
    assert await waiting(stage.settings, topology.WORKFLOW_TRIPS) == 0


async def _none_waits(stage: Stage) -> bool:
    return await waiting(stage.settings, topology.WORKFLOW_TRIPS) == 0
