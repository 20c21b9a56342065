"""Ask as clients of OpenAI's do, and read what they are told."""

import json
from dataclasses import replace
from typing import Any

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.model.relayed import Relayed
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.turn import Answer
from services.gateway.v1.told.telling import completion_of, relayed_stream
from tests.pure.gateway.samples import minutes, turn
from tests.service.gateway.model.stand_in import DONE, Reply, at_once, chunk, standing_in

ROLE = chunk(role="assistant", content="")
JSON = ("Content-Type: application/json",)


async def relayed(*body: bytes, request: Relayed | None = None, **reply: Any) -> tuple[bytes, Answer]:
    """Ask once, and return all that the client gets, and what is kept."""
    buffer = TurnBuffer(turn())
    asked: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    retold = buffer.retold = Retold(request or Relayed(), asked, 10)
    async with standing_in(Reply(body, **reply)) as service, open_upstreams(service.settings(), at_once) as upstreams:
        answer = await Answering(upstreams, buffer).run(asked)
    buffer.end(replace(buffer.turn, state=answer.status, answer=answer, answered_at=minutes(1)))
    return b"".join([piece async for piece in relayed_stream(buffer, retold)]), answer


def chunks(said: bytes) -> list[Any]:
    assert said.endswith(DONE)
    return [json.loads(line[6:]) for line in said.split(b"\n\n") if line and line != DONE.strip()]


def delta(said: Any) -> Any:
    return said["choices"][0]["delta"]


async def relayed_whole(body: Any) -> tuple[dict[str, Any], Answer]:
    """Ask once for an answer that is no stream, and return what the client gets, and what is kept."""
    buffer = TurnBuffer(turn())
    retold = buffer.retold = Retold(Relayed(streams=False), [], 0)
    reply = Reply((json.dumps(body).encode(),), headers=JSON)
    async with standing_in(reply) as service, open_upstreams(service.settings(), at_once) as upstreams:
        answer = await Answering(upstreams, buffer).run([])
    told = retold.whole if retold.whole is not None else completion_of(buffer.turn, answer)
    whole: dict[str, Any] = json.loads(told)
    return whole, answer
