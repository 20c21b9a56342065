"""What the events of a model's answer say, in one shape however the service spells it.

The shape that nearly every chunk has is decoded by msgspec, at once into what is needed (`known_shapes.py`). Whatever
does not fit it is read as a JSON value (`lenient.py`), and only then passed over: nothing of the text is lost to an odd
field beside it.
"""

from collections.abc import Sequence

import msgspec

BETWEEN = b"\n\ndata: "  # two events of a stream


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens; none where the service does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # of the former; this and the next are told to whoever waits, and not kept
    reasoning_tokens: int | None = None  # of the latter


class Complaint(msgspec.Struct, frozen=True, gc=False):
    """What a service says of what went wrong. Not everything of it may be passed on: see `complaints.py`."""

    status: int | None = None  # as HTTP has them; services write it into a stream too
    name: str | None = None  # the word that programs know it by
    text: str | None = None
    wait_s: float | None = None  # for which it wants to be left alone


class CallPiece(msgspec.Struct, gc=False):
    """What comes next of a tool's call."""

    index: int = 0  # which call of the answer
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    is_custom: bool = False  # of a tool that is no function, whose arguments are a text
    is_odd: bool = False  # its client gets it in OpenAI's shape, not as it came


class Chunk(msgspec.Struct, gc=False):
    """What one event says."""

    text: str = ""
    reasoning: str = ""
    is_refusal: bool = False  # the text is why the model will not answer
    is_whole: bool = False  # it is all of the answer, not what comes next
    calls_tool: bool = False  # there is something of a tool's call in it
    tool: str | None = None  # the name of the first tool that it begins to call
    calls: Sequence[CallPiece] = ()
    finish_reason: str | None = None  # in the service's words
    usage: Usage | None = None
    complaint: Complaint | None = None
    is_done: bool = False  # nothing comes after it
    pieces: int = 1  # that came together, and are one here
    told: bytes = b""  # the event as a client of OpenAI's reads it, where one is to be told: see `retelling.py`

    @property
    def is_text(self) -> bool:
        """Whether it is text and nothing else."""
        return self == Chunk(self.text, pieces=self.pieces, told=self.told)

    @property
    def is_piece(self) -> bool:
        """Whether the answer goes on with it: signs of life alone do not count."""
        return bool(self.text or self.reasoning or self.calls_tool or self.finish_reason)

    @property
    def says_more(self) -> bool:
        """Whether it says anything beside what is said and thought."""
        return bool(self.finish_reason or self.usage or self.is_refusal or self.calls_tool or self.is_done)

    @property
    def is_only_end(self) -> bool:
        """Whether it says why the answer ended, and nothing else of it."""
        return bool(self.finish_reason) and not (self.text or self.reasoning or self.calls_tool)


def united(chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """Join pieces of the text that came together: to take one costs as much as to take all of them at once."""
    if len(chunks) < 2:
        return chunks
    told: list[Chunk] = []
    text: Chunk | None = None  # the last one, where it is nothing but text
    for chunk in chunks:
        if not chunk.is_text:
            text = None
        elif text is not None:
            text.text += chunk.text
            text.pieces += chunk.pieces
            if chunk.told:
                text.told += BETWEEN + chunk.told
            continue
        else:
            text = chunk
        told.append(chunk)
    return told
