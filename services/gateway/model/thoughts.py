"""Take out of an answer what the model thought before it, where its service leaves both in one text.

Servers that are not told which model they run do so (https://github.com/zed-industries/zed/pull/58042), and so does
Perplexity (https://github.com/langchain-ai/langchain/pull/38070). Only what an answer begins with is taken for a
thought: a tag further on may be what it is about.
"""

TAGS = {f"<{name}>": f"</{name}>" for name in ("think", "thinking", "thought")}


class Thoughts:
    """The text of one answer, piece by piece."""

    def __init__(self) -> None:
        self.may_come = True  # else every further piece is text
        self._held = ""  # what may be the beginning of a tag
        self._closing: str | None = None  # the tag that ends the thought; none: it has not begun
        self._has_ended = False

    def split(self, text: str) -> tuple[str, str]:
        """Return what a piece says, and what of it is thought."""
        if not self.may_come:
            return text, ""
        text, self._held = self._held + text, ""
        if self._closing is None:
            return self._begin(text)
        thought = ""
        if not self._has_ended:
            thought, tag, text = text.partition(self._closing)
            self._has_ended = bool(tag)
            if not tag:
                self._held = _beginning_of(self._closing, thought)
                return "", thought.removesuffix(self._held)
        said = text.lstrip()
        self.may_come = not said
        return said, thought

    def rest(self) -> tuple[str, str]:
        """Return what turned out to be no tag, as `split` does."""
        held, self._held = self._held, ""
        return ("", held) if self._closing else (held, "")

    def _begin(self, text: str) -> tuple[str, str]:
        begun = text.lstrip()
        opening = next((tag for tag in TAGS if begun.startswith(tag)), None)
        if opening is not None:
            self._closing = TAGS[opening]
            return self.split(begun.removeprefix(opening))
        if any(tag.startswith(begun) for tag in TAGS):
            self._held = text
            return "", ""
        self.may_come = False
        return text, ""


def _beginning_of(tag: str, text: str) -> str:
    """Return how much of a tag a text ends with."""
    return next((tag[:size] for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), "")
