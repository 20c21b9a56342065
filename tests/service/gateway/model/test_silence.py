"""How long a model's service is waited for: by the pieces of its answer, whatever else keeps the connection warm."""

import asyncio
from typing import Any

import pytest

from tests.service.gateway.model.stand_in import HI, STOP, Reply, answered, chunk, standing_in

SHORT_S = 0.1
GONE_SILENT = "the model's service has gone silent"
SIGNS = {
    "nothing": b"",
    "comments": b": ping\n\n",
    "empty events": b"data:\n\n",
    "events that say nothing": b'event: ping\ndata: {"type": "ping"}\n\n',
    "chunks without a choice": b'data: {"choices": []}\n\n',
    "empty deltas": chunk(),
    "deltas with an empty text": chunk(content=""),
    "a role again and again": chunk(role="assistant"),
}
PIECES = {
    "text": chunk(content="x"),
    "reasoning": chunk(reasoning_content="x"),
    "a tool's arguments": chunk(tool_calls=[{"index": 0, "function": {"arguments": "x"}}]),
}


async def ask(reply: Reply, **limits: float) -> tuple[Any, float]:
    began = asyncio.get_running_loop().time()
    async with standing_in(reply) as service:
        answer = await answered(service, [], **{f"model_{name}": limit for name, limit in limits.items()})
    return answer, asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
async def test_signs_of_life_are_no_pieces_of_an_answer(sign: bytes) -> None:
    answer, _ = await ask(Reply((HI,), forever=sign), silence_s=SHORT_S, first_piece_s=10)
    assert (answer.status, answer.content, answer.error) == ("interrupted", "hi", GONE_SILENT)


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
async def test_before_the_first_piece_only_its_own_limit_counts(sign: bytes) -> None:
    answer, took_s = await ask(
        Reply((b": loading\n\n",), forever=sign), silence_s=SHORT_S / 10, first_piece_s=3 * SHORT_S
    )
    assert (answer.status, answer.error) == ("failed", GONE_SILENT)
    assert took_s >= 3 * SHORT_S


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
async def test_a_turn_that_goes_on_and_on_ends_all_the_same(piece: bytes) -> None:
    answer, took_s = await ask(Reply((HI,), forever=piece), silence_s=10 * SHORT_S, turn_s=20 * SHORT_S)
    assert (answer.status, answer.error) == ("interrupted", "the answer took longer than 2 seconds")
    assert took_s >= 20 * SHORT_S


async def test_a_refusal_that_does_not_end_is_left_too() -> None:
    answer, _ = await ask(Reply((b'{"error":',), status=500, forever=b""), first_piece_s=SHORT_S)
    assert (answer.status, answer.error) == ("failed", GONE_SILENT)


@pytest.mark.parametrize("sign", [b"", b": ping\n\n", chunk()], ids=["nothing", "comments", "empty deltas"])
async def test_who_said_why_it_ended_need_not_hang_up(sign: bytes) -> None:
    answer, _ = await ask(Reply((HI, STOP), forever=sign), silence_s=5 * SHORT_S)
    assert (answer.status, answer.content, answer.error) == ("complete", "hi", None)


async def test_nobody_there_is_told_as_such() -> None:
    async with standing_in(Reply()) as service:
        pass
    answer = await answered(service)
    assert (answer.status, answer.error) == (
        "failed",
        "the connection to the model's service broke: ClientConnectorError",
    )
