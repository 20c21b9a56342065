"""The part of a text that shows what was found in it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter

from services.gateway.sessions.answers import SnippetPart
from shared.search_words import Search, Sought, written_words
from shared.texts.flat_text import flat

LENGTH = 160  # characters, about
BEFORE = 40  # of them before the first word that was found
_CUT = "\u2026"


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    sought: Sought


def snippet_parts(text: str, search: Search) -> list[SnippetPart]:
    """Cut a text around the place that has most of the words, and mark them; without any, its beginning."""
    best = _best(_marks(text, search))
    start, end = _around(text, best)
    parts = [("" if start == 0 else _CUT, False)]
    place = start
    for mark in (mark for mark in best if mark.end <= end):
        if mark.start < place:  # two words that begin alike, or pairs of one
            continue
        parts += [(text[place : mark.start], False), (text[mark.start : mark.end], True)]
        place = mark.end
    parts += [(text[place:end], False), ("" if end == len(text) else _CUT, False)]
    return _shown(parts)


def _marks(text: str, search: Search) -> list[_Mark]:
    words = search.words()
    marks = []
    for start, end, folded in written_words(text):
        for word in words:
            for each in folded:
                place = word.found_in(each)
                if place is None:
                    continue
                if word.is_unspaced and len(each) == end - start:  # letter by letter, so a part of it can be marked
                    marks.append(_Mark(start + place, start + place + len(word.text), word))
                else:
                    marks.append(_Mark(start, end, word))
                break
    return sorted(marks, key=lambda mark: (mark.start, -mark.end))


def _best(marks: Sequence[_Mark]) -> list[_Mark]:
    """Return the marks of the first stretch with the greatest number of different words."""
    best: list[_Mark] = []
    most = 0
    for number, first in enumerate(marks):
        reach = first.start + LENGTH - BEFORE
        inside = list(takewhile(lambda mark: mark.end <= reach, marks[number : number + LENGTH]))  # noqa: B023 - at once
        count = len({mark.sought for mark in inside})
        if count > most:
            best, most = inside, count
    return best or list(marks[:1])


def _around(text: str, marks: Sequence[_Mark]) -> tuple[int, int]:
    """Return where to cut, at spaces where there are any near."""
    start = max(0, marks[0].start - BEFORE) if marks else 0
    end = min(len(text), start + LENGTH)
    if marks:
        end = max(end, marks[0].end)
        if start > 0 and (space := text.find(" ", start, marks[0].start)) >= 0:
            start = space + 1
    last = marks[-1].end if marks else 0
    if end < len(text) and (space := text.rfind(" ", max(last, start), end)) > start:
        end = space
    return start, end


def _shown(parts: Sequence[tuple[str, bool]]) -> list[SnippetPart]:
    """Put neighbours of a kind together, on one line and without what steers a screen."""
    return [
        SnippetPart(text=_seen("".join(text for text, _ in same)), match=match)
        for match, same in groupby((part for part in parts if part[0]), key=itemgetter(1))
    ]


def _seen(text: str) -> str:
    """Keep a space at either end, which parts it from its neighbours."""
    first, last = (char.isspace() or not char.isprintable() for char in (text[0], text[-1]))
    line = flat(text, len(text))
    return f"{' ' * first}{line}{' ' * last}" if line else " "
