"""Where Avinode refuses our credentials nothing is called for minutes, and everybody can see that and why."""

from dataclasses import replace
from uuid import UUID

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deploy.doctor import examine
from deploy.doctor.finding import Finding
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.queries import TripQueries
from shared.database import open_pool
from tests.connected.workflow.stage import QUICK, Stage, running_workflow
from tests.waiting import until, until_true

HELD = replace(QUICK, refused_s=300.0)
ERROR = "SELECT error FROM workflow.trips WHERE trip_id = $1"
SAID = "Avinode refuses our credentials (answered 401"


async def problem(stage: Stage, trip_id: UUID) -> str | None:
    """Return what the trip's owner reads, once it is stored."""
    users = [row["user_id"] for row in await stage.owner.fetch("SELECT user_id FROM workflow.trip_sessions")]
    async with open_pool(stage.settings.reader_database_url, "test", 1) as pool:
        trip = await TripQueries(pool).find(users, TripFilter(trip_id=trip_id))
    return trip.problem if trip else None


async def shows(stage: Stage, trip_id: UUID, *, refusal: bool) -> None:
    """Wait until a trip says that our credentials are refused, or says it no more."""

    async def is_so() -> bool:
        return (SAID in (await problem(stage, trip_id) or "")) is refusal

    await until(is_so, f"the refusal to be {'shown' if refusal else 'gone'}")


def times_told(stage: Stage, trip_id: UUID) -> int:
    """Count how often the trip's owner has heard that there is something to look at."""
    return [advanced["trip_id"] for advanced in stage.advanced].count(str(trip_id))


async def refused(stage: Stage) -> UUID:
    """Ask for a trip with credentials that Avinode refuses; returns it."""
    await stage.avinode.switch_on(rest_status=401)
    event = await stage.request()
    await shows(stage, event.trip_id, refusal=True)
    return event.trip_id


async def test_every_trip_that_waits_says_that_our_credentials_are_refused(quiet: Stage) -> None:
    async with running_workflow(quiet.settings, HELD) as worker:
        first = await refused(quiet)
        created = await quiet.request("s2", "bob")
        attached = await quiet.attach("SIM001", "s3", "cyd")
        for event in (created, attached):
            await quiet.answered(event.event_id)  # whoever looks then sees the reason
            assert await problem(quiet, event.trip_id) == await problem(quiet, first)
        assert worker.fault() is None  # to restart the workflow, or to send its messages elsewhere, mends nothing
    assert "asked again at" in (await problem(quiet, first) or "")
    assert len(await quiet.calls()) == 1


async def test_whoever_waits_when_a_refusal_begins_hears_of_it(quiet: Stage) -> None:
    await quiet.avinode.switch_on(rest_status=401, rest_hang_ms=1500)  # time enough for all to be waiting
    waiting = [await quiet.attach(f"SIM00{number}", user_id=f"user{number}") for number in range(3)]
    async with running_workflow(quiet.settings, HELD):
        for event in waiting:
            await shows(quiet, event.trip_id, refusal=True)
        # Each has heard of the trip and of what it waits for; whose call was refused, of that as well.
        await until_true(lambda: sorted(times_told(quiet, event.trip_id) for event in waiting) == [2, 2, 3])
    assert len(await quiet.calls()) == 1
    assert [await quiet.owner.fetchval(ERROR, event.trip_id) for event in waiting].count(None) == 2


async def test_what_a_refusal_has_nothing_to_do_with_stays_as_it_is(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        read, _ = await quiet.created("s2")
        await quiet.owner.execute("UPDATE workflow.trips SET due_at = 'infinity'")
        unknown = await quiet.attach("atrip-404", "s3")
        await quiet.becomes("cancelled", "SELECT outcome FROM workflow.trips WHERE trip_id = $1", unknown.trip_id)
    async with running_workflow(quiet.settings, HELD):
        await refused(quiet)
        waiting = await quiet.request("s4")
        await shows(quiet, waiting.trip_id, refusal=True)
        assert await problem(quiet, read.trip_id) is None
        assert "404" in (await problem(quiet, unknown.trip_id) or "")


async def test_a_refusal_is_forgotten_once_avinode_takes_our_credentials(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):  # which waits for parts of a second
        first = await refused(quiet)
        second = await quiet.request("s2")
        await shows(quiet, second.trip_id, refusal=True)
        await quiet.avinode.switch_on()
        for trip_id in (first, second.trip_id):
            await quiet.becomes(
                True, "SELECT avinode_trip_id IS NOT NULL FROM workflow.trips WHERE trip_id = $1", trip_id
            )
            await shows(quiet, trip_id, refusal=False)
            assert await quiet.owner.fetchval(ERROR, trip_id) is None
        await quiet.becomes(True, "SELECT refusal IS NULL FROM workflow.avinode_status")


async def test_a_refusal_that_a_process_left_behind_is_cleared_by_the_next_one(quiet: Stage) -> None:
    async with running_workflow(quiet.settings, HELD):
        waiting = await refused(quiet)
    assert SAID in (await problem(quiet, waiting) or "")
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings, HELD):
        await shows(quiet, waiting, refusal=False)
        await quiet.becomes(True, "SELECT refusal IS NULL FROM workflow.avinode_status")


async def test_a_refusal_whose_time_is_over_says_nothing_any_more(quiet: Stage) -> None:
    async with running_workflow(quiet.settings, HELD):
        await refused(quiet)
        other = await quiet.request("s2")
        await shows(quiet, other.trip_id, refusal=True)
    # As after a process that was killed.
    await quiet.owner.execute("UPDATE workflow.avinode_status SET held_until = now()")
    assert await problem(quiet, other.trip_id) is None
    findings = [finding async for finding in examine(quiet.settings)]
    assert [one.trouble for one in findings if "Avinode's login" in one.subject] == [None]


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
