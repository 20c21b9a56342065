"""A trip of which everything is known, as the workflow would have written it."""

from uuid import UUID

from shared.ids import new_id
from tests.connected.gateway.stage import Rows

CONTENT = {
    "currency": "USD",
    "margin_percent": "7.5",
    "options": [
        {
            "quote_id": "aquote-2",
            "operator_name": "Operator 1",
            "aircraft_type": "Simulated Midsize",
            "price_cents": 3_350_000,
            "currency": "USD",
            "client_price_cents": 3_601_250,
        }
    ],
}


async def trip_with_everything(rows: Rows) -> UUID:
    """Write a trip of session s1 as Avinode and its broker would have left it."""
    trip_id, request_id, at = new_id(), new_id(), await rows.ages_ago(minutes=1)
    legs = '[{"from":"KTEB","to":"KPBI","date":"2030-05-04","time":null}]'
    await rows.insert(
        "workflow.trips",
        trip_id=trip_id,
        avinode_trip_id="atrip-1",
        trip_code="A1B2C3",
        deep_link="http://sim/ui/trips/buying/atrip-1",
        route=legs,
        pax=4,
        step="analyzing_options",
        operators_contacted_count=2,
        quotes_expected_count=1,
        quotes_received_count=1,
        primary_quote_id="aquote-2",
        last_activity_at=at,
    )
    await rows.insert(
        "workflow.trip_sessions",
        user_id="ann",
        session_id="s1",
        trip_id=trip_id,
        request_id=request_id,
        started_at=at,
        last_message_at=at,
    )
    await rows.insert(
        "workflow.requests",
        request_id=request_id,
        trip_id=trip_id,
        user_id="ann",
        session_id="s1",
        segments='[{"from_icao":"KTEB","to_icao":"KPBI","date":"2030-05-04","time":null}]',
        pax=4,
        criteria={"category": "midsize"},
        state="created",
        event_id=new_id(),
        created_at=at,
    )
    for number, declined in ((1, False), (2, True)):
        await rows.insert(
            "workflow.rfqs",
            rfq_id=f"arfq-{number}",
            trip_id=trip_id,
            operator_name=f"Operator {number}",
            declined=declined,
            decline_reason="no crew" if declined else None,
            fetched_at=at,
            created_at=at,
        )
    await rows.insert(
        "workflow.lifts",
        lift_id="asellerlift-1",
        rfq_id="arfq-1",
        trip_id=trip_id,
        aircraft_type="Simulated Midsize",
        sourcing_display_status="Accepted",
        fetched_at=at,
    )
    for number, estimate in ((1, True), (2, False)):
        await rows.insert(
            "workflow.quotes",
            quote_id=f"aquote-{number}",
            rfq_id="arfq-1",
            trip_id=trip_id,
            lift_id="asellerlift-1",
            estimate=estimate,
            price_cents=3_350_000,
            currency="USD",
            quoted_at=at,
            fetched_at=at,
        )
    await rows.insert(
        "workflow.trip_messages",
        avinode_message_id="asellermsg-1",
        trip_id=trip_id,
        rfq_id="arfq-1",
        kind="quote",
        content="An offer",
        quote_id="aquote-2",
        sent_at=at,
        fetched_at=at,
    )
    await rows.insert(
        "workflow.proposals",
        proposal_id=new_id(),
        trip_id=trip_id,
        quote_ids=["aquote-2"],
        margin_percent=7.5,
        prepared_at=at,
        user_id="ann",
        session_id="s1",
        accepted_at=at,
        changed_at=at,
        changed_by=new_id(),
        content=CONTENT,
        event_id=new_id(),
    )
    return trip_id
