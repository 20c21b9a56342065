"""How long a message takes to the broker's confirm and to its commit, under a steady load that fills nothing up."""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import quantiles

import asyncpg

from shared.events import MessageEvent
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.bench.measuring.drain import until_stored
from tests.bench.running.servers import process
from tests.bench.workload.load import conversations, put

PER_S = 500
WARM_UP_S = 2.0


@dataclass(frozen=True)
class Latency:
    p50_ms: float
    p99_ms: float


async def measure(settings: Settings, owner: asyncpg.Connection, seconds: float) -> tuple[Latency, Latency]:
    """Return the latency to the commit and that to the confirm, of the same messages."""
    await owner.execute("TRUNCATE chat.sessions, chat.traces CASCADE")
    messages = list(islice(conversations(), int((WARM_UP_S + seconds) * PER_S)))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "committed")
        with process(["tests.bench.running.timed_logger", str(file)], settings) as logger:
            sent, confirmed = await _publish_steadily(settings, messages)
            await until_stored(owner, len(messages), logger)
        committed = _read(file)
    counted = [str(event.event_id) for event in messages[int(WARM_UP_S * PER_S) :]]
    return (
        _latency([committed[event_id] - sent[event_id] for event_id in counted]),
        _latency([confirmed[event_id] - sent[event_id] for event_id in counted]),
    )


def _read(file: Path) -> dict[str, int]:
    noted: dict[str, int] = json.loads(file.read_text())
    return noted


async def _publish_steadily(settings: Settings, messages: list[MessageEvent]) -> tuple[dict[str, int], dict[str, int]]:
    """Publish at a fixed rate, whatever the confirms do; return when each was sent, and when confirmed."""
    sent: dict[str, int] = {}
    confirmed: dict[str, int] = {}

    async def send(publisher: Publisher, event: MessageEvent) -> None:
        sent[str(event.event_id)] = time.monotonic_ns()
        await put(publisher, event)
        confirmed[str(event.event_id)] = time.monotonic_ns()

    async with Publisher(settings, "bench") as publisher, asyncio.TaskGroup() as sending:
        began = time.monotonic()
        for number, event in enumerate(messages):
            await asyncio.sleep(max(0.0, began + number / PER_S - time.monotonic()))
            sending.create_task(send(publisher, event))
    return sent, confirmed


def _latency(nanoseconds: list[int]) -> Latency:
    cuts = quantiles(nanoseconds, n=100)
    return Latency(p50_ms=cuts[49] / 1e6, p99_ms=cuts[98] / 1e6)
