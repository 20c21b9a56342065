"""Mend what no event of an answer can tell alone: halves of characters, and messages that tell again what has come."""

from services.gateway.model.chunks import Chunk
from services.gateway.model.configured.manner import Manner
from services.gateway.model.reading.surrogates import Halves


class Mending:
    """The text and the reasoning of one answer."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._text, self._reasoning = Halves(), Halves()
        self._whole_text, self._whole_reasoning = _Grown(), _Grown()

    @property
    def is_needed(self) -> bool:
        """Whether the next piece cannot be taken as it is."""
        return self._manner.is_odd or bool(self._text.held or self._reasoning.held)

    def mend(self, chunk: Chunk, *, has_said: bool) -> Chunk:
        """Leave in a chunk what is new of it, in whole characters; `has_said`: there is text already."""
        is_all = self._manner.ends_with_all and chunk.finish_reason is not None
        if chunk.is_whole or is_all or self._manner.repeats:
            self._leave_new(chunk, has_said=has_said)
        chunk.text = self._text.join(chunk.text)
        chunk.reasoning = self._reasoning.join(chunk.reasoning)
        return chunk

    def rest(self) -> tuple[str, str]:
        """Give up the halves of characters that stayed alone, of the text and of the reasoning."""
        return self._text.rest(), self._reasoning.rest()

    def _leave_new(self, chunk: Chunk, *, has_said: bool) -> None:
        """Take out of a message what has come: it may repeat the pieces, go on with the last, or be the next."""
        if has_said and not self._whole_text.text:
            chunk.text = chunk.reasoning = ""
            return
        chunk.text = self._whole_text.new_in(chunk.text)
        chunk.reasoning = self._whole_reasoning.new_in(chunk.reasoning)


class _Grown:
    """What has come of a text that is told again and again, each time with more of it."""

    text = ""

    def new_in(self, text: str) -> str:
        """Return what is new; one that does not begin as before is the next piece."""
        new = text.removeprefix(self.text)
        self.text += new
        return new
