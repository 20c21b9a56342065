"""When the messages of a turn were accepted, by what its events say; and when they are told of."""

import asyncio
from typing import Any, cast

import pytest

from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.told import telling as telling_module
from services.gateway.turns.told.telling import Telling, has_asked
from services.gateway.turns.turn import Question
from shared.events import Event, MessageAnswered, MessagePosted
from shared.publishing.publisher import Publisher
from tests.pure.gateway.samples import minutes, turn


def test_what_came_with_a_question_was_accepted_with_it_though_its_place_is_before() -> None:
    copied = Question("m0", "hm", is_known=True, said_at=minutes(1))
    asked = turn(at=5, question=Question("m2", "and?", earlier=(copied, Question("m1", "one"))))
    copy, earlier, question = asked.asked()
    assert earlier.created_at < earlier.accepted == question.accepted == minutes(5)
    assert copy.accepted == minutes(1), "when it was asked first"


class _Publisher:
    away = None

    def __init__(self) -> None:
        self.published: list[type[Event]] = []

    async def publish(self, event: Event, **_: Any) -> None:
        self.published.append(type(event))


async def test_a_question_waits_no_longer_than_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling_module, "ASK_AFTER_S", 3600.0)
    publisher = _Publisher()
    telling = Telling(cast(TurnStore, None), cast(Outbox, None), cast(Publisher, publisher), asyncio.create_task)
    answered = turn(answered=1)
    asking = telling.ask(answered)
    await asyncio.sleep(0)
    assert publisher.published == []
    telling.ask_now(answered.turn_id)
    await asyncio.wait({asking}, timeout=60)
    assert publisher.published == [MessagePosted]  # before the answer is kept
    assert has_asked(asking)
    await telling.tell(answered, asking)
    assert publisher.published == [MessagePosted, MessageAnswered]
