"""The real workflow and the simulated Avinode: in whatever order, and however often, notices come, it ends the same."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.events import TripRequested
from tests.connected.workflow.stage import REQUEST_STATE, Stage, running_workflow
from tests.connected.workflow.trip_facts import all_known, rfqs_of, truth
from tests.processes import running as running_processes

SETTLED = "SELECT state IN ('created', 'unconfirmed') FROM workflow.requests WHERE request_id = $1"
ACTIONS = ("send", "quote", "decline", "lift", "chat", "cancel")
PATIENT = hypothesis_settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Draw what happens at Avinode, and between it when a notice comes, which one, and when the workflow dies."""
    steps = [("act:send", 0)]
    for _ in range(draw(st.integers(3, 9))):
        steps.append((f"act:{draw(st.sampled_from(ACTIONS))}", draw(st.integers(0, 9))))
        steps += [("notice", each) for each in draw(st.lists(st.integers(0, 30), max_size=3))]
        if draw(st.integers(0, 7)) == 0:
            steps.append(("crash", 0))
    return steps


@pytest.mark.fault
@PATIENT
@given(life=lives())
async def test_whatever_becomes_of_notices_and_of_the_workflow_it_ends_the_same(
    quiet: Stage, tmp_path: Path, life: list[tuple[str, int]]
) -> None:
    await quiet.owner.execute("TRUNCATE workflow.trips, workflow.deliveries CASCADE")
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        event, avinode_trip_id = await quiet.created("s1")
    await quiet.avinode.switch_on(drop=True)  # what is delivered, when and how often, this test says
    first = max([each["id"] for each in await quiet.avinode.deliveries()], default=0)
    *killed, last = _lives_of_processes(life)
    for part in killed:
        async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
            for step, number in part:
                await _take(quiet, avinode_trip_id, step, number, first)
            processes["workflow"].kill()
    async with running_workflow(quiet.settings):
        for step, number in last:
            await _take(quiet, avinode_trip_id, step, number, first)
    healed = await _reread(quiet, event.trip_id, avinode_trip_id)

    await quiet.owner.execute("TRUNCATE workflow.rfqs CASCADE")
    await quiet.owner.execute("TRUNCATE workflow.trip_messages, workflow.deliveries")
    assert await _reread(quiet, event.trip_id, avinode_trip_id) == healed


@pytest.mark.fault
@hypothesis_settings(PATIENT, max_examples=3)
@given(lives_ms=st.lists(st.integers(0, 500), min_size=1, max_size=2), hang_ms=st.sampled_from((0, 40, 150)))
async def test_whenever_the_workflow_is_killed_a_request_has_at_most_one_trip_or_is_unconfirmed(
    quiet: Stage, tmp_path: Path, lives_ms: list[int], hang_ms: int
) -> None:
    """Each life of the process begins with three requests, and lasts as long as was drawn."""
    await quiet.owner.execute("TRUNCATE workflow.trips, workflow.deliveries CASCADE")
    orders: list[TripRequested] = []
    for life_ms in lives_ms:
        await quiet.avinode.switch_on(rest_hang_ms=hang_ms)
        async with running_processes(quiet.settings, tmp_path, "workflow") as processes:
            orders += [await quiet.request(f"s{len(orders)}", f"user{len(orders)}-{number}") for number in range(3)]
            await asyncio.sleep(life_ms / 1000)
            processes["workflow"].kill()
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        for order in orders:
            await quiet.becomes(True, SETTLED, order.request_id)
    made = [each["externalTripId"] for each in (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]]
    trips = {order.request_id: made.count(str(order.request_id)) for order in orders}
    assert set(trips.values()) <= {0, 1}
    for request_id in (each for each, count in trips.items() if count == 0):
        assert await quiet.owner.fetchval(REQUEST_STATE, request_id) == "unconfirmed"


async def _reread(stage: Stage, trip_id: UUID, avinode_trip_id: str) -> dict[str, tuple[object, ...]]:
    """Let the trip be read again, which heals whatever was lost; return what is known of it then."""
    async with running_workflow(stage.settings):
        await stage.owner.execute("UPDATE workflow.trips SET due_at = clock_timestamp()")
        await stage.stands(trip_id, *await truth(stage, avinode_trip_id))
        return await all_known(stage, avinode_trip_id)


def _lives_of_processes(life: list[tuple[str, int]]) -> list[list[tuple[str, int]]]:
    parts: list[list[tuple[str, int]]] = [[]]
    for step in life:
        if step[0] == "crash":
            parts.append([])
        else:
            parts[-1].append(step)
    return parts


async def _take(stage: Stage, trip: str, step: str, number: int, first: int) -> None:
    if step == "notice":
        waiting = [each for each in await stage.avinode.deliveries() if each["id"] > first]
        await stage.avinode.act("redeliver", {"id": waiting[number % len(waiting)]["id"]})
        return
    rfqs = await rfqs_of(stage, trip)
    action = step.removeprefix("act:")
    path, body = f"trips/{trip}/rfqs", {"operators": 1}
    if action != "send":
        rfq = rfqs[number % len(rfqs)]
        lift = rfq["sellerLift"][number % len(rfq["sellerLift"])]["id"]
        orders = {
            "quote": ("quote", {"price": 10_000 + number, "lift": lift}),
            "decline": ("decline", {"lift": lift} if number % 2 else {}),
            "lift": ("lifts", {}),
            "chat": ("chat", {"message": "Which terminal?"}),
            "cancel": ("cancel", {}),
        }
        name, body = orders[action]
        path = f"rfqs/{rfq['id']}/{name}"
    await stage.avinode.call("POST", f"/sim/{path}", body)  # refused where it cannot be done any more
