"""What can go wrong with the demo."""


class DemoError(Exception):
    """The demo could not be played to its end; the text says at which step and why."""
