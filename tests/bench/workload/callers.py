"""By which credentials the users of a benchmark call: a token that we sign, a provider's, or an API key."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import aiohttp

from tests.bench.running.stack import TOKEN_S, USERS, Stack
from tests.stand_ins.identity_provider import KEYS_PATH, public_jwk, running_provider, sign
from tests.tokens import token_for
from tests.waiting import PATIENCE_S

CALLERS = ("secret", "provider", "key")
ALGORITHM = "RS256"  # the dearest of those that providers use


@asynccontextmanager
async def believed_provider(callers: str) -> AsyncIterator[str]:
    """Run an identity provider where it is asked for, and return where it shows its keys; else nothing."""
    if callers != "provider":
        yield ""
        return
    async with running_provider() as provider:
        provider.keys = [public_jwk("bench", ALGORITHM)]
        yield provider.url + KEYS_PATH


async def call_by(stack: Stack, callers: str) -> None:
    """Give the users of a stack the credentials that it is to be measured with."""
    users = [f"user-{n}" for n in range(USERS)]
    if callers == "provider":
        stack.tokens = cycle([sign("bench", ALGORITHM, sub=user, exp=_end()) for user in users])
    elif callers == "key":
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(stack.url, timeout=timeout) as http:
            stack.tokens = cycle([await _key(stack, http, user) for user in users])


def _end() -> int:
    return int(time.time()) + TOKEN_S


async def _key(stack: Stack, http: aiohttp.ClientSession, user: str) -> str:
    headers = {"Authorization": f"Bearer {token_for(stack.settings, user)}"}
    async with http.post("/api/keys", json={"name": "bench"}, headers=headers) as answer:
        key: str = (await answer.json())["key"]["token"]
        return key
