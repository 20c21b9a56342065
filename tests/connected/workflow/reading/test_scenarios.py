"""What happens to trips, each under every fault of delivery and of answers: it comes to the same."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.connected.workflow.stage import QUICK, Stage, running_workflow
from tests.connected.workflow.trip_facts import Standing, all_known, truth

# On a slow machine a notice would be given up before its fault ends; its trip is read all the same.
ENDURING = replace(QUICK, missing_attempts=1000)
Scenario = Callable[[Stage, str], Awaitable[None]]
SCENARIOS: dict[Scenario, Standing] = {}
FAULTS: dict[str, dict[str, Any]] = {
    "as they happen": {},
    "three times and mixed": {"duplicate": 2, "shuffle": True},
    "late, mixed, without the trip": {"delay_ms": 30, "shuffle": True, "without_trip_id": True, "duplicate": 1},
    "while Avinode is busy": {"rest_status": 429},
    "while Avinode knows nothing": {"rest_status": 404},
    "while Avinode answers 200 with errors": {"rest_status": 200},
    "while Avinode fails, twice and mixed": {"rest_status": 500, "duplicate": 1, "shuffle": True},
    "not at all": {"drop": True},
}


def comes_to(*standing: Any) -> Callable[[Scenario], Scenario]:
    def remember(scenario: Scenario) -> Scenario:
        SCENARIOS[scenario] = standing
        return scenario

    return remember


@comes_to("analyzing_options", 3, 2, 1)
async def a_quote_a_decline_and_silence(stage: Stage, trip: str) -> None:
    first, second, _ = await stage.send_rfqs(trip, 3)
    await quote(stage, first, 33500)
    await stage.avinode.act(f"rfqs/{second}/decline", {"reason": "CREW_NOT_AVAILABLE"})


@comes_to("requesting_quotes", 1, 1, 0)
async def a_lift_added_later(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    await stage.avinode.act(f"rfqs/{rfq_id}/lifts")


@comes_to("analyzing_options", 1, 1, 1)
async def one_lift_quoted_and_the_other_unanswered(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    lift = await stage.avinode.act(f"rfqs/{rfq_id}/lifts")
    await quote(stage, rfq_id, 33500, lift["lift_id"])


@comes_to("analyzing_options", 1, 1, 1)
async def one_lift_quoted_and_the_other_declined(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    lift = await stage.avinode.act(f"rfqs/{rfq_id}/lifts")
    await quote(stage, rfq_id, 33500)
    await stage.avinode.act(f"rfqs/{rfq_id}/decline", {"lift": lift["lift_id"]})


@comes_to("analyzing_options", 1, 1, 1)
async def a_second_quote_for_another_lift(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    lift = await stage.avinode.act(f"rfqs/{rfq_id}/lifts")
    await quote(stage, rfq_id, 33500)
    await quote(stage, rfq_id, 41000, lift["lift_id"])


@comes_to("analyzing_options", 1, 1, 1)
async def a_price_revised_twice(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    for price in (33500, 32000, 31000):
        await quote(stage, rfq_id, price)


@comes_to("analyzing_options", 1, 1, 1)
async def a_chat_just_before_a_quote(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    await stage.avinode.act(f"rfqs/{rfq_id}/chat", {"message": "33,500 USD, a quote follows"})
    await quote(stage, rfq_id, 33500)


@comes_to("analyzing_options", 2, 1, 0)
async def a_cancellation_while_a_quote_is_on_its_way(stage: Stage, trip: str) -> None:
    first, _ = await stage.send_rfqs(trip, 2)
    await quote(stage, first, 33500)
    await stage.avinode.act(f"rfqs/{first}/cancel")


@comes_to("analyzing_options", 1, 0, 0)
async def a_quote_taken_back(stage: Stage, trip: str) -> None:
    (rfq_id,) = await stage.send_rfqs(trip, 1)
    await quote(stage, rfq_id, 33500)
    await stage.avinode.act(f"rfqs/{rfq_id}/decline")


async def quote(stage: Stage, rfq_id: str, price: int, lift: str | None = None) -> None:
    await stage.avinode.act(f"rfqs/{rfq_id}/quote", {"price": price, **({"lift": lift} if lift else {})})


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_scenario_comes_to_the_same_whatever_happens_to_its_notices(quiet: Stage, scenario: Scenario) -> None:
    seen = []
    for number, faults in enumerate(FAULTS.values()):
        async with running_workflow(quiet.settings, ENDURING):
            event, avinode_trip_id = await quiet.created(f"s{number}")
            await quiet.avinode.switch_on(**faults)
            await scenario(quiet, avinode_trip_id)
            if "rest_status" in faults:
                await quiet.becomes(True, "SELECT bool_or(attempts > 0) FROM workflow.deliveries WHERE state = 'due'")
            if "drop" in faults:
                await quiet.owner.execute("UPDATE workflow.trips SET due_at = clock_timestamp()")
            await quiet.avinode.switch_on()
            await quiet.stands(event.trip_id, *SCENARIOS[scenario])
            assert await truth(quiet, avinode_trip_id) == SCENARIOS[scenario]
            known = await all_known(quiet, avinode_trip_id)
        seen.append(sorted(map(_shape, known.values())))
        await quiet.owner.execute("TRUNCATE workflow.trips, workflow.deliveries CASCADE")
    for facts in seen:
        assert facts == seen[0]


def _shape(row: tuple[object, ...]) -> str:
    """Show a row without what each trip has of its own: ids and codes."""
    kept = ("atrip-", "arfq-", "aquote-", "asellermsg-", "asellerlift-")
    shown = [field for field in row if not str(field).startswith(kept) and not isinstance(field, list)]
    return str(shown[1:] if len(str(row[0])) == 6 else shown)
