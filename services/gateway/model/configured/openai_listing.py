"""A program that asks the model's service which models it has.

It reads `{"url", "key", "headers"}` from stdin, and says `{"models": [...]}`, `{"models": null}` where the service has
no list, or `{"away": why}`. See `listing.py` for why it is a process of its own.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, Omit, OpenAIError

TIMEOUT_S = 10.0  # for connecting, and for each pause in the answer
NO_KEY = "none"  # the client wants one, and a service without keys does not mind
NO_SUCH_LIST = frozenset((404, 405, 410, 501))


async def ask(url: str, key: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """Ask once, by the way that chats go: without the environment's proxies, and with the system's certificates."""
    http = DefaultAsyncHttpxClient(trust_env=False, verify=ssl.create_default_context())
    base, _, query = url.partition("?")
    ours: dict[str, str | Omit] | None = {"Authorization": Omit(), **headers} if headers else None
    client = AsyncOpenAI(
        base_url=base,
        api_key=key or NO_KEY,
        default_query=dict(parse_qsl(query)),
        timeout=TIMEOUT_S,
        max_retries=0,
        http_client=http,
    )
    try:
        async with client:
            # Raw, since the client takes for granted that an answer has the right shape.
            answer = await client.models.with_raw_response.list(extra_headers=ours)
            return {"models": names(answer.http_response.content)}
    except APIStatusError as error:
        # Not its text, which may repeat the key.
        return {"models": None} if error.status_code in NO_SUCH_LIST else {"away": f"it answers {error.status_code}"}
    except OpenAIError as error:
        return {"away": type(error.__cause__ or error).__name__}


def names(body: bytes) -> list[str] | None:
    """Return the ids of the models in a list, None where this is no list."""
    try:
        models = json.loads(body)["data"]
    except (ValueError, LookupError, TypeError):
        return None
    if not isinstance(models, list):
        return None
    ids = (model.get("id") for model in models if isinstance(model, dict))
    return [name for name in ids if isinstance(name, str)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(ask(**json.load(sys.stdin)))))
