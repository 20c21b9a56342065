"""Cursors that nobody was given."""

from services.gateway.http.requests.cursors import write_cursor
from tests.connected.gateway.stage import Stage
from tests.pure.gateway.samples import minutes

SESSIONS = "/api/chat/sessions"


async def test_a_cursor_with_a_forged_place_is_refused(gateway: Stage) -> None:
    forged = write_cursor("dead_letters", minutes(0), "not-a-uuid")
    answer = await gateway.get("/api/admin/dead", role="admin", cursor=forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
