"""Pieces of an answer that come whole: a tool's call, in one state after the other, and where a round begins.

Text and reasoning come in pieces that are joined; of these each is a part of its own, and a later one about the same
call takes the place of the one before.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson

STEP = "step-start"  # what a round begins with, but for the first
PARAGRAPH = "\n\n"  # between the texts of two rounds


class Whole(str):
    """A part as the AI SDK has it, spelled as JSON."""

    part: dict[str, Any]

    @classmethod
    def of(cls, part: dict[str, Any]) -> "Whole":
        """Spell a part."""
        piece = cls(orjson.dumps(part).decode())
        piece.part = part
        return piece

    @classmethod
    def read(cls, text: str) -> "Whole":
        """Take one as another gateway has spelled it."""
        piece = cls(text)
        piece.part = orjson.loads(text)
        return piece

    @property
    def call_id(self) -> str | None:
        """Which call it is about; none: it is where a round begins."""
        found: str | None = self.part.get("toolCallId")
        return found


def united(pieces: Sequence[str]) -> list[str]:
    """Join what is of one kind and stands together; what comes whole stays as it is."""
    joined: list[str] = []
    for kind, group in groupby(pieces, type):
        together = list(group)
        joined += together if kind is Whole else [_joined(kind, together)]
    return joined


def _joined(kind: type[str], pieces: list[str]) -> str:
    return kind("".join(pieces))


def folded(pieces: Sequence[str]) -> list[str]:
    """Unite pieces, with each call once: in its last state, where the first stood."""
    last = {piece.call_id: piece for piece in pieces if isinstance(piece, Whole) and piece.call_id}
    kept: list[str] = []
    for piece in pieces:
        if not isinstance(piece, Whole) or piece.call_id is None:
            kept.append(piece)
        elif piece.call_id in last:
            kept.append(last.pop(piece.call_id))
    return united(kept)


def text_of(parts: Iterable[dict[str, Any]]) -> str:
    """Return what is said in parts; what was said in another round is another paragraph."""
    rounds = [""]
    for part in parts:
        if part.get("type") == STEP:
            rounds.append("")
        elif part.get("type") == "text":
            rounds[-1] += part["text"]
    return PARAGRAPH.join(filter(None, rounds))
