"""What the commands say: it steers nobody's terminal, and it ends nothing where nobody reads it."""

import os
import stat
import unicodedata
from contextlib import suppress

_HARMLESS = "\n\t"
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, invisible marks that turn the direction, breaks of a line


def plain(text: str) -> str:
    """Spell out what would steer a terminal: a program's text may hold what a stranger wrote."""
    return "".join(_spelt(character) for character in text)


def say(text: str) -> None:
    """Print a line of a work that goes on, whether or not somebody still reads."""
    with suppress(OSError):  # The terminal has closed, or `head` has seen enough.
        print(plain(text), flush=True)


def forget_terminal() -> None:
    """Read and print nowhere from now on where it was a terminal: a closed one refuses every word."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        # Once it has closed it no longer says that it is one, so every character device counts.
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def forget_output() -> None:
    """Print nowhere from now on, so that the interpreter's own last flush does not fail either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _spelt(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _STEERING:
        return character
    return character.encode("unicode_escape").decode()
