"""Some tests measure what another test beside them would change: while one of those runs, no other worker runs any.

Two locks on files that are always there: whoever is about to run a test takes the door, then the room, and leaves the
door. A test takes the room together with the others', one that is marked `alone` by itself; behind the door it is
waited for, so that it gets its turn.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOOR = Path(__file__).with_name("conftest.py")
ROOM = Path(__file__)


@contextmanager
def turn(*, alone: bool, door: Path = DOOR, room: Path = ROOM) -> Iterator[None]:
    """Wait until a test may run, and hold the others back as far as it needs."""
    with _locked(door, fcntl.LOCK_EX) as opened, _locked(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        fcntl.flock(opened, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(file: Path, how: int) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)
