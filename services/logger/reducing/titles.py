"""The title of a conversation, from its first question."""

TITLE_LENGTH = 60
ELLIPSIS = "…"


def title_of(text: str) -> str | None:
    """Cut a message to whole words of about `TITLE_LENGTH` characters in one line; None where it has no words."""
    # Every word but the last takes two characters at least, so no more of a long message is looked at.
    enough = TITLE_LENGTH // 2 + 1
    line = " ".join(text.split(maxsplit=enough)[:enough])
    if len(line) <= TITLE_LENGTH:
        return line or None
    whole_words = line[: TITLE_LENGTH + 1].rpartition(" ")[0]
    return (whole_words or line[:TITLE_LENGTH]) + ELLIPSIS
