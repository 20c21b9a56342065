"""What a conversation says about a charter trip: route, dates, passengers."""

import re
from dataclasses import dataclass
from datetime import date

from deploy.sandbox.model.airports import PLACE, icao

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_COUNT = rf"(\d{{1,3}}|{'|'.join(_NUMBERS)})"

_LEG = re.compile(rf"{PLACE}\s*(?:(?i:\bto\b)|->|→|\u2013|-|/)\s*(?={PLACE})")
_BACKWARD_LEG = re.compile(rf"\b(?i:to)\s+{PLACE}\s+(?i:from)\s+{PLACE}")
_FROM = re.compile(rf"\b(?i:from|leaving|departing)\s+{PLACE}")
_TO = re.compile(rf"\b(?i:to|into|arriving(?:\s+at)?)\s+{PLACE}")
_RETURN = re.compile(r"\b(?:return(?:ing)?|round[ -]?trip|and back)\b", re.IGNORECASE)
_DATES = re.compile(
    r"\b(?P<iso>20\d\d-\d\d-\d\d)\b"
    rf"|\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+(?P<year>20\d\d)\b"
    rf"|\b{_MONTH.replace('month', 'month_us')}\s+(?P<day_us>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year_us>20\d\d)\b",
    re.IGNORECASE,
)
_PAX = re.compile(
    rf"\b{_COUNT}\s+(?:passengers?|pax|people|persons?|guests?|travell?ers?|adults?|of us)\b"
    rf"|\b(?:passengers?|pax|party of)\s*[:=]?\s*{_COUNT}\b"
    rf"|\bfor\s+{_COUNT}(?=\s*(?:[.,;!?]|$|on\b|from\b))"
    rf"|^\s*{_COUNT}\s*[.!]?\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Leg:
    """One flight of the trip; the date is ISO 8601."""

    start: str
    end: str
    date: str | None


@dataclass(frozen=True, slots=True)
class TripFacts:
    """What is known so far; `missing` names the rest in words to ask with."""

    legs: tuple[Leg, ...]
    pax: int | None
    missing: tuple[str, ...]


def read_trip_facts(texts: list[str]) -> TripFacts:
    """Read the facts from all user texts, oldest first. What is said later replaces what was said before."""
    route, dates, pax = _route(texts), _dates(texts), _pax(texts)
    returns = len(route) == 1 and any(_RETURN.search(text) for text in texts)
    if returns:
        route = [route[0], route[0][::-1]]
    elif route:
        dates += dates[-1:] * (len(route) - len(dates))
    padded = [*dates, *[None] * len(route)]
    legs = tuple(Leg(start, end, day) for (start, end), day in zip(route, padded, strict=False))
    return TripFacts(legs, pax, tuple(_missing(legs, dates, pax, returns)))


def _missing(legs: tuple[Leg, ...], dates: list[str], pax: int | None, returns: bool) -> list[str]:
    wanted = [
        ("the route", not legs),
        ("the date (with its year)", not dates),
        ("the return date", returns and len(dates) == 1),
        ("the number of passengers", pax is None),
    ]
    return [name for name, is_missing in wanted if is_missing]


def _route(texts: list[str]) -> list[tuple[str, str]]:
    """Return the legs of the last text that has any, else the last start and end that stand alone."""
    for text in reversed(texts):
        legs = [(icao(start), icao(end)) for start, end in _LEG.findall(text)]
        legs = legs or [(icao(start), icao(end)) for end, start in _BACKWARD_LEG.findall(text)]
        if legs:
            return legs
    starts = [icao(place) for text in texts for place in _FROM.findall(text)]
    ends = [icao(place) for text in texts for place in _TO.findall(text)]
    return [(starts[-1], ends[-1])] if starts and ends else []


def _dates(texts: list[str]) -> list[str]:
    """Return the dates of the last text that has any, as ISO 8601."""
    for text in reversed(texts):
        days = [day for found in _DATES.finditer(text) if (day := _iso_date(found))]
        if days:
            return days
    return []


def _iso_date(found: re.Match[str]) -> str | None:
    """Return the date in ISO 8601; None for a day that doesn't exist."""
    if found["iso"]:
        year, month, day = found["iso"].split("-")
    else:
        month = str(_MONTHS.index((found["month"] or found["month_us"]).lower()) + 1)
        year, day = found["year"] or found["year_us"], found["day"] or found["day_us"]
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _pax(texts: list[str]) -> int | None:
    for text in reversed(texts):
        said = [_number(next(filter(None, found.groups()))) for found in _PAX.finditer(text)]
        if counts := [count for count in said if count]:
            return counts[-1]
    return None


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.index(word.lower()) + 1
