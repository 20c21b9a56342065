"""What a turn costs our processes, without anybody to compare with; with `--profile`, where in them."""

import argparse
import json
import sys
from contextlib import ExitStack

from tests.bench.running.profiled import PROFILER, profiling
from tests.bench.running.stack import Measured, Stack, running_stack
from tests.bench.running.statements import count_anew, statements_table
from tests.bench.running.tools import installed
from tests.bench.workload.callers import believed_provider, call_by

AT_ONCE = 50
WARM_UP = 100
PROFILED = ("gateway", "logger", "tagger")


async def run(options: argparse.Namespace) -> None:
    """Print a line for each round; and tables of the last one's steps and statements, of those that were profiled."""
    if options.profile:
        installed(*PROFILER)
    async with (
        believed_provider(options.callers) as jwks_url,
        running_stack(options.pause_ms, counting_statements=options.profile, jwt_jwks_url=jwks_url) as stack,
    ):
        await call_by(stack, options.callers)
        await stack.measure(AT_ONCE, WARM_UP)
        for _ in range(options.rounds):
            seen = await stack.measure(AT_ONCE, options.turns)
            line = {
                "bench": "turn",
                "callers": options.callers,
                "turns": seen.talk.turns,
                "turns_per_s": round(seen.talk.turns_per_s, 1),
                "first_piece_p50_ms": round(seen.talk.first_piece_p50_ms, 1),
                "cpu_ms": {name: round(ms, 2) for name, ms in seen.cpu_ms.items()},
                "cpu_ms_together": round(seen.stack_ms, 2),
            }
            print(json.dumps(line), flush=True)
        if options.profile:
            await _print_tables(stack, seen, options.turns)


async def _print_tables(stack: Stack, seen: Measured, turns: int) -> None:
    await count_anew(stack.owner)
    with ExitStack() as profiled:
        profiles = {name: profiled.enter_context(profiling(stack.pid(name), name)) for name in PROFILED}
        # Without the wait at its end: what is sampled then is what turns do.
        talk = await stack.talk(AT_ONCE, turns)
    sys.stdout.write(await statements_table(stack.owner, talk.turns))
    for name, profile in profiles.items():
        sys.stdout.write(f"\n{name}\n{profile.table(seen.cpu_ms[name])}")
