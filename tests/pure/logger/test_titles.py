"""Titles and previews: whole words, one line, about so long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logger.reducing.titles import ELLIPSIS, TITLE_LENGTH, title_of
from shared.texts.preview import PREVIEW_LENGTH, preview_of


def test_short_message_is_its_own_title() -> None:
    assert title_of("Teterboro to Aspen on Friday") == "Teterboro to Aspen on Friday"


def test_title_is_one_line_without_margins() -> None:
    assert title_of("\n  Teterboro\tto\r\n\n Aspen  ") == "Teterboro to Aspen"


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u2003"])
def test_message_without_words_gives_no_title(text: str) -> None:
    assert title_of(text) is None


def test_long_message_is_cut_between_words() -> None:
    text = "I need a midsize jet from Teterboro to Aspen for six people and two dogs"
    assert title_of(text) == "I need a midsize jet from Teterboro to Aspen for six people…"


def test_word_that_ends_at_the_limit_is_kept() -> None:
    text = "x" * (TITLE_LENGTH - 4) + " end"
    assert title_of(text + " more") == text + ELLIPSIS


def test_word_longer_than_a_title_is_cut_anywhere() -> None:
    assert title_of("x" * 500) == "x" * TITLE_LENGTH + ELLIPSIS


def test_title_looks_at_the_beginning_only() -> None:
    assert title_of(" ".join("a" * 1000)) == " ".join("a" * (TITLE_LENGTH // 2)) + ELLIPSIS


@given(st.text())
def test_title_holds_the_first_words_as_they_are(text: str) -> None:
    title = title_of(text)
    line = " ".join(text.split())
    if title is None:
        assert not line
    elif title != line:
        assert title.endswith(ELLIPSIS)
        assert line.startswith(title.removesuffix(ELLIPSIS))
        assert len(title) <= TITLE_LENGTH + 1


def test_preview_is_the_beginning_of_a_message() -> None:
    assert preview_of("short\ntext") == "short\ntext"
    assert preview_of("y" * 1000) == "y" * PREVIEW_LENGTH
