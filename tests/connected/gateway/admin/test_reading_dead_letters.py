"""What the API shows administrators of dead letters."""

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage, ids
from tests.pure.gateway.samples import minutes


async def test_dead_letters_are_for_administrators(gateway: Stage, rows: Rows) -> None:
    for number, reason in enumerate(("undecodable", "unstorable", "undecodable")):
        await rows.insert(
            "chat.dead_letters",
            dead_letter_id=new_id(),
            queue="logger.chat",
            dedupe_key=str(number),
            body=b"secret words",
            reason=reason,
            error="why",
            user_id=f"u{number}",
            received_at=minutes(number),
        )
    path = "/api/admin/dead"
    assert (await gateway.get(path)).status_code == 403
    first = await gateway.get(path, role="admin", limit=2)
    rest = await gateway.get(path, role="admin", limit=2, cursor=first.json()["next_cursor"])
    letters = [letter for page in (first, rest) for letter in page.json()["dead_letters"]]
    assert [letter["reason"] for letter in letters] == ["undecodable", "unstorable", "undecodable"]
    assert letters[0]["size_bytes"] == len(b"secret words")
    assert "secret words" not in first.text
    assert len(ids(await gateway.get(path, role="admin", reason="unstorable"), "dead_letters")) == 1
    assert ids(await gateway.get(path, role="admin", state="dropped"), "dead_letters") == []
    for which, found in (
        ({"user": "u1"}, ["u1"]),
        ({"user": "u1", "reason": "undecodable"}, []),
        ({"from": minutes(1).isoformat()}, ["u2", "u1"]),
        ({"to": minutes(1).isoformat()}, ["u0"]),
        ({"from": minutes(1).isoformat(), "to": minutes(2).isoformat(), "state": "parked"}, ["u1"]),
    ):
        answer = await gateway.http.get(path, params=which, headers=gateway.as_user("root", "admin"))
        assert [letter["user_id"] for letter in answer.json()["dead_letters"]] == found, which
