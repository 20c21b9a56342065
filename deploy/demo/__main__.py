"""Play the demo against the stack that `.run/env` describes."""

import asyncio
import os
import sys
from pathlib import Path

from deploy.demo.play import DemoError, play
from deploy.demo.stack import Stack


def main() -> int:
    """Play, and say what went wrong where something did."""
    try:
        stack = Stack.of(_environment())
        asyncio.run(play(stack))
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


def _environment() -> dict[str, str]:
    """Read `.run/env` of the running stack; variables that are set come before it."""
    file = Path(".run/env")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {**dict(line.split("=", 1) for line in lines if "=" in line), **os.environ}


if __name__ == "__main__":
    sys.exit(main())
