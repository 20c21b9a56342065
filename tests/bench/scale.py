"""What a second gateway and a second logger bring, on as many cores as there are."""

import argparse
import os
from collections.abc import Mapping
from statistics import median

from tests.bench.measuring.budgets import TWO_OF_EACH
from tests.bench.running.stack import ONE_OF_EACH, Measured, running_stack

AT_ONCE = 50
WARM_UP = 200
TWO: Mapping[str, int] = {"gateway": 2, "logger": 2}


async def run(options: argparse.Namespace) -> None:
    """Print one line: the turns a second of two of each, and of one, and what each process took for a turn."""
    seen: dict[int, list[Measured]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for number, copies in ((1, ONE_OF_EACH), (2, TWO)):
            async with running_stack(options.pause_ms, copies=copies) as stack:
                await stack.measure(AT_ONCE, WARM_UP)
                seen[number].append(await stack.measure(AT_ONCE, options.turns))
    two, one = ([each.talk.turns_per_s for each in seen[number]] for number in (2, 1))
    TWO_OF_EACH.report(two, one, cores=os.cpu_count(), cpu_ms=_each(seen[2]), cpu_ms_of_one=_each(seen[1]))


def _each(rounds: list[Measured]) -> dict[str, float]:
    return {name: round(median(each.cpu_ms[name] for each in rounds), 2) for name in rounds[0].cpu_ms}
