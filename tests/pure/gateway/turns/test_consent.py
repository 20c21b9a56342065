"""What users say to calls that wait: what it is about, what is new of it, and what becomes of the calls."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.gateway.turns.call_parts import asking, begun, done
from services.gateway.turns.consent import Consent, answered, asking_turn, denied, is_past, name_approval, unsaid
from shared.errors import ApprovalSettled
from shared.ids import new_id

YES, NO = Consent("a-0", approved=True), Consent("a-0", approved=False, reason="Too dear.")


def waits(approval_id: str = "a-0") -> dict[str, Any]:
    return asking(begun("create_trip", f"call {approval_id}", {"pax": 4}), approval_id)


def test_an_approval_names_its_turn() -> None:
    turn_id = new_id()
    assert asking_turn(name_approval(turn_id, 12)) == turn_id


@pytest.mark.parametrize("text", ["", "a-0", str(UUID(int=7)), "00000000-0000-4000-8000-000000000000-0", "x" * 64])
def test_what_nobody_asks_so_names_none(text: str) -> None:
    assert asking_turn(text) is None


def test_a_turn_s_id_says_when_it_asked() -> None:
    now = datetime.now(UTC)
    turn_id = new_id()
    assert not is_past(turn_id, now + timedelta(days=7) - timedelta(minutes=1))
    assert is_past(turn_id, now + timedelta(days=7, minutes=1))


def test_the_first_word_counts() -> None:
    parts = [waits()]
    assert unsaid(parts, [YES]) == [YES]
    agreed = answered(parts, [YES])
    assert unsaid(agreed, [YES]) == []
    with pytest.raises(ApprovalSettled, match="approved already") as settled:
        unsaid(agreed, [NO])
    assert settled.value.extra == {"approved": True}
    with pytest.raises(ApprovalSettled, match="denied already"):
        unsaid(answered(parts, [NO]), [YES])


def test_who_agreed_and_has_the_result_said_so_once() -> None:
    ended = [done(answered([waits()], [YES])[0], {"trip_id": "t1"})]
    assert unsaid(ended, [YES]) == []


def test_only_what_is_answered_changes() -> None:
    text = {"type": "text", "text": "Shall I?"}
    parts = answered([text, waits(), waits("a-1")], [YES])
    assert parts[0] == text
    assert [part["state"] for part in parts[1:]] == ["approval-responded", "approval-requested"]
    assert parts[1]["approval"] == {"id": "a-0", "approved": True}


def test_what_nobody_will_answer_is_denied_and_the_rest_stays() -> None:
    agreed = answered([waits()], [YES])
    parts = denied([*agreed, waits("a-1")], "Too late.")
    assert parts[0] == agreed[0]
    assert parts[1]["state"] == "output-denied"
    assert parts[1]["approval"] == {"id": "a-1", "approved": False, "reason": "Too late."}
