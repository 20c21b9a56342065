"""What of a text is shown of what was found in it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.finding.snippets import BEFORE, LENGTH, snippet_parts
from shared.search_words import search_of, words_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def shown(text: str, q: str) -> str:
    """Spell a snippet, with what was found in brackets."""
    search = search_of(q)
    assert search is not None
    return "".join(f"[{part.text}]" if part.match else part.text for part in snippet_parts(text, search))


@pytest.mark.parametrize(
    ("text", "q", "expected"),
    [
        ("A light jet to Paris", "jet par", "A light [jet] to [Paris]"),
        ("Zu\u0308rich", "zurich", "[Zu\u0308rich]"),
        ("в СТАМБУЛ!", "стамбул", "в [СТАМБУЛ]!"),
        ("明日、東京都に", "東京", "明日、[東京]都に"),
        ("東京都", "東京都", "[東京都]"),
        ("パリへ", "パ", "[パ]リへ"),
        ("Straße", "strasse", "[Straße]"),
        ("to \u0345 0 of it", "\u03b9", "to [\u0345] 0 of it"),
        ("to \u03450 of it", "\u03b90", "to [\u03450] of it"),
        ("<b>jet</b>", "jet", "<b>[jet]</b>"),
        ("a\n\n  jet\u202e now", "jet", "a [jet] now"),
        ("jet jets jetty", "jet", "[jet] [jets] [jetty]"),
        ("nothing of it", "jet", "nothing of it"),
        ("", "jet", ""),
    ],
)
def test_words_are_marked_as_they_were_written(text: str, q: str, expected: str) -> None:
    assert shown(text, q) == expected


def test_the_place_with_most_words_is_shown_with_what_is_around_it() -> None:
    text = "jet " + "and so on " * 50 + "a light jet to Paris " + "and so on " * 50
    snippet = shown(text, "paris jet")
    assert snippet.startswith("…and so on and so on")
    assert "a light [jet] to [Paris] and so on" in snippet
    assert snippet.endswith("…")
    assert "jet" not in shown("jet " + "and so on " * 50 + "to Paris", '"paris"')


@given(TEXTS, st.data())
def test_a_snippet_is_a_short_piece_of_its_text_in_which_a_word_is_marked(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    if not words:
        return
    search = search_of(data.draw(st.sampled_from(words)))
    assert search is not None
    parts = snippet_parts(text, search)
    assert any(part.match for part in parts)
    assert all(part.text.isprintable() and part.text for part in parts)
    assert all(one.match != next_one.match for one, next_one in pairwise(parts))
    assert len("".join(part.text for part in parts if not part.match)) <= LENGTH + BEFORE
