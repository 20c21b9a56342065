"""What the workflow was doing when the database went away is done when it is back, and done once."""

import pytest

from tests.connected.workflow.stage import Stage, running_workflow
from tests.waiting import until_true

STATE = "SELECT state FROM workflow.requests WHERE request_id = $1"


async def test_an_answer_outlives_the_absence_of_the_database(quiet: Stage) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=2500)
    async with running_workflow(quiet.settings) as worker:
        event = await quiet.request()
        await quiet.called("POST", "/api/trips")
        async with quiet.database_away():
            await until_true(lambda: "requests:" in (worker.fault() or ""))  # the answer is here, and cannot be written
        await quiet.becomes("created", STATE, event.request_id)
        await quiet.avinode.switch_on()
        await quiet.created("s2")
    assert await quiet.trips_at_avinode() == 2


@pytest.mark.parametrize("resource", ["rfqs", "tripmsgs"])
async def test_a_notice_that_is_being_followed_outlives_the_absence_of_the_database(
    quiet: Stage, resource: str
) -> None:
    async with running_workflow(quiet.settings) as worker:
        event, avinode_trip_id = await quiet.created()
        rfqs = await quiet.send_rfqs(avinode_trip_id, 1)
        await quiet.settled()
        before = len(await quiet.calls("GET", f"/api/{resource}"))
        await quiet.avinode.switch_on(rest_hang_ms=2000)
        if resource == "rfqs":
            await quiet.send_rfqs(avinode_trip_id, 1)
        else:
            await quiet.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
        await quiet.called("GET", f"/api/{resource}", before + 1)
        async with quiet.database_away():
            await until_true(lambda: "notices:" in (worker.fault() or ""))  # it is read, and cannot be kept
        await quiet.avinode.switch_on()
        expected = ("requesting_quotes", 2, 2, 0) if resource == "rfqs" else ("analyzing_options", 1, 1, 1)
        await quiet.stands(event.trip_id, *expected)
        await quiet.settled()
        await until_true(lambda: worker.fault() is None)
