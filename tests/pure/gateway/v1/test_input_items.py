"""What a response was asked, as its client lists it."""

from typing import Any
from uuid import UUID

import pytest

from services.gateway.v1.told.input_items import AskedItem, input_items

TURN = UUID(int=7)


@pytest.mark.parametrize(
    ("role", "parts"),
    [("user", [{"type": "text"}]), ("user", [{"type": "text", "text": 5}]), ("tool", [{"type": "tool-result"}])],
    ids=["no text", "no string", "no call"],
)
def test_a_part_that_is_none_of_ours_is_told_by_its_message_s_text(role: Any, parts: list[dict[str, Any]]) -> None:
    (item,) = input_items(TURN, [AskedItem(role, "said", parts)])
    assert (item["type"], item["content"]) == ("message", [{"type": "input_text", "text": "said"}])
