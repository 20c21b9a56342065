"""What a claim and a finish return without reading it is what their turn's row has."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.gateway.turns.quota import Quota
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.turn import Answer, Question, Turn
from tests.connected.gateway.turns.stored.test_counting import quota
from tests.connected.gateway.turns.turn_stage import Gateway

SAID = Question(
    "q2",
    "Where to?",
    parts=[{"type": "text", "text": "Where to?"}, {"type": "data-x", "data": {"n": 1.5}}],
    parent_id="q1",
    client_message_id="c2",
    metadata={"b": [1, None], "a": {"ä": True}},
    earlier=(
        Question("q0", "Hello.", is_known=True, said_at=datetime(2026, 1, 2, 3, 4, 5, 678, UTC)),
        Question("q1", "Are you there?", parent_id="q0"),
    ),
    client={"address": "127.0.0.0/24"},
    history="ab",
)


@pytest.mark.parametrize("counted", [None, quota(turns_per_day=2)], ids=["free", "counted"])
async def test_what_is_claimed_and_finished_is_what_its_row_has(gateway: Gateway, counted: Quota | None) -> None:
    wanted = replace(
        gateway.claim("", key="k1"), question=SAID, helper="quotes", traceparent="00-1-2-01", quota=counted
    )
    turn = await gateway.store.claim(wanted)
    assert isinstance(turn, Turn)
    assert turn == await gateway.store.find(turn.turn_id)
    assert (turn.counted is None) is (counted is None)

    parts = [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "To Nice."}]
    answer = Answer("To Nice.", parts, "complete", trace={"input_tokens": 3, "cost": None}, history="cd")
    finish = Finish(turn, answer, question_published=True, counts=counted is not None)
    ended = await gateway.store.finish(finish)
    assert ended is not None
    assert ended == await gateway.store.find(turn.turn_id)


async def test_an_answer_that_replaces_its_checkpoint_has_the_revision_of_its_row(gateway: Gateway) -> None:
    turn = await gateway.store.claim(gateway.claim("hello"))
    assert isinstance(turn, Turn)
    part = await gateway.store.finish(Finish(turn, Answer("so f", [], "interrupted")))
    whole = await gateway.store.finish(Finish(turn, Answer("so far", [], "complete")))
    assert part is not None
    assert whole is not None
    assert whole.answer is not None
    assert whole.answer.revision == 1
    assert whole.answered_at == part.answered_at
    assert whole == await gateway.store.find(turn.turn_id)
