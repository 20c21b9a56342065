"""Logs of bounded size: what a program prints comes to us by a pipe, and we turn the file over when it is full.

A file that the program itself has open could only be copied and cut, and what it prints in between would be lost.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LOG_BYTES = 10_000_000  # One generation: about a day of a busy service.
GENERATIONS = 4  # So many are kept beside the one that is being written: gateway.log, gateway.log.1, ...
_PIPE_BYTES = 65_536
_one_at_a_time = threading.Lock()  # A server and its helper share a log.


class Spool:
    """Takes what one launch of a program prints, until every process of it that could print has ended."""

    def __init__(self, log: Path) -> None:
        """Open the pipe: `output` is the program's end of it, ours to close once the program has it."""
        self._log = log
        self._input, self.output = os.pipe()
        self._thread = threading.Thread(target=self._take, name=f"log of {log.stem}", daemon=True)

    def start(self) -> None:
        """Give the program its end for good, and begin to write."""
        os.close(self.output)
        self._thread.start()

    def wait(self, timeout_s: float = 1.0) -> None:
        """Wait until all is written that was printed: a helper that the program has left behind may print on."""
        self._thread.join(timeout_s)

    def _take(self) -> None:
        with open(self._input, "rb", buffering=0) as printed:
            while text := printed.read(_PIPE_BYTES):
                with suppress(OSError):  # A full disk costs lines of the log, never the work of the program.
                    append(self._log, text)


def append(log: Path, text: bytes) -> None:
    """Write to the log, and turn it over at the end of a line where it is full."""
    with _one_at_a_time:
        end = _end_of_generation(log, text)
        with open_log(log) as file:
            file.write(text[:end])
        if text[end:]:
            turn_over(log)
            with open_log(log) as file:
                file.write(text[end:])


def turn_over(log: Path) -> None:
    """Make the log the first of the older generations; the oldest goes."""
    for number in range(GENERATIONS, 0, -1):
        with suppress(FileNotFoundError):
            _generation(log, number - 1).replace(_generation(log, number))


def turn_over_output(log: Path) -> None:
    """Turn over the log that our own output goes to, once it is full; a terminal or another's file stays."""
    with suppress(OSError):  # Where there is no such log, or no room for another, we go on in the old one.
        if os.path.samestat(os.fstat(1), log.stat()) and os.fstat(1).st_size >= LOG_BYTES:
            turn_over(log)
            with open_log(log) as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)


def open_log(log: Path) -> BinaryIO:
    """Open a log to add to it; it is its owner's alone, whatever the umask."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _end_of_generation(log: Path, text: bytes) -> int:
    """How much of the text the log still takes: all, or up to its last whole line, or none where it is full."""
    size = log.stat().st_size if log.exists() else 0
    if size >= LOG_BYTES:
        return 0
    return len(text) if size + len(text) < LOG_BYTES else text.rfind(b"\n") + 1 or len(text)


def _generation(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}") if number else log
