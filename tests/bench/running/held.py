"""`tripthread serve gateway`, with no more than 512 MB of data of its own: `python -m tests.bench.running.held`."""

import resource
import runpy
import sys

GIVEN = 512 * 2**20  # bytes, which deploy/compose.yaml gives a gateway


def main() -> None:
    # What the process has written or may write, as pages: never less than what is resident of it, its code aside.
    resource.setrlimit(resource.RLIMIT_DATA, (GIVEN, GIVEN))
    sys.argv = ["tripthread", "serve", "gateway"]
    runpy.run_module("deploy.cli", run_name="__main__")


if __name__ == "__main__":
    main()
