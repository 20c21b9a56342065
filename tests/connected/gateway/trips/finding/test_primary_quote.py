"""A trip is shown with the first quote that a seller stands to, until somebody chooses one."""

from typing import Any
from uuid import UUID

import pytest

from tests.connected.gateway.stage import Rows, Stage


async def quote(rows: Rows, trip_id: UUID, number: int, **columns: Any) -> None:
    """Write a quote of an operator of its own, each an hour after the one before."""
    at = await rows.ages_ago(hours=10 - number)
    keys = {"rfq_id": f"arfq-{number}", "trip_id": trip_id}
    await rows.insert("workflow.rfqs", **keys, operator_name=f"Operator {number}", fetched_at=at, created_at=at)
    await rows.insert(
        "workflow.lifts", **keys, lift_id=f"asellerlift-{number}", aircraft_type=f"Type {number}", fetched_at=at
    )
    defaults = {"quoted_at": at, "estimate": False, "price_cents": number * 100_000, "currency": "EUR"}
    lift = {"lift_id": f"asellerlift-{number}", "fetched_at": at}
    await rows.insert("workflow.quotes", quote_id=f"aquote-{number}", **keys, **lift, **{**defaults, **columns})


async def shown(gateway: Stage, trip_id: UUID) -> str | None:
    """Return the primary quote, as every look at the trip has it, with what it says."""
    (row,) = (await gateway.get("/api/trips")).json()["trips"]
    whole = (await gateway.get(f"/api/trips/{trip_id}")).json()
    names = ("primary_quote_id", "operator_name", "aircraft_type", "price_cents", "currency")
    assert [row[name] for name in names] == [whole[name] for name in names]
    primary: str | None = row["primary_quote_id"]
    for has in (True, False):
        found = (await gateway.get("/api/trips", with_quote=has)).json()["trips"]
        assert bool(found) is (has is (primary is not None))
    if primary is None:
        assert {row[name] for name in names} == {None}
    else:
        number = int(primary.removeprefix("aquote-"))
        said = [f"Operator {number}", f"Type {number}", number * 100_000, "EUR"]
        assert [row[name] for name in names[1:]] == said
    return primary


async def test_the_first_quote_that_stands_is_shown_and_none_is_chosen(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    trip_id = await rows.trip("s1")
    assert await shown(gateway, trip_id) is None
    await quote(rows, trip_id, 1, estimate=True)
    assert await shown(gateway, trip_id) is None
    await quote(rows, trip_id, 3)
    assert await shown(gateway, trip_id) == "aquote-3"
    await quote(rows, trip_id, 2)
    assert await shown(gateway, trip_id) == "aquote-2"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow.rfqs SET declined = true WHERE rfq_id = 'arfq-1'",
        "UPDATE workflow.rfqs SET canceled = true WHERE rfq_id = 'arfq-1'",
        "UPDATE workflow.quotes SET current = false WHERE quote_id = 'aquote-1'",
        "UPDATE workflow.lifts SET sourcing_status = 3 WHERE lift_id = 'asellerlift-1'",
        "UPDATE workflow.lifts SET sourcing_display_status = 'Declined' WHERE lift_id = 'asellerlift-1'",
    ],
)
async def test_a_quote_that_does_not_stand_any_more_gives_way(gateway: Stage, rows: Rows, statement: str) -> None:
    await rows.session("s1")
    trip_id = await rows.trip("s1")
    await quote(rows, trip_id, 1)
    await quote(rows, trip_id, 2)
    assert await shown(gateway, trip_id) == "aquote-1"
    await rows.run(statement)
    assert await shown(gateway, trip_id) == "aquote-2"
    await rows.run("UPDATE workflow.trips SET primary_quote_id = 'aquote-1'")
    assert await shown(gateway, trip_id) == "aquote-1", "what somebody chose is theirs to change"
