"""A share of before its user's erasure shows nothing, though the session of its id goes on."""

from datetime import timedelta

from shared.ids import new_id, secret_hash, user_hash
from tests.connected.gateway.stage import Rows, Stage


async def test_a_link_of_before_an_erasure_shows_nothing_of_what_is_newer(gateway: Stage, rows: Rows) -> None:
    then, hour = await rows.ages_ago(hours=3), timedelta(hours=1)
    await rows.session("s1", at=1, created_at=then + 2 * hour)
    for number, token in enumerate(("older", "newer")):
        about = {"user_id": "ann", "session_id": "s1", "created_at": then + 2 * number * hour}
        await rows.insert("gateway.shares", share_id=new_id(), token_hash=secret_hash(token), **about)
    erasure = {"user_hash": user_hash("ann"), "user_id": "ann", "event_id": new_id(), "correlation_id": new_id()}
    await rows.insert("gateway.erasures", erased_at=then + hour, **erasure)
    answers = [await gateway.http.get(f"/api/shared/{token}") for token in ("older", "newer")]
    assert [answer.status_code for answer in answers] == [404, 200]
    assert len((await gateway.get("/api/chat/sessions/s1/shares")).json()["shares"]) == 1
