"""Texts are found by their words as people type them."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.search_words import (
    LAST_POSITION,
    MOST_POSITIONS,
    MOST_TERM_BYTES,
    WORD_LENGTH,
    fold,
    search_of,
    vector_of,
    words_of,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def terms_of(text: str) -> dict[str, list[int]]:
    """Read a tsvector as PostgreSQL does, without the owner's key."""
    spelled = vector_of("ann", text)
    found = re.findall(r"'([^'\\]+)':([0-9,]+)", spelled)
    assert " ".join(f"'{term}':{places}" for term, places in found) == spelled
    return {term[6:]: [int(place) for place in places.split(",")] for term, places in found}


def finds(query: str, text: str) -> bool:
    """Match as PostgreSQL does: each phrase's terms, each so far after the one before."""
    search = search_of(query)
    if search is None:
        return False
    terms = terms_of(text)
    return all(_has(clause.strip("()"), terms) for clause in search.as_query().split(" & "))


def _has(clause: str, terms: dict[str, list[int]]) -> bool:
    ends: set[int] | None = None
    for distance, term, begun in re.findall(r"(?:<(\d)> )?'\{u\}([^']+)'(:\*)?", clause):
        places = {
            place for known, all_of in terms.items() for place in all_of
            if (known.startswith(term) if begun else known == term)
        }  # fmt: skip
        ends = places if ends is None else {place for place in places if place - int(distance) in ends}
    return bool(ends)


@given(TEXTS)
def test_folded_text_stays_as_it_is(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS)
def test_text_is_found_however_it_is_composed_and_in_either_case(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(text) == fold(unicodedata.normalize("NFC", text))
    assert fold(text.casefold()) == fold(text)


@given(TEXTS, st.data())
def test_a_text_is_found_by_its_own_words(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    if words:
        chosen = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=4))
        assert finds(" ".join(chosen), text)
        assert finds(" ".join([*chosen[:-1], chosen[-1][: data.draw(st.integers(1, 8))]]), text)
        first = data.draw(st.integers(0, len(words) - 1))
        assert finds(f'"{" ".join(words[first : first + 3])}"', text)
        assert finds(text.replace('"', " "), text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("teter", "A jet from Teterboro"),
        ("JET teterboro", "A jet from Teterboro"),
        ("cafe", "the Café"),
        ("CAFÉ", "the Cafe\u0301"),
        ("стамбул", "Рейс в СТАМБУЛ"),
        ("РЕЙС", "рейс"),
        ("елка", "Ёлка"),
        ("strasse", "Hauptstraße 5"[5:]),
        ("MÜNCHEN", "von münchen"),
        ("munchen", "von München"),
        ("STRASSE", "die straße"),
        ("lodz", "Łódź"),
        ("東京", "明日、東京都に行く"),
        ("都", "東京都"),
        ("東", "東京都"),
        ("東京都", "東京都に"),
        ("ﾊﾟﾘ", "パリへ"),
        ("飞机", "我要一架飞机。"),
        ("सम", "समय"),
        ('"light jet" from', "a light jet from here"),
        ('"light je', "a light jet"),
        ("“light jet”", "a light jet"),
        ('"東京 2026"', "東京 2026年"),
        ("x1", "x¹"),
        ("a full width", "a \uff46\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48"),
        ("don't", "I don't"),
    ],
)
def test_what_people_type_is_found(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("erboro", "Teterboro"),
        ("jet paris", "a jet"),
        ("je paris", "a jet to Paris"),  # of the last word only the beginning is enough
        ('"jet light"', "a light jet"),
        ('"light je"', "a light jet"),
        ("東都", "東京都"),
        ("京東", "東京"),
        ("東京都", "東京と京都"),
        ("か", "が"),
    ],
)
def test_what_is_not_there_is_not_found(query: str, text: str) -> None:
    assert not finds(query, text)


@pytest.mark.parametrize("query", ["", " ", '""', "|&!:*'\\()<->", "\x00", "🙂", "\ud800", "—…", "\u0301"])
def test_without_a_word_nothing_is_searched(query: str) -> None:
    assert search_of(query) is None


@given(st.text(max_size=200))
def test_a_query_is_always_one(text: str) -> None:
    search = search_of(text)
    if search is not None:
        spelled = re.sub(r"'\{u\}[^'\\\s]+'(:\*)?", "w", search.as_query())
        assert re.fullmatch(r"(w|\(w( <\d> w)+\))( & (w|\(w( <\d> w)+\)))*", spelled), search.as_query()


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("rare com", "'{u}rare'"),
        ('"light jet" paris nu', "'{u}paris' & ('{u}light' <1> '{u}jet')"),
        ("東京 nu", "'{u}東京'"),
        ('"か" 東京', "'{u}東京'"),
        ("com", None),
        ('rare "com"', None),
        ('"か" c', None),
    ],
)
def test_the_whole_words_are_what_is_no_beginning_beside_one(typed: str, whole: str | None) -> None:
    search = search_of(typed)
    assert search is not None
    assert search.whole_words() == whole


def test_a_text_without_end_has_an_end_in_the_index() -> None:
    many = " ".join(f"word{number}{'x' * 80}" for number in range(9000))
    terms = terms_of(many)
    assert len(vector_of("ann", many)) < 2 * MOST_TERM_BYTES
    assert all(len(term) <= WORD_LENGTH for term in terms)
    terms = terms_of("a " * 20_000 + "z")
    assert len(terms["a"]) == MOST_POSITIONS
    assert terms["z"] == [LAST_POSITION]


def test_each_user_s_words_are_their_own() -> None:
    assert vector_of("ann", "secret") != vector_of("bob", "secret")
