"""What a turn costs our processes, without anybody to compare with; with `--profile`, where in the gateway."""

import argparse
import json
import sys

from tests.bench.profiled import PROFILER, profiling
from tests.bench.stack import running_stack
from tests.bench.tools import installed

AT_ONCE = 50
WARM_UP = 100


async def run(options: argparse.Namespace) -> None:
    """Print a line for each round; and a table of the last one's steps, of those that were profiled."""
    if options.profile:
        installed(*PROFILER)
    async with running_stack(options.pause_ms) as stack:
        await stack.measure(AT_ONCE, WARM_UP)
        for _ in range(options.rounds):
            seen = await stack.measure(AT_ONCE, options.turns)
            line = {
                "bench": "turn",
                "turns": seen.talk.turns,
                "turns_per_s": round(seen.talk.turns_per_s, 1),
                "first_piece_p50_ms": round(seen.talk.first_piece_p50_ms, 1),
                "cpu_ms": {name: round(ms, 2) for name, ms in seen.cpu_ms.items()},
                "cpu_ms_together": round(seen.stack_ms, 2),
            }
            print(json.dumps(line), flush=True)
        if options.profile:
            # Without the wait at its end: what is sampled then is what turns do.
            with profiling(stack.gateway_pid) as profile:
                await stack.talk(AT_ONCE, options.turns)
            sys.stdout.write(profile.table(seen.cpu_ms["gateway"]))
