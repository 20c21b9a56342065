"""What a field may hold, on every route."""

from typing import Annotated, Any

import orjson
from pydantic import StringConstraints

from shared.errors import TooLarge
from shared.ids import CLIENT_ID

SessionId = Annotated[str, StringConstraints(pattern=CLIENT_ID)]
# As `shared.events.Name`, in words that OpenAPI has.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Json = dict[str, Any]
MOST_PARTS = 1000  # of one message


def check_extras(most_bytes: int, *extras: Any) -> None:
    """Refuse what is kept with a message and shown with it each time, but is no text, where it is too much.

    Raises:
        TooLarge: As JSON it is longer than `most_bytes`.
    """
    if len(orjson.dumps(extras)) > most_bytes:
        raise TooLarge(f"A message may have at most {most_bytes} bytes of metadata, and of parts beside their texts.")
