"""What a person has to put right."""

import errno

_MAY_NOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Trouble(Exception):
    """Something a person has to put right; the message says what happened and what to do about it."""


def refusal(error: OSError) -> str:
    """Say what the system has refused us, and what to do about it."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno in _MAY_NOT_WRITE:
        return f"{what}. It keeps everything below .run/ and .venv/ of its checkout, and must be able to write there"
    if error.errno in _FULL:
        return f"{what}. Make room there and try again"
    return what
