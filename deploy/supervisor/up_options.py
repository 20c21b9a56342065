"""The options of `./run up`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UpOptions:
    """What was asked for."""

    mode: str | None  # "native" or "docker"; None chooses.
    detach: bool
    counts: dict[str, int]  # how many processes of each service


def parse_up_options(arguments: Sequence[str]) -> UpOptions:
    """Read the options; a wrong one ends the program with a message."""
    parser = argparse.ArgumentParser(
        prog="./run up",
        description="Start everything and say where it is. Said to a running stack, it adds what is missing.",
    )
    where = parser.add_mutually_exclusive_group()
    for mode, how in (("native", "as processes of this machine"), ("docker", "by docker compose")):
        where.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, help=f"run it {how}")
    parser.add_argument("--detach", action="store_true", help="return when everything is ready; end it with ./run down")
    for kind in ("gateway", "logger", "tagger", "workflow"):
        parser.add_argument(f"--{kind}s", type=_count, default=1, metavar="N", help=f"run N {kind} processes (native)")
    options = parser.parse_args(arguments)
    counts = {kind: getattr(options, f"{kind}s") for kind in ("gateway", "logger", "tagger", "workflow")}
    return UpOptions(options.mode, options.detach, counts)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 32:
        message = "between 1 and 32"
        raise argparse.ArgumentTypeError(message)
    return number
