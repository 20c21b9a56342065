"""What an answer thought before it, in one text with it: however that is cut, the same is taken out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.reading.thoughts import Thoughts

TEXTS = {
    "<think>so</think>\n\nhi": ("hi", "so"),
    " \n<think>so</think>hi": ("hi", "so"),
    "<thinking>so</think></thinking>hi": ("hi", "so</think>"),
    "<thought>so</thought>hi <thought>": ("hi <thought>", "so"),
    "<think>so</think></think>": ("</think>", "so"),
    "<think>so": ("", "so"),
    "<think>so</th": ("", "so</th"),
    "<think></think>": ("", ""),
    "<thin": ("<thin", ""),
    "<thinker>": ("<thinker>", ""),
    " <b>hi</b>": (" <b>hi</b>", ""),
    "hi <think>so</think>": ("hi <think>so</think>", ""),
    " \n": (" \n", ""),
    "": ("", ""),
}


def parted(pieces: list[str]) -> tuple[str, str]:
    thoughts = Thoughts()
    told = [*map(thoughts.split, pieces), thoughts.rest()]
    return "".join(said for said, _ in told), "".join(thought for _, thought in told)


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
@given(data=st.data())
def test_thoughts_are_taken_out_however_they_are_cut(text: str, expected: tuple[str, str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    assert parted(pieces) == parted(list(text)) == expected


def test_what_is_no_tag_is_not_held_back() -> None:
    thoughts = Thoughts()
    assert thoughts.split("<b") == ("<b", "")
    assert not thoughts.may_come
