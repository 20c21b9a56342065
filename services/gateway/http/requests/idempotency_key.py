"""What an `Idempotency-Key` may look like, on every route; what it makes the same is each route's own rule."""

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Header

from services.gateway.http.requests.refused_field import refused_field

HEADER = "Idempotency-Key"
PATTERN = r"^[ -~]{1,255}$"

# For the OpenAPI document only: `read_key` reads it, and says in words what is wrong with it.
KeyHeader = Annotated[str | None, Header(alias=HEADER, json_schema_extra={"pattern": PATTERN})]


def read_key(headers: Mapping[str, str]) -> str | None:
    """Return the key that a caller sent; None where there is none.

    Raises:
        Invalid: It is none that can be kept.
    """
    key = headers.get(HEADER.lower())
    if key is None or re.fullmatch(PATTERN, key):
        return key
    raise refused_field(HEADER, "must be 1 to 255 printable ASCII characters")
