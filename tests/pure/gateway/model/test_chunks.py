"""Pieces that came together: as few as can be, and nothing of them is lost or changes its place."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.chunks import Chunk, Usage, united

TEXTS = st.builds(Chunk, text=st.text(max_size=3))
OTHERS = st.sampled_from(
    [
        Chunk(reasoning="so"),
        Chunk("and", reasoning="so"),
        Chunk(finish_reason="stop"),
        Chunk("no", is_refusal=True),
        Chunk("all", is_whole=True),
        Chunk(calls_tool=True, tool="t"),
        Chunk(usage=Usage(1, 2)),
        Chunk(is_done=True),
    ]
).map(msgspec.structs.replace)


def spelled(chunks: list[Chunk]) -> list[str | Chunk]:
    """Spell pieces so that joining text makes no difference."""
    told: list[str | Chunk] = []
    for chunk in chunks:
        if chunk.is_text and told and isinstance(told[-1], str):
            told[-1] += chunk.text
        else:
            told.append(chunk.text if chunk.is_text else msgspec.structs.replace(chunk))
    return told


@given(st.lists(TEXTS | OTHERS, max_size=8))
def test_text_that_came_together_is_one_piece_and_all_else_stays(chunks: list[Chunk]) -> None:
    before = spelled(chunks)
    joined = list(united(chunks))
    assert spelled(joined) == before
    assert not any(one.is_text and other.is_text for one, other in pairwise(joined))
