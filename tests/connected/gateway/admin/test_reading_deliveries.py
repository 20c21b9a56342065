"""What the API shows administrators of deliveries."""

from uuid import UUID

import pytest

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage, ids
from tests.pure.gateway.samples import minutes

PATH = "/api/admin/deliveries"


@pytest.fixture
async def kept(rows: Rows) -> list[UUID]:
    """Keep four deliveries, a minute apart."""
    delivery_ids = [new_id() for _ in range(4)]
    trip_id = new_id()
    await rows.insert("workflow.trips", trip_id=trip_id, avinode_trip_id="atrip-7", trip_code="SIM7K2")
    told: tuple[dict[str, object], ...] = (
        {"source": "avinode", "state": "done", "event_name": "chat", "trip_code": "SIM7K2"},
        {"source": "avinode", "state": "refused", "error": "the href is foreign", "payload": b"\x00secret"},
        {"source": "billing", "state": "ignored", "error": "nobody reads notices from billing"},
        {"source": "avinode", "state": "unmatched", "trip_code": "atrip-7"},
    )
    for number, (delivery_id, fields) in enumerate(zip(delivery_ids, told, strict=True)):
        usual: dict[str, object] = {"payload": b"{}", "received_at": minutes(number), "event_id": new_id()}
        await rows.insert("workflow.deliveries", delivery_id=delivery_id, **(usual | fields))
    await rows.run("UPDATE workflow.deliveries SET due_at = 'infinity' WHERE state = 'unmatched'")
    return [*delivery_ids, trip_id]


async def test_they_are_listed_newest_first_page_by_page(gateway: Stage, kept: list[UUID]) -> None:
    first = await gateway.get(PATH, role="admin", limit=3)
    rest = await gateway.get(PATH, role="admin", limit=3, cursor=first.json()["next_cursor"])
    listed = [*ids(first, "deliveries"), *ids(rest, "deliveries")]
    assert listed == [str(delivery_id) for delivery_id in reversed(kept[:4])]
    assert "secret" not in first.text
    assert first.json()["deliveries"][0]["due_at"] is None


async def test_each_filter_leaves_out_the_others(gateway: Stage, kept: list[UUID]) -> None:
    async def found(**query: str) -> list[int]:
        listed = ids(await gateway.get(PATH, role="admin", **query), "deliveries")
        return sorted([str(delivery_id) for delivery_id in kept].index(each) for each in listed)

    assert await found(source="billing") == [2]
    assert await found(state="refused") == [1]
    assert await found(event="chat") == [0]
    for name in ("sim7k2", "ATRIP-7", str(kept[4]).upper()):
        assert await found(trip=name) == [0, 3]
    assert await found(trip="other") == []
    assert await found(**{"from": minutes(1).isoformat(), "to": minutes(3).isoformat()}) == [1, 2]
    assert await found(source="avinode", state="done", trip="SIM7K2") == [0]


async def test_one_is_shown_with_its_body_and_the_reason(gateway: Stage, kept: list[UUID]) -> None:
    shown = (await gateway.get(f"{PATH}/{kept[1]}", role="admin")).json()
    assert (shown["body"], shown["reason"]) == ("\x00secret", "the href is foreign")
    assert (await gateway.get(f"{PATH}/{kept[1]}")).status_code == 403
