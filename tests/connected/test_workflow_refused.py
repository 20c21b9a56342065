"""Where Avinode refuses our credentials nothing is called for minutes, and everybody can see that and why."""

from dataclasses import replace
from functools import partial
from uuid import UUID

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deploy.doctor import Finding, examine
from tests.connected.workflow_stage import QUICK, Stage, running_workflow
from tests.waiting import until_true

HELD = replace(QUICK, refused_s=300.0)
ERROR = "SELECT error FROM workflow.trips WHERE trip_id = $1"
STARTS = (
    "SELECT starts_with(error, 'Avinode refuses our credentials (answered 401') FROM workflow.trips WHERE trip_id = $1"
)


def told_twice(stage: Stage, trip_id: UUID) -> bool:
    """Tell whether its owner heard of the trip, and of what it waits for."""
    return [advanced["trip_id"] for advanced in stage.advanced].count(str(trip_id)) == 2


async def refused(stage: Stage) -> UUID:
    """Ask for a trip with credentials that Avinode refuses; returns it."""
    await stage.avinode.switch_on(rest_status=401)
    event = await stage.request()
    await stage.becomes(True, STARTS, event.trip_id)
    return event.trip_id


async def test_every_trip_that_waits_says_that_our_credentials_are_refused(quiet: Stage) -> None:
    async with running_workflow(quiet.settings, HELD) as worker:
        first = await refused(quiet)
        created = await quiet.request("s2", "bob")
        attached = await quiet.attach("SIM001", "s3", "cyd")
        for event in (created, attached):
            await quiet.becomes(await quiet.owner.fetchval(ERROR, first), ERROR, event.trip_id)
            await until_true(partial(told_twice, quiet, event.trip_id))
        assert worker.fault() is None  # to restart the workflow, or to send its messages elsewhere, mends nothing
    assert "asked again at" in await quiet.owner.fetchval(ERROR, first)
    assert len(await quiet.calls()) == 1


async def test_what_a_refusal_has_nothing_to_do_with_stays_as_it_is(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        read, _ = await quiet.created("s2")
        await quiet.owner.execute("UPDATE workflow.trips SET due_at = 'infinity'")
        unknown = await quiet.attach("atrip-404", "s3")
        await quiet.becomes("cancelled", "SELECT outcome FROM workflow.trips WHERE trip_id = $1", unknown.trip_id)
    async with running_workflow(quiet.settings, HELD):
        await refused(quiet)
        waiting = await quiet.request("s4")
        await quiet.becomes(True, STARTS, waiting.trip_id)
    assert await quiet.owner.fetchval(ERROR, read.trip_id) is None
    assert "404" in await quiet.owner.fetchval(ERROR, unknown.trip_id)


async def test_a_refusal_is_forgotten_once_avinode_takes_our_credentials(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):  # which waits for parts of a second
        first = await refused(quiet)
        second = await quiet.request("s2")
        await quiet.becomes(True, STARTS, second.trip_id)
        await quiet.avinode.switch_on()
        for trip_id in (first, second.trip_id):
            await quiet.becomes(
                True, "SELECT avinode_trip_id IS NOT NULL FROM workflow.trips WHERE trip_id = $1", trip_id
            )
            assert await quiet.owner.fetchval(ERROR, trip_id) is None


async def test_an_operator_sees_the_refusal(quiet: Stage) -> None:
    with capture_logs() as logs:
        async with running_workflow(quiet.settings, HELD):
            await refused(quiet)
            held = REGISTRY.get_sample_value("tripthread_avinode_held_seconds")
    assert held is not None
    assert 290 < held <= 600
    told = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["event"] for entry in told] == ["avinode refuses our credentials"]
    findings: list[Finding] = [finding async for finding in examine(quiet.settings)]
    (trouble,) = [finding.trouble or "" for finding in findings if "Avinode's login" in finding.subject]
    assert "AVINODE_AUTH_TOKEN" in trouble
    assert "asked again at" in trouble
