"""What a list of conversations shows of one: a title from its first question, and a preview of its newest message."""

TITLE_LENGTH = 60
PREVIEW_LENGTH = 200  # the gateway cuts what is not stored yet to the same length
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


def preview_of(text: str) -> str:
    """Cut a message to its beginning."""
    return text[:PREVIEW_LENGTH]
