"""The logger's budgets: how fast it drains its queue, how soon a message is committed, what memory it takes."""

import argparse

import asyncpg

from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from tests.bench.compared.litellm import idle_resident_mib
from tests.bench.measuring.budgets import COMMIT_P50, COMMIT_P99, DRAIN_INSERT, DRAIN_RAW, MEMORY
from tests.bench.measuring.drain import Drain, drain
from tests.bench.measuring.latency import Latency, measure
from tests.bench.running.servers import private_servers

OURS = ("deploy.cli", "serve", "logger")
RAW = ("tests.bench.compared.raw_consumer",)
INSERT = ("tests.bench.compared.insert_consumer",)


async def run(options: argparse.Namespace) -> None:
    drains: dict[tuple[str, ...], list[Drain]] = {OURS: [], RAW: [], INSERT: []}
    latencies: list[tuple[Latency, Latency]] = []
    with private_servers() as settings:
        async with open_connection(settings, "bench", Declaring().declare):
            pass  # no gateway runs here, which makes the queues
        owner = await asyncpg.connect(settings.database_url)
        for number in range(options.rounds):
            for consumer in list(drains) if number % 2 else list(drains)[::-1]:
                drains[consumer].append(
                    await drain(settings, owner, consumer, options.messages, sessions_exist=consumer is INSERT)
                )
            latencies.append(await measure(settings, owner, options.seconds))
        await owner.close()
    _report(drains, latencies)
    memory = [found.resident_mib for found in drains[OURS]]
    if options.with_litellm:
        MEMORY.report(memory, [await idle_resident_mib()] * len(memory))
    else:
        MEMORY.report_alone(memory, "--with-litellm installs what it is compared with")


def _report(drains: dict[tuple[str, ...], list[Drain]], latencies: list[tuple[Latency, Latency]]) -> None:
    rates = {consumer: [found.messages_per_s for found in rounds] for consumer, rounds in drains.items()}
    DRAIN_RAW.report(rates[OURS], rates[RAW])
    DRAIN_INSERT.report(rates[OURS], rates[INSERT])
    COMMIT_P50.report([commit.p50_ms for commit, _ in latencies], [confirm.p50_ms for _, confirm in latencies])
    COMMIT_P99.report([commit.p99_ms for commit, _ in latencies], [confirm.p99_ms for _, confirm in latencies])
