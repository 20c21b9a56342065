"""What a field may hold, on every route."""

from typing import Annotated, Any

from pydantic import StringConstraints

from shared.ids import CLIENT_ID

SessionId = Annotated[str, StringConstraints(pattern=CLIENT_ID)]
# As `shared.events.Name`, in words that OpenAPI has.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Json = dict[str, Any]
