"""What an accepted message costs our processes, and how many are accepted, without a model and anybody's chat."""

import argparse

from tests.bench.measuring import accepting
from tests.bench.running.stack import running_stack


async def run(options: argparse.Namespace) -> None:
    """Print the lines of messages alone, which the gateway's benchmark prints too."""
    async with running_stack(options.pause_ms) as stack:
        await accepting.run(stack, options.rounds)
