"""Text of third parties, where it is quoted: one line, without what steers a screen or a model, and not for ever."""

import re

_SPACES = re.compile(r"\s+")


def flat(text: str, most: int) -> str:
    """Return the text on one line, in `most` characters at most; what can't be seen becomes a space."""
    seen = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    line = _SPACES.sub(" ", seen).strip()
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
