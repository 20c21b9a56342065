"""Let a server hang: it accepts connections, and never answers."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.supervisor.private.servers import Postgres


@contextmanager
def hanging(postgres: Postgres) -> Iterator[None]:
    """Stop every process of the server for the length of the block."""
    assert postgres.pid is not None
    stopped = [postgres.pid]
    os.kill(postgres.pid, signal.SIGSTOP)  # first: it starts no other process from now on
    try:
        for pid in _children(postgres.pid):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
