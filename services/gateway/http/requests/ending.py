"""Until when something that a caller makes is good: a number of seconds from now, or a time."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, model_validator

from services.gateway.http.requests.refused_field import refused_field

SHORTEST_S, LONGEST_S = 60, 366 * 24 * 3600


class Ending(BaseModel):
    """Until when, by default for `USUAL_S`."""

    model_config = ConfigDict(extra="forbid")

    USUAL_S: ClassVar[int] = 30 * 24 * 3600

    expires_in: StrictInt | None = Field(None, ge=SHORTEST_S, le=LONGEST_S)  # seconds
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_in is not None and self.expires_at is not None:
            raise ValueError("expires_in and expires_at are the same: send one of them")
        return self

    def end(self, now: datetime) -> datetime:
        """Return when it ends.

        Raises:
            Invalid: That has been, or is too far away.
        """
        if self.expires_at is None:
            return now + timedelta(seconds=self.expires_in or self.USUAL_S)
        if not now < self.expires_at <= now + timedelta(seconds=LONGEST_S):
            raise refused_field("expires_at", "must be to come, and within 366 days")
        return self.expires_at
