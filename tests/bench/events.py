"""What those who listen to events take of the gateway: its memory for each, and its time for turns of others."""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from statistics import median

from tests.bench.running.processor import cpu_s
from tests.bench.running.stack import Stack, running_stack
from tests.tokens import token_for

LISTENERS = 1000
FIRST = 50  # that are there before, for what a process takes once
AT_ONCE = 50
WARM_UP = 100
IDLE_S = 32.0  # two heartbeats
TOKEN_S = 3600
# As long as a browser's.
HEADERS = (
    "Host: gateway.test\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\n"
    "Cache-Control: no-cache\r\nReferer: http://gateway.test/chat\r\nSec-Fetch-Mode: cors\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36\r\n"
)


async def run(options: argparse.Namespace) -> None:
    """Print what a listener takes while nothing happens, and a turn's cost without listeners and with."""
    async with running_stack(options.pause_ms) as stack, AsyncExitStack() as streams:
        await stack.measure(AT_ONCE, WARM_UP)
        alone = [(await stack.measure(AT_ONCE, options.turns)).cpu_ms["gateway"] for _ in range(options.rounds)]
        await listen(stack, streams, range(FIRST))
        before = stack.gateway_mib
        await listen(stack, streams, range(FIRST, FIRST + LISTENERS))
        began = cpu_s(stack.pid("gateway"))
        await asyncio.sleep(IDLE_S)
        idle = (cpu_s(stack.pid("gateway")) - began) / IDLE_S
        taken_kb = (stack.gateway_mib - before) * 1024 * 1024 / 1000 / LISTENERS
        beside = [(await stack.measure(AT_ONCE, options.turns)).cpu_ms["gateway"] for _ in range(options.rounds)]
        line = {
            "bench": "events",
            "listeners": LISTENERS,
            "kb_each": round(taken_kb, 1),
            "must_kb_each": 30,
            "idle_percent_of_a_core": round(100 * idle, 2),
            "gateway_ms_a_turn_of_others": {
                "no_listeners": round(median(alone), 3),
                "listeners": round(median(beside), 3),
            },
        }
        print(json.dumps(line), flush=True)


async def listen(stack: Stack, streams: AsyncExitStack, numbers: range) -> None:
    """Open a stream for each of these users, who never talk, and wait until it has begun."""
    for number in numbers:
        token = token_for(stack.settings, f"listener-{number}", expires_in_s=TOKEN_S)
        reader, writer = await asyncio.open_connection(stack.settings.http_host, stack.settings.http_port, limit=2048)
        streams.callback(writer.close)
        writer.write(f"GET /api/events HTTP/1.1\r\n{HEADERS}Authorization: Bearer {token}\r\n\r\n".encode())
        await reader.readuntil(b"id: ")
