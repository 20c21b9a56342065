"""Nobody reads what is somebody else's."""

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage, ask, ids
from tests.connected.gateway.trips.whole_trip import trip_with_everything
from tests.dates import FLIGHT_DAY

SESSIONS = "/api/chat/sessions"


async def test_somebody_elses_is_not_found_by_any_route(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.message("s1", "m1", at=0)
    await rows.tag("s1", await rows.model("sandbox-small"), 1)
    trip_id = await trip_with_everything(rows)
    await ask(gateway, "s9")
    body = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}], "pax": 2}
    for session_id in ("s1", "s9", "unknown"):
        for path in ("", "/messages", "/tag"):
            assert (await gateway.get(f"{SESSIONS}/{session_id}{path}", user="bob")).status_code == 404
        assert (await gateway.post(f"{SESSIONS}/{session_id}/trips", body, user="bob")).status_code == 404
    for reference in (trip_id, "atrip-1", "A1B2C3", new_id()):
        assert (await gateway.get(f"/api/trips/{reference}", user="bob")).status_code == 404
    for path, plural in ((SESSIONS, "sessions"), ("/api/trips", "trips")):
        assert ids(await gateway.get(path, user="bob"), plural) == []
        assert len(ids(await gateway.get(path, user="ann"), plural)) > 0
    assert ids(await gateway.get("/api/trips", user="bob", avinode_trip_id="atrip-1"), "trips") == []


async def test_a_user_reads_what_they_did_as_a_visitor_too(gateway: Stage, rows: Rows) -> None:
    visitor = (await gateway.http.post("/api/auth/visitor")).json()["visitor_id"]
    await rows.session("both", at=1, title="mine", title_source="user")
    await rows.session("both", at=4, user=visitor, title="the visitor's", title_source="user")
    await rows.session("then", at=3, user=visitor)
    await rows.session("now", at=2)
    assert ids(await gateway.get(SESSIONS), "sessions") == ["both", "then", "now", "both"]
    first = await gateway.get(SESSIONS, limit=2)
    rest = await gateway.get(SESSIONS, limit=2, cursor=first.json()["next_cursor"])
    assert [*ids(first, "sessions"), *ids(rest, "sessions")] == ["both", "then", "now", "both"]
    assert (await gateway.get(f"{SESSIONS}/both")).json()["session"]["title"] == "mine"
    assert (await gateway.get(f"{SESSIONS}/then")).status_code == 200
    assert (await gateway.get(f"{SESSIONS}/then", user="bob")).status_code == 404  # at the same browser
    gateway.http.cookies.clear()
    assert (await gateway.get(f"{SESSIONS}/then")).status_code == 200  # at another one
    assert (await gateway.get(f"{SESSIONS}/then", user="bob")).status_code == 404
