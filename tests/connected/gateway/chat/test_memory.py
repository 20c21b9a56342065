"""Of a session's past as much is remembered as the model may be told; the rest is known without its text."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.chat.memory import Memory
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Answer, Turn
from shared.database import open_pool
from shared.settings import Settings
from tests.connected.gateway.stage import Rows
from tests.pure.gateway.samples import claim

MOST_BYTES = 25


@pytest.fixture
async def memory(read_settings: Settings) -> AsyncIterator[Memory]:
    async with (
        open_pool(read_settings.reader_database_url, "test", 2) as reader,
        open_pool(read_settings.gateway_database_url, "test", 2) as own,
    ):
        yield Memory(reader, TurnReadings(own), MOST_BYTES)


@pytest.fixture
async def store(read_settings: Settings) -> AsyncIterator[TurnStore]:
    async with open_pool(read_settings.gateway_database_url, "test", 2) as own:
        yield TurnStore(own)


async def said(rows: Rows, *texts: str) -> None:
    await rows.session("s1", at=len(texts))
    for number, text in enumerate(texts):
        parent = f"m{number - 1}" if number else None
        await rows.message("s1", f"m{number}", at=number, content=text, parent_id=parent)


async def test_the_newest_texts_are_remembered(rows: Rows, memory: Memory) -> None:
    await said(rows, "a" * 10, "\u00e9" * 5, "c" * 10)
    remembered = await memory.of(["ann"], "s1")
    assert [shown.content for shown in remembered.history] == [None, "\u00e9" * 5, "c" * 10]
    assert [shown.parent_id for shown in remembered.history] == [None, "m0", "m1"]


async def test_whose_past_was_read_is_forgotten_with_the_statement(rows: Rows, read_settings: Settings) -> None:
    await said(rows, "mine")
    async with (
        open_pool(read_settings.reader_database_url, "test", 1) as reader,
        open_pool(read_settings.gateway_database_url, "test", 1) as own,
    ):
        memory = Memory(reader, TurnReadings(own), MOST_BYTES)
        assert [shown.content for shown in (await memory.of(["ann"], "s1")).history] == ["mine"]
        assert await reader.fetchval("SELECT count(*) FROM chat.messages") == 0
        assert (await memory.of(["bob"], "s1")).history == []


async def test_what_is_asked_about_is_known_by_its_digest(rows: Rows, memory: Memory) -> None:
    await said(rows, "a" * 30, "b" * 20)
    [first, _] = (await memory.of(["ann"], "s1", about=["m0"])).history
    assert (first.content, first.says("a" * 30), first.says("else")) == (None, True, False)
    resent = (await memory.of(["ann"], "s1", resent=2)).history
    assert [shown.says(text) for shown, text in zip(resent, ("a" * 30, "b" * 20), strict=True)] == [True, True]


async def test_a_question_that_was_not_read_is_read_to_be_asked_again(rows: Rows, memory: Memory) -> None:
    await said(rows, "a" * 30, "b" * 20)
    question = await memory.question("ann", "s1", "m0")
    assert question is not None
    assert (question.content, question.is_known) == ("a" * 30, True)
    assert await memory.question("bob", "s1", "m0") is None
    assert await memory.question("ann", "s1", "nothing") is None


async def test_turns_that_are_not_stored_are_remembered_alike(rows: Rows, memory: Memory, store: TurnStore) -> None:
    claimed = await store.claim(claim("q" * 30))
    assert isinstance(claimed, Turn)
    turn = await store.finish(Finish(claimed, Answer("a" * 10, [], "complete")))
    assert turn is not None
    asked, answered = (await memory.of(["ann"], "s1")).history
    assert (asked.content, asked.says("q" * 30), answered.content) == (None, True, "a" * 10)
    question = await memory.question("ann", "s1", asked.message_id)
    assert question is not None
    assert (question.content, question.is_known, question.said_at) == ("q" * 30, True, turn.asked_at)
