"""`./run bench [NAME ...]`: measure, and print one line of JSON for each budget."""

import argparse
from importlib import import_module

import uvloop

from tests.bench.workload.callers import CALLERS

BENCHMARKS = (
    "logger",
    "tagger",
    "reader",
    "hostile",
    "gateway",
    "accept",
    "turn",
    "scale",
    "events",
    "sessions",
    "traces",
    "workflow",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; all of them if none")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement, interleaved; the median counts")
    parser.add_argument("--messages", type=int, default=20_000, help="in a queue that is drained")
    parser.add_argument("--stored", type=int, default=100_000, help="messages of sessions, against 10,000")
    parser.add_argument("--traces", type=int, default=100_000, help="stored ones, against 10,000")
    parser.add_argument("--seconds", type=float, default=8, help="that a steady load lasts")
    parser.add_argument("--turns", type=int, default=1500, help="of one measurement of the gateway, at 50 connections")
    parser.add_argument("--trips", type=int, default=500, help="of which notices come, 20 each")
    parser.add_argument("--pause-ms", type=float, default=2, help="between two chunks of the model that is asked")
    parser.add_argument(
        "--callers", choices=CALLERS, default="secret", help="of turn: by which credentials its users call"
    )
    parser.add_argument("--attack", help="of hostile: this one alone")
    parser.add_argument(
        "--profile", action="store_true", help="of turn: install py-spy below .run/, say where time goes"
    )
    parser.add_argument("--with-litellm", action="store_true", help="install LiteLLM below .run/ to compare memory")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark called {', '.join(sorted(unknown))}")
    for name in options.names or BENCHMARKS:
        uvloop.run(import_module(f"tests.bench.{name}").run(options))


if __name__ == "__main__":
    main()
