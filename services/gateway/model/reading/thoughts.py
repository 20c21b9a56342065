"""Take out of an answer what the model thought before it, where its service leaves both in one text.

Servers that are not told which model they run do so (https://github.com/zed-industries/zed/pull/58042), and so does
Perplexity (https://github.com/langchain-ai/langchain/pull/38070); with gpt-oss what is left is the model's own format
(https://github.com/kekzl/imp/pull/768), and so it is with Gemma 4
(https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2013). Only what an answer begins with is taken for a
thought: a tag further on may be what it is about.
"""

TAGS = {
    **{f"<{name}>": f"</{name}>" for name in ("think", "thinking", "thought")},
    "<|channel>thought": "<channel|>",
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",
}


class Thoughts:
    """The text of one answer, piece by piece.

    Args:
        come_first: It begins with a thought although no tag says so: the tag stands in the model's prompt.
    """

    may_come = True  # else every further piece is text
    _held = ""  # what may be the beginning of a tag
    _closing: str | None = None  # the tag that ends the thought; none: it has not begun
    _has_ended = False

    def __init__(self, *, come_first: bool = False) -> None:
        self._come_first = come_first
        self._untagged: list[str] = []  # what was taken for a thought without its tag

    @property
    def has_begun(self) -> bool:
        """Whether anything has been said or thought."""
        return not self.may_come or self._closing is not None or bool(self._held)

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
                thought = thought.removesuffix(self._held)
                self._untagged += [thought] if self._come_first else []
                return "", thought
        said = text.lstrip()
        self.may_come = not said
        return said, thought

    def taken_back(self) -> str:
        """Return what was a thought only by what was expected, where an answer ends and its end never came."""
        taken, self._untagged = "".join(self._untagged), []
        return "" if self._has_ended else taken

    def rest(self) -> tuple[str, str]:
        """Return what turned out to be no tag, as `split` does."""
        held, self._held = self._held, ""
        return ("", held) if self._closing else (held, "")

    def _begin(self, text: str) -> tuple[str, str]:
        begun = text.lstrip()
        if begun.startswith("<") or not begun:
            opening = next((tag for tag in TAGS if begun.startswith(tag)), None)
            if opening is not None:
                self._closing = TAGS[opening]
                return self.split(begun.removeprefix(opening))
            if any(tag.startswith(begun) for tag in TAGS):
                self._held = text
                return "", ""
        if self._come_first:
            self._closing = next(iter(TAGS.values()))
            return self.split(text)
        self.may_come = False
        return text, ""


def begins_plainly(text: str) -> bool:
    """Tell whether an answer that begins so has no thought in its text."""
    begun = text.lstrip()
    return bool(begun) and not begun.startswith("<")


def _beginning_of(tag: str, text: str) -> str:
    """Return how much of a tag a text ends with."""
    return next((tag[:size] for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), "")
