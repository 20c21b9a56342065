"""What a trip comes to: as the workflow's tables have it, and as Avinode's own state says without our reader."""

from typing import Any

from tests.connected.workflow.stage import Stage

Standing = tuple[str, int, int, int]  # the step; operators contacted, quotes expected and received

KEPT = (
    "SELECT rfq_id, operator_name, canceled, declined, decline_reason FROM workflow.rfqs",
    "SELECT lift_id, rfq_id, aircraft_tail, sourcing_status FROM workflow.lifts",
    "SELECT quote_id, rfq_id, lift_id, estimate, current, price_cents, currency FROM workflow.quotes",
    "SELECT avinode_message_id, kind, rfq_id, content, reason, quote_id, lift_ids FROM workflow.trip_messages",
    "SELECT trip_code, step, operators_contacted_count, quotes_expected_count FROM workflow.trips",
)


async def all_known(stage: Stage, avinode_trip_id: str) -> dict[str, tuple[object, ...]]:
    """Wait until everything is known that operators said of the one trip there is, and return it."""
    rfqs = await rfqs_of(stage, avinode_trip_id)
    messages = {each["id"] for rfq in rfqs for each in rfq["links"]["tripmsgs"] if each["id"].startswith("aseller")}
    lifts = sum(len(rfq["sellerLift"]) for rfq in rfqs)
    said = "SELECT count(*) FROM workflow.trip_messages WHERE avinode_message_id LIKE 'aseller%'"
    await stage.becomes(len(messages), said)
    await stage.becomes(lifts, "SELECT count(*) FROM workflow.quotes WHERE estimate")
    await stage.becomes(0, "SELECT count(*) FROM workflow.deliveries WHERE state <> 'done'")
    return await everything(stage)


async def rfqs_of(stage: Stage, avinode_trip_id: str) -> list[Any]:
    """Return a trip's RFQs as Avinode shows them."""
    trips = (await stage.avinode.call("GET", "/sim/trips")).body["trips"]
    found: list[Any] = next(each for each in trips if each["id"] == avinode_trip_id)["rfqs"]
    return found


async def everything(stage: Stage) -> dict[str, tuple[object, ...]]:
    """Return what the tables say of trips, by id, but when it was learned; and what no notice tells of."""
    rows = [tuple(row) for query in KEPT for row in await stage.owner.fetch(query)]
    return {str(row[0]): row for row in rows if not str(row[0]).startswith("abuyermsg")}


async def truth(stage: Stage, avinode_trip_id: str) -> Standing:
    """Tell step and counts from what Avinode shows, by rules of their own."""
    rfqs = await rfqs_of(stage, avinode_trip_id)
    lifts = {rfq["id"]: rfq["sellerLift"] for rfq in rfqs}
    expected = [rfq["id"] for rfq in rfqs if not rfq["canceled"] and not _all(lifts[rfq["id"]], 3)]
    received = [rfq_id for rfq_id in expected if any(lift["sourcingStatus"] == 2 for lift in lifts[rfq_id])]
    # The first quote of a lift is Avinode's estimate.
    is_quoted = any(len(lift["links"]["quotes"]) > 1 for each in lifts.values() for lift in each)
    step = "analyzing_options" if is_quoted else "requesting_quotes" if rfqs else "searching_aircraft"
    return step, len(rfqs), len(expected), len(received)


def _all(lifts: list[Any], status: int) -> bool:
    return all(lift["sourcingStatus"] == status for lift in lifts)
