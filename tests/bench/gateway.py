"""The gateway's budgets: what a turn costs and how soon it begins, against LiteLLM's proxy on the same model.

Ours is a turn of `POST /api/chat`, which is recorded, tagged and remembered; theirs is a request that is passed on.
Both run all the time and are asked in turn. The model and those who ask are counted nowhere.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median

from tests.bench.compared.litellm import LiteLLM, can_be_run, proxy_of
from tests.bench.measuring import accepting, completions
from tests.bench.measuring.budgets import CHAT_RATE, FIRST_PIECE, GATEWAY_CPU, GATEWAY_MEMORY, STACK_CPU, Budget
from tests.bench.running.stack import Measured, Stack, running_stack
from tests.bench.workload.talk import CompletionTalker, Talk, talk

AT_ONCE = 50
FIRST_PIECES = {1: 40, 10: 200}  # turns, by the connections on which they are begun
WARM_UP = 100
FEWER = 3  # so many times fewer requests to LiteLLM, which is slower
HINT = "LiteLLM, which it is compared with, could not be installed below .run/"


@dataclass(frozen=True)
class Theirs:
    """What LiteLLM took for its requests."""

    talk: Talk
    cpu_ms: float


@dataclass
class Seen:
    """What was measured in all rounds."""

    ours: list[Measured] = field(default_factory=list)
    theirs: list[Theirs] = field(default_factory=list)
    ours_added_ms: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in FIRST_PIECES})
    theirs_added_ms: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in FIRST_PIECES})
    direct_ms: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in FIRST_PIECES})


class Comparison:
    """Ours, theirs, and the model that both ask."""

    def __init__(self, stack: Stack, proxy: LiteLLM | None, model_url: str, turns: int) -> None:
        self._stack = stack
        self._proxy = proxy
        self._model_url = model_url
        self._turns = turns
        self.seen = Seen()

    async def warm_up(self) -> None:
        """Do once what is slow once."""
        await self._stack.talk(AT_ONCE, WARM_UP)
        await self._stack.drained()
        if self._proxy:
            await _complete(self._proxy.url, AT_ONCE, WARM_UP, self._proxy.headers)

    async def round(self, *, theirs_first: bool) -> None:
        """Measure each once."""
        for ask in (self._ask_them, self._ask_us) if theirs_first else (self._ask_us, self._ask_them):
            await ask()
        for connections, turns in FIRST_PIECES.items():
            await self._await_first_pieces(connections, turns)

    async def _ask_us(self) -> None:
        self.seen.ours.append(await self._stack.measure(AT_ONCE, self._turns))

    async def _ask_them(self) -> None:
        if self._proxy is None:
            return
        before = self._proxy.cpu_s
        done = await _complete(self._proxy.url, AT_ONCE, self._turns // FEWER, self._proxy.headers)
        self.seen.theirs.append(Theirs(done, (self._proxy.cpu_s - before) * 1000 / done.turns))

    async def _await_first_pieces(self, connections: int, turns: int) -> None:
        direct = (await _complete(self._model_url, connections, turns, {})).first_piece_p50_ms
        ours = (await self._stack.talk(connections, turns)).first_piece_p50_ms
        await self._stack.drained()
        self.seen.direct_ms[connections].append(direct)
        self.seen.ours_added_ms[connections].append(ours - direct)
        if self._proxy:
            theirs = (await _complete(self._proxy.url, connections, turns, self._proxy.headers)).first_piece_p50_ms
            self.seen.theirs_added_ms[connections].append(theirs - direct)


async def run(options: argparse.Namespace) -> None:
    """Print a line for each budget."""
    async with running_stack(options.pause_ms) as stack:
        async with proxy_of(stack.model_url) if await can_be_run() else nullcontext() as proxy:
            comparison = Comparison(stack, proxy, stack.model_url, options.turns)
            await comparison.warm_up()
            for number in range(options.rounds):
                await comparison.round(theirs_first=number % 2 == 1)
                print(f"gateway: round {number + 1} of {options.rounds} is done", file=sys.stderr)
            _report(comparison.seen)
            memory = [stack.gateway_mib]
            _print(GATEWAY_MEMORY, memory, [proxy.resident_mib] if proxy else [])
            await completions.run(stack, proxy, options.rounds, options.turns)
        await accepting.run(stack, options.rounds)


async def _complete(url: str, connections: int, turns: int, headers: dict[str, str]) -> Talk:
    return await talk([CompletionTalker(url, headers) for _ in range(connections)], turns)


def _report(seen: Seen) -> None:
    for connections, budget in FIRST_PIECE.items():
        direct = _rounded(seen.direct_ms[connections])
        _print(budget, seen.ours_added_ms[connections], seen.theirs_added_ms[connections], direct=direct)
    ours, theirs = [each.talk.turns_per_s for each in seen.ours], [each.talk.turns_per_s for each in seen.theirs]
    _print(CHAT_RATE, ours, theirs)
    processes = {name: round(median(each.cpu_ms[name] for each in seen.ours), 2) for name in seen.ours[0].cpu_ms}
    cpu_ms = [each.cpu_ms for each in seen.theirs]
    _print(STACK_CPU, [each.stack_ms for each in seen.ours], cpu_ms, processes=processes)
    _print(GATEWAY_CPU, [each.cpu_ms["gateway"] for each in seen.ours], cpu_ms)


def _print(budget: Budget, ours: Sequence[float], theirs: Sequence[float], **beside: object) -> None:
    if theirs:
        budget.report(ours, theirs, **beside)
    else:
        budget.report_alone(ours, HINT, **beside)


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]
