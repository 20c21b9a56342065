"""What a field may hold, on every route."""

from typing import Annotated, Any

from pydantic import StringConstraints

SessionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
# As `shared.events.Name`, in words that OpenAPI has.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Json = dict[str, Any]
