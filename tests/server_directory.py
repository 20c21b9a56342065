"""Where the servers of tests keep their data: in memory where there is plenty, else on the disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - what we make there is nobody else's
PLENTY_BYTES = 8 * 2**30  # a worker's servers take some 300 MB, and there are up to four workers


@contextmanager
def server_directory(name: str) -> Iterator[Path]:
    """Make a directory for the length of the block.

    A database of its own for each test is 360 small files, which a disk makes in 100 to 400 ms of a processor, and
    memory in 25. Of a power cut no test tells: what was written outlives the process that is killed in both.
    """
    parent = MEMORY if _plenty(MEMORY) else None
    if parent:
        sweep(parent)
    prefix = f"tripthread-{name}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def _plenty(memory: Path) -> bool:
    try:
        free, text = shutil.disk_usage(memory).free, Path("/proc/meminfo").read_text()
    except OSError:
        return False
    lines = (line.split() for line in text.splitlines())
    available = next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), 0)
    return min(free, available) >= PLENTY_BYTES and os.access(memory, os.W_OK)


def sweep(parent: Path) -> None:
    """Remove what tests have left that were killed: memory is not emptied as a disk's temporary directory is."""
    for left in parent.glob("tripthread-*-*-*"):
        maker = left.name.split("-")[2]
        if maker.isdigit() and not Path("/proc", maker).exists():
            shutil.rmtree(left, ignore_errors=True)
