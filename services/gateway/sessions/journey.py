"""What a helper says first, where a session begins with its journey."""


def first_words(_helper: str | None) -> str | None:
    """Return the message that a helper begins a session with; None where it has none, as no helper has yet."""
    return None
