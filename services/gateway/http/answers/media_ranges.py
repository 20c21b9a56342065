"""What kinds of answer a caller takes."""

import re

WEIGHT = re.compile(r"[01](\.\d{0,3})?")


def accepted_ranges(accept: str) -> dict[str, float]:
    """Read an Accept header: each media range with its weight, 0 for what is not wanted (RFC 9110, 12.5.1)."""
    ranges = {}
    for each in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in each.split(";"))
        weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        if media_range:
            ranges[media_range] = float(weight) if WEIGHT.fullmatch(weight) else 1
    return ranges
