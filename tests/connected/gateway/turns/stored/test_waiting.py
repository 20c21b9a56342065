"""The rows of turns that wait for their user: who lets them go on, and who is too late to write to them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.gateway.turns.call_parts import asking, begun
from services.gateway.turns.consent import Consent, answered, name_approval
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.waiting import Standing, WaitingTurns
from services.gateway.turns.turn import Answer, Turn
from shared.database import Pool, open_pool
from shared.settings import Settings
from tests.pure.gateway.samples import claim


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(settings.gateway_database_url, "test", size=4) as pool:
        yield pool


async def waiting(store: TurnStore, wanted: Claim | None = None) -> Turn:
    """Have a turn end with a call that waits."""
    turn = await store.claim(wanted or claim())
    assert isinstance(turn, Turn)
    ended = await store.finish(Finish(turn, asked(turn)))
    assert ended is not None
    return ended


def asked(turn: Turn) -> Answer:
    call = asking(begun("create_trip", "c1", {"pax": 4}), name_approval(turn.turn_id, 0))
    return Answer("", [call], "complete", trace={"trace_id": turn.answer_id, "input_tokens": 3, "output_tokens": 4})


def agreed(turn: Turn) -> list[dict[str, Any]]:
    return answered(turn.parts_so_far, [Consent(name_approval(turn.turn_id, 0), approved=True)])


async def test_one_of_many_lets_it_go_on_as_the_same_answer(pool: Pool) -> None:
    store, turns = TurnStore(pool), WaitingTurns(pool)
    turn = await waiting(store)
    begun = await asyncio.gather(*(turns.go_on(turn, agreed(turn), f"owner {number}") for number in range(4)))
    (going,) = [each for each in begun if each is not None]
    assert (going.state, going.attempt, going.revision, going.carried) == ("running", 1, 1, 1)
    assert (going.answer_id, going.answered_at) == (turn.answer_id, turn.answered_at)
    assert [trace["trace_id"] for trace in going.rounds] == [turn.answer_id]
    ended = await store.finish(Finish(turn, Answer("Done.", agreed(turn), "complete", revision=1)))
    assert ended is not None
    assert (ended.answered().revision, ended.answered().created_at) == (1, turn.answered_at)
    assert await turns.standing(ended) is Standing.CHANGED


async def test_who_ended_it_before_writes_no_more_to_it(pool: Pool) -> None:
    store, turns = TurnStore(pool), WaitingTurns(pool)
    turn = await waiting(store)
    assert await turns.go_on(turn, agreed(turn), "another") is not None
    late = Finish(turn, asked(turn))  # once more, as by an owner who was not told of the commit
    assert await store.finish(late) is None
    await store.checkpoint([(turn.turn_id, 1, 0, [*turn.parts_so_far, {"type": "text", "text": "late"}])])
    now = await store.find(turn.turn_id)
    assert now is not None
    assert (now.state, now.parts_so_far) == ("running", agreed(turn))
    assert await store.keep_calls(turn, turn.parts_so_far, []) is False


@pytest.mark.parametrize("is_answered", [True, False])
async def test_it_does_not_go_on_once_more_was_said(pool: Pool, *, is_answered: bool) -> None:
    store, turns = TurnStore(pool), WaitingTurns(pool)
    turn = await waiting(store)
    later = await store.claim(claim("Something else.", known_until=turn.place))
    assert isinstance(later, Turn)
    if is_answered:
        assert await store.finish(Finish(later, Answer("hi", [], "complete"))) is not None
    assert await turns.go_on(turn, agreed(turn), "test") is None
    assert await turns.standing(turn) is Standing.PASSED
    now = await store.find(turn.turn_id)
    assert now is not None
    assert (now.state, now.parts_so_far) == ("complete", turn.parts_so_far), "nothing of it is left behind"


async def test_it_is_over_after_its_time(pool: Pool, owner: asyncpg.Connection) -> None:
    turn = await waiting(TurnStore(pool))
    turns = WaitingTurns(pool)
    assert await turns.unanswered() == []
    left = await owner.fetchval("SELECT waits_until - clock_timestamp() FROM gateway.turns")
    assert timedelta(days=6, hours=23) < left < timedelta(days=7)
    await owner.execute("UPDATE gateway.turns SET waits_until = clock_timestamp()")
    assert await turns.go_on(turn, agreed(turn), "test") is None
    assert await turns.standing(turn) is Standing.LATE
    assert [each.turn_id for each in await turns.unanswered()] == [turn.turn_id]


async def test_an_answer_that_asks_nothing_does_not_wait(pool: Pool, owner: asyncpg.Connection) -> None:
    store = TurnStore(pool)
    turn = await store.claim(claim())
    assert isinstance(turn, Turn)
    await store.finish(Finish(turn, Answer("hi", [{"type": "text", "text": "hi"}], "complete")))
    assert await owner.fetchval("SELECT waits_until FROM gateway.turns") is None
