"""The places the simulated assistant knows by name. Any four capital letters pass as an ICAO code besides."""

import re

PLACES = {
    "teterboro": "KTEB",
    "new york": "KTEB",
    "van nuys": "KVNY",
    "los angeles": "KVNY",
    "palm beach": "KPBI",
    "west palm beach": "KPBI",
    "miami": "KOPF",
    "boston": "KBED",
    "chicago": "KMDW",
    "dallas": "KDAL",
    "las vegas": "KLAS",
    "san francisco": "KSFO",
    "aspen": "KASE",
    "washington": "KIAD",
    "atlanta": "KPDK",
    "london": "EGGW",
    "paris": "LFPB",
    "nice": "LFMN",
    "geneva": "LSGG",
    "zurich": "LSZH",
    "milan": "LIML",
    "rome": "LIRA",
    "madrid": "LETO",
    "berlin": "EDDB",
    "vienna": "LOWW",
    "dubai": "OMDW",
}
_IATA = {
    "TEB": "KTEB",
    "JFK": "KJFK",
    "VNY": "KVNY",
    "LAX": "KLAX",
    "PBI": "KPBI",
    "MIA": "KMIA",
    "LAS": "KLAS",
    "SFO": "KSFO",
    "LTN": "EGGW",
    "LHR": "EGLL",
    "LBG": "LFPB",
    "NCE": "LFMN",
    "GVA": "LSGG",
}
_KNOWN_CODES = sorted({code.lower() for code in (*PLACES.values(), *_IATA.values())})
_NAMES = "|".join(sorted(PLACES, key=len, reverse=True) + _KNOWN_CODES)

PLACE = rf"(\b(?:(?i:{_NAMES})|[A-Z]{{4}}|{'|'.join(_IATA)})\b)"
"""A pattern of one group: a place as people write it."""


def icao(place: str) -> str:
    """Return the ICAO code of what PLACE matched."""
    written = re.sub(r"\s+", " ", place)
    return PLACES.get(written.lower()) or _IATA.get(written) or written.upper()
