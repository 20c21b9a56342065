"""How many messages of clients are accepted in a second, against the usual way: FastAPI with one INSERT each."""

import asyncio
import json
import time
from itertools import count
from statistics import median
from typing import Any

import aiohttp

from deploy.supervisor.machine.ports import free_port
from tests.bench.measuring.budgets import ACCEPT
from tests.bench.running.processor import cpu_ms_each
from tests.bench.running.servers import answers, process
from tests.bench.running.stack import TOKEN_S, USERS, Stack
from tests.bench.workload.load import QUESTION
from tests.tokens import token_for
from tests.waiting import until

AT_ONCE = 32
MESSAGES = 2000
WARM_UP = 200
SESSIONS = """
    INSERT INTO chat.sessions (user_id, session_id, last_activity_at, created_at)
    SELECT 'user-' || n, 'session-' || n, now(), now() FROM generate_series(0, $1 - 1) n
"""


async def run(stack: Stack, rounds: int) -> None:
    """Print a line for the budget, or why there is none."""
    await stack.owner.execute(SESSIONS, USERS)
    tokens = [token_for(stack.settings, f"user-{n}", expires_in_s=TOKEN_S) for n in range(USERS)]
    headers = [{"Authorization": f"Bearer {token}", "Prefer": "respond-async"} for token in tokens]
    ours, theirs, cpu_ms = list[float](), list[float](), list[dict[str, float]]()
    port = free_port()
    other_url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        if not await _has_route(http, stack.url, headers[0]):
            hint = "this gateway has no POST /api/chat/sessions/{id}/messages yet, so nothing was measured"
            print(json.dumps({"budget": ACCEPT.number, "name": ACCEPT.name, "hint": hint}), flush=True)
            return
        with process(["tests.bench.compared.insert_api", str(port)], stack.settings):
            await until(lambda: answers(f"{other_url}/readyz"), "who inserts")
            for url, status in ((stack.url, 202), (other_url, 201)):
                await _post(http, url, headers, status, WARM_UP)
            for _ in range(rounds):
                before = stack.cpu_s()
                ours.append(await _post(http, stack.url, headers, 202, MESSAGES))
                await stack.drained()
                cpu_ms.append(cpu_ms_each(before, stack.cpu_s(), MESSAGES))
                theirs.append(await _post(http, other_url, headers, 201, MESSAGES))
    processes = {name: round(median(each[name] for each in cpu_ms), 2) for name in cpu_ms[0]}
    ACCEPT.report(ours, theirs, cpu_ms=processes)


def _message(number: int) -> dict[str, Any]:
    text = f"{number}. {QUESTION}"
    return {"role": "user", "content": text, "parts": [{"type": "text", "text": text}]}


async def _has_route(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> bool:
    async with http.post(f"{url}/api/chat/sessions/session-0/messages", headers=headers, json=_message(0)) as answer:
        return answer.status != 405


async def _post(
    http: aiohttp.ClientSession, url: str, headers: list[dict[str, str]], status: int, messages: int
) -> float:
    """Return how many are accepted in a second, of ever other users."""
    numbers = count()

    async def post_many() -> None:
        while (number := next(numbers)) < messages:
            place = f"{url}/api/chat/sessions/session-{number % USERS}/messages"
            async with http.post(place, headers=headers[number % USERS], json=_message(number)) as answer:
                said = await answer.read()
                assert answer.status == status, f"{answer.status}: {said!r}"

    began = time.monotonic()
    async with asyncio.TaskGroup() as posting:
        for _ in range(AT_ONCE):
            posting.create_task(post_many())
    return messages / (time.monotonic() - began)
