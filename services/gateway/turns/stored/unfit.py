"""Turns whose rows can't be worked: they stand, and the others go on. Another release may be able to."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway

log = structlog.get_logger(__name__)


class Unfit:
    """The turns that were tried in vain, until this process ends."""

    def __init__(self) -> None:
        self.turns: set[UUID] = set()

    def __contains__(self, turn_id: UUID) -> bool:
        return turn_id in self.turns

    @contextmanager
    def passing_over(self, turn_id: UUID) -> Iterator[None]:
        """Let one that can't be worked stand.

        Raises:
            BrokerAway, DATABASE_ERRORS: That is no fault of this turn.
        """
        try:
            yield
        except (*DATABASE_ERRORS, BrokerAway):
            raise
        except Exception:
            self.turns.add(turn_id)
            log.exception("turn not worked", turn_id=str(turn_id))
