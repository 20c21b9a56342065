"""Users of a client of OpenAI's, who talk while everything dies: each sends all that was said, and knows no session.

What did not come to its end is sent again as it was, with the same key.
"""

import asyncio
import random
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from shared.ids import derived_id, new_id
from tests.connected.faults.talkers import A_THOUGHT_S, PACES_MS, SESSION_SAYS, Said, Shown, Talk


async def complete_on(talk: Talk, number: int) -> None:
    """Be such a user until it is over; begin another conversation now and then."""
    choose = random.Random(number)
    while not talk.is_over:
        history: list[dict[str, Any]] = []
        sessions: set[str] = set()
        while len(sessions) <= 1 and len(history) < 2 * SESSION_SAYS and not (talk.is_over and history):
            pace = f"[chunks 8] [slow {choose.choice(PACES_MS)}]"
            message = Said(f"client {number}", "", "", f"{pace} [echo an answer to {number}: {new_id().hex}]")
            history.append({"role": "user", "content": message.text})
            shown = await _complete(talk, message, history, choose)
            history.append({"role": "assistant", "content": shown.text})
            sessions.add(message.session)
            talk.said.append(message)
            await asyncio.sleep(A_THOUGHT_S)
        if len(sessions) > 1:
            talk.odd.append(f"one history is of the sessions {sessions}")


async def _complete(talk: Talk, message: Said, history: list[dict[str, Any]], choose: random.Random) -> Shown:
    """Ask until an answer is seen to its end."""
    body = {"model": "sandbox-small", "messages": history, "stream": choose.random() < 0.5}
    headers = talk.headers(message.user) | {"Idempotency-Key": new_id().hex}
    while True:
        shown = Shown()
        try:
            url = f"{choose.choice(talk.gateways)}/v1/chat/completions"
            async with talk.http.post(url, json=body, headers=headers) as response:
                if response.status == 200:
                    await (_read_stream if body["stream"] else _read_whole)(response, shown)
                    message.session = response.headers["X-Session-Id"]
                    message.message_id = str(derived_id(UUID(response.headers["X-Turn-Id"]), "question/0"))
                else:
                    await talk.refused(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            talk.cut(error)
        if shown.end == "finish":
            message.answer = shown
            talk.counts["completions seen whole"] += 1
            return shown
        await talk.again()


async def _read_whole(response: aiohttp.ClientResponse, shown: Shown) -> None:
    (choice,) = (await response.json())["choices"]
    shown.text, shown.end = choice["message"]["content"], "finish" if choice["finish_reason"] == "stop" else "error"


async def _read_stream(response: aiohttp.ClientResponse, shown: Shown) -> None:
    """Read the pieces; one that is an error, and a stream that breaks off, end nothing."""
    finished = False
    async for line in response.content:
        if line.startswith(b"data: [DONE]"):
            shown.end = "finish" if finished else "error"
        elif line.startswith(b"data: "):
            for choice in orjson.loads(line[6:]).get("choices", ()):
                shown.text += choice["delta"].get("content") or ""
                finished = finished or choice.get("finish_reason") == "stop"
