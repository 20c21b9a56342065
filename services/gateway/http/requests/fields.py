"""What a field may hold, on every route."""

import re
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, StrictInt, StringConstraints

from shared.errors import TooLarge
from shared.events import Moment
from shared.ids import CLIENT_ID

SessionId = Annotated[str, StringConstraints(pattern=CLIENT_ID)]
# As `shared.events.Name`, in words that OpenAPI has.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Json = dict[str, Any]
_WITH_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:")


def _written_out(value: Any) -> Any:
    """Refuse numbers, of which nobody knows whether they are seconds or milliseconds."""
    if not isinstance(value, str) or not _WITH_TIME.match(value):
        raise ValueError("must be a time as RFC 3339 has it, such as 2026-11-29T12:00:00Z")
    return value


def whole(value: Any) -> Any:
    """Take 4.0 for 4, as JSON Schema does; `StrictInt` refuses the rest that pydantic would make a number of."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Instant = Annotated[Moment, BeforeValidator(_written_out, json_schema_input_type=str)]
WholeNumber = Annotated[StrictInt, BeforeValidator(whole)]
MOST_PARTS = 1000  # of one message


def check_text(most_characters: int | None, text: str) -> None:
    """Refuse what a user says where it is too long.

    Raises:
        TooLarge: It has more characters than a message may have.
    """
    if most_characters is not None and len(text) > most_characters:
        raise TooLarge(
            f"A message may have at most {most_characters} characters: this one has {len(text)}.",
            limit="message_characters",
            quota=most_characters,
        )


def check_extras(most_bytes: int, *extras: Any) -> None:
    """Refuse what is kept with a message and shown with it each time, but is no text, where it is too much.

    Raises:
        TooLarge: As JSON it is longer than `most_bytes`.
    """
    refusal = f"A message may have at most {most_bytes} bytes of metadata, and of parts beside their texts."
    check_json(most_bytes, extras, refusal)


def check_json(most_bytes: int, kept: Any, refusal: str) -> None:
    """Refuse JSON that is kept as it is, where it is too much.

    Raises:
        TooLarge: Written out it is longer than `most_bytes`; the words are `refusal`.
    """
    if len(orjson.dumps(kept)) > most_bytes:
        raise TooLarge(refusal)
