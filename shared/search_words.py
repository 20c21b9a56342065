"""What a text is found by, and what people type to find it: the same words on both sides. Pure.

The database's servers run without a locale, where `lower()` knows ASCII alone, so text is folded here: compatibility
forms, case and accents. Words of scripts that put no spaces between them are found by their pairs of neighbours.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from shared.ids import user_hash

MOST_CHARACTERS = 100_000  # of one text; what comes after them is not found
MOST_TERM_BYTES = 400_000  # of one text: a tsvector may have a megabyte
WORD_LENGTH = 64  # characters; of a longer word its beginning counts
MOST_POSITIONS = 255  # of one term, as a tsvector has them
LAST_POSITION = 16_383  # likewise: words after this are found, but not as part of a phrase
OWNER_KEY_LENGTH = 6
OWNER = "{u}"  # in a query, for whose words they are: see `chat.search_sessions`

# Accents and points, as they are once they stand alone; the voicing of Japanese letters is none.
_ACCENTS = (
    "\u0300-\u0344\u0346-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u1ab0-\u1ace\u1dc0-\u1dff\u20d0-\u20dc\u20e1\ufe20-\ufe2f"
)
_UNSEEN = "\u00ad\u200c-\u200f\u2060\ufe00-\ufe0f\ufeff"  # within words, and no part of them
# Han, Kana, Thai, Lao, Burmese and Khmer.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0ece\u0edc-\u0edf\u1000-\u109f\u1780-\u17d3"
)
_VOWELS = "\u0900-\u0963\u0966-\u0dff"  # the Indic scripts, whose vowel signs Python does not count among letters

_DROPPED = re.compile(f"[{_ACCENTS}{_UNSEEN}]+")
_WORD = re.compile(f"[{_UNSPACED}]+|(?:[^\\W_{_UNSPACED}]|[{_VOWELS}])+")
# No letters, and folded to some: \u2122, \u3260, and an iota that stands below another letter.
_SIGNS = "\u0345\u2100-\u214f\u2460-\u24ff\u3200-\u33ff\U0001f100-\U0001f2ff"
# The same in a text as it was written, where accents may stand alone.
_WRITTEN = re.compile(
    f"(?:[{_UNSPACED}]|[{_ACCENTS}{_UNSEEN}])+|(?:[^\\W_{_UNSPACED}]|[{_VOWELS}{_ACCENTS}{_UNSEEN}{_SIGNS}])+"
)
_UNSPACED_WORD = re.compile(f"[{_UNSPACED}]")
_QUOTES = re.compile('["\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02]')
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


@dataclass(frozen=True, slots=True)
class Sought:
    """A word that is looked for."""

    text: str
    is_begun: bool  # any word that begins so

    @property
    def is_unspaced(self) -> bool:
        return _UNSPACED_WORD.match(self.text) is not None

    def terms(self) -> list[tuple[str, bool]]:
        """Return what it is indexed by, each a place after the one before, and whether as a beginning."""
        if not self.is_unspaced:
            return [(self.text[:WORD_LENGTH], self.is_begun)]
        return [(a + b, False) for a, b in pairwise(self.text)] or [(self.text, True)]

    def found_in(self, word: str) -> int | None:
        """Return where in a folded word it begins."""
        if self.is_unspaced:
            place = word.find(self.text)
            return None if place < 0 else place
        return 0 if word == self.text or (self.is_begun and word.startswith(self.text)) else None


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: phrases, each of a word or more, all of which one text has."""

    phrases: tuple[tuple[Sought, ...], ...]

    def words(self) -> set[Sought]:
        return {word for phrase in self.phrases for word in phrase}

    def as_query(self) -> str:
        """Spell it as a tsquery."""
        return _query(self.phrases)

    def whole_words(self) -> str | None:
        """Spell those of it that are no beginnings; None where all are, or none is."""
        whole = [phrase for phrase in self.phrases if not any(begun for word in phrase for _, begun in word.terms())]
        return _query(whole) if 0 < len(whole) < len(self.phrases) else None


@lru_cache(4096)
def fold(text: str) -> str:
    """Return the text without case, accents and compatibility forms. Folded text stays as it is."""
    if text.isascii():
        return text.lower()
    before = None
    while text != before:  # what was composed may fold further, in very few letters
        before, text = text, _folded(text)
    return text


def words_of(text: str) -> list[str]:
    """Return the words of a text in order, folded."""
    return _WORD.findall(fold.__wrapped__(text))


def search_of(text: str) -> Search | None:
    """Read what somebody typed: words, of the last its beginning, and phrases in quotes; None without any word."""
    phrases: list[tuple[Sought, ...]] = []
    pieces = _QUOTES.split(text)
    for number, piece in enumerate(pieces):
        is_quoted, is_open = number % 2 == 1, number == len(pieces) - 1
        words = words_of(piece)
        sought = [Sought(word, is_open and place == len(words)) for place, word in enumerate(words, start=1)]
        if is_quoted and sought:
            phrases.append(tuple(sought))
        elif sought:
            phrases += [(word,) for word in sought]
    return Search(tuple(dict.fromkeys(phrases))) if phrases else None


def vector_of(owner: str, text: str) -> str:
    """Spell the words of a text as a tsvector, each with the key of whose text it is before it.

    An index finds one user's words, then, as fast as if there were nobody else's.
    """
    owner_key = user_hash(owner).hex()[:OWNER_KEY_LENGTH]
    places: defaultdict[str, list[str]] = defaultdict(list)
    left = MOST_TERM_BYTES
    for place, term in _indexed(text[:MOST_CHARACTERS]):
        if term not in places:
            left -= len(owner_key) + 4 * len(term)
            if left < 0:
                break
        if len(places[term]) < MOST_POSITIONS and (place <= LAST_POSITION or not places[term]):
            places[term].append(str(min(place, LAST_POSITION)))
    return " ".join(f"'{owner_key}{term}':{','.join(found)}" for term, found in places.items())


def written_words(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield where each word of a text begins and ends as it was written, and what it is folded."""
    for match in _WRITTEN.finditer(text):
        yield match.start(), match.end(), _WORD.findall(fold(match.group()))


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFKC", _DROPPED.sub("", text).translate(_LETTERS))


def _indexed(text: str) -> Iterator[tuple[int, str]]:
    """Yield the terms of a text, each with its place."""
    place = 1
    for word in words_of(text):
        if _UNSPACED_WORD.match(word) is None:
            yield place, word[:WORD_LENGTH]
            place += 1
            continue
        for pair in pairwise(word):
            yield place, "".join(pair)
            place += 1
        yield place, word[-1]  # so that each letter begins a term
        place += 1


def _query(phrases: Iterable[tuple[Sought, ...]]) -> str:
    return " & ".join(sorted({_phrase(phrase) for phrase in phrases}))


def _phrase(words: tuple[Sought, ...]) -> str:
    spelled: list[str] = []
    distance = 0
    for word in words:
        for term, is_begun in word.terms():
            spelled += [f"<{distance}>"] if spelled else []
            spelled.append(f"'{OWNER}{term}'" + (":*" if is_begun else ""))
            distance = 1
        if word.is_unspaced and len(word.text) > 1:
            distance = 2  # after its last letter, which no pair begins with
    return " ".join(spelled) if len(spelled) == 1 else f"({' '.join(spelled)})"
