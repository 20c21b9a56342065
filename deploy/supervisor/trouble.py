"""The one error of the supervisor."""


class Trouble(Exception):
    """Something a person has to put right; the message says what happened and what to do about it."""
