"""Little room on the disk, said while there is still some: the servers say it only when they have none."""

import shutil
from pathlib import Path

LITTLE_BYTES = 1_000_000_000  # A gigabyte: an hour or so of a busy day's write-ahead log, messages and logs.


def little_disk(directory: Path) -> str:
    """Say how little room there is for what is kept here; empty where there is enough, or nothing is kept."""
    if not directory.exists():
        return ""
    free = shutil.disk_usage(directory).free
    if free >= LITTLE_BYTES:
        return ""
    return (
        f"little disk: {free / 1e6:.0f} MB are free for {directory}. With none PostgreSQL stops, and below 100 MB"
        " RabbitMQ refuses every message: make room"
    )
