"""What a turn of `/v1/chat/completions` costs beside LiteLLM's proxy and Portkey's gateway, which record nothing.

Each user sends all that was said with each question, and knows no session. Consumers are stopped while we are measured
as the prototype was, and run for a measurement of their own.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tests.bench.compared import portkey
from tests.bench.compared.litellm import LiteLLM
from tests.bench.measuring.budgets import COMPLETIONS, COMPLETIONS_OF_ALL, PORTKEY
from tests.bench.running.processor import cpu_s
from tests.bench.running.stack import Stack
from tests.bench.workload.talk import CompletionTalker, talk

AT_ONCE, FEWER = 50, 3
AT_TEN = 10
CONSUMERS = ("logger", "tagger", "workflow")
HINT = "could not be installed below .run/"


class Sides:
    """Ours, and those that we are compared with."""

    def __init__(self, stack: Stack, proxy: LiteLLM | None, other: tuple[str, dict[str, str]] | None) -> None:
        self._stack = stack
        self._proxy = proxy
        self._other = other

    async def ours(self, connections: int, turns: int, *, streams: bool) -> tuple[float, float]:
        """Return turns a second, and the gateway's milliseconds of processor time for one."""
        talkers = [
            CompletionTalker(self._stack.url, {}, tokens=self._stack.tokens, streams=streams)
            for _ in range(connections)
        ]
        before = cpu_s(self._stack.pid("gateway"))
        done = await talk([*talkers], turns)
        return done.turns_per_s, (cpu_s(self._stack.pid("gateway")) - before) * 1000 / done.turns

    async def litellm(self, turns: int, *, streams: bool) -> float | None:
        if self._proxy is None:
            return None
        talkers = [CompletionTalker(self._proxy.url, self._proxy.headers, streams=streams) for _ in range(AT_ONCE)]
        return (await talk([*talkers], turns // FEWER)).turns_per_s

    async def portkey(self, turns: int) -> float | None:
        if self._other is None:
            return None
        url, headers = self._other
        return (await talk([CompletionTalker(url, headers, streams=False) for _ in range(AT_TEN)], turns)).turns_per_s


async def run(stack: Stack, proxy: LiteLLM | None, rounds: int, turns: int) -> None:
    """Print a line for each budget."""
    is_there = await portkey.can_be_run()
    async with portkey.running_portkey(stack.model_url) if is_there else nullcontext() as other:
        sides = Sides(stack, proxy, other)
        for streams in (False, True):
            await _beside_litellm(stack, sides, rounds, turns, streams=streams)
        await _beside_portkey(stack, sides, rounds, turns)


async def _beside_litellm(stack: Stack, sides: Sides, rounds: int, turns: int, *, streams: bool) -> None:
    alone, of_all, theirs = list[tuple[float, float]](), list[tuple[float, float]](), list[float | None]()
    for number in range(rounds):
        with _stopped(stack):
            alone.append(await sides.ours(AT_ONCE, turns, streams=streams))
        await stack.drained()
        theirs.append(await sides.litellm(turns, streams=streams))
        of_all.append(await sides.ours(AT_ONCE, turns, streams=streams))
        await stack.drained()
        print(f"completions: round {number + 1} of {rounds} is done", file=sys.stderr)
    beside = [each for each in theirs if each is not None]
    for budget, ours in ((COMPLETIONS[streams], alone), (COMPLETIONS_OF_ALL[streams], of_all)):
        cpu = [round(cpu_ms, 2) for _, cpu_ms in ours]
        rates = [rate for rate, _ in ours]
        if beside:
            budget.report(rates, beside, gateway_cpu_ms=cpu)
        else:
            budget.report_alone(rates, f"LiteLLM {HINT}", gateway_cpu_ms=cpu)


async def _beside_portkey(stack: Stack, sides: Sides, rounds: int, turns: int) -> None:
    ours, theirs = list[float](), list[float | None]()
    for _ in range(rounds):
        theirs.append(await sides.portkey(turns))
        with _stopped(stack):
            ours.append((await sides.ours(AT_TEN, turns, streams=False))[0])
        await stack.drained()
    beside = [each for each in theirs if each is not None]
    if beside:
        PORTKEY.report(ours, beside)
    else:
        PORTKEY.report_alone(ours, f"Portkey {HINT}")


@contextmanager
def _stopped(stack: Stack) -> Iterator[None]:
    """Let the consumers take nothing in the block."""
    pids = [stack.pid(name) for name in CONSUMERS]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
