"""The one error of the supervisor."""


class Trouble(Exception):  # noqa: N818 - the commands print it to a person; it reads better without "Error".
    """Something a person has to put right; the message says what happened and what to do about it."""
