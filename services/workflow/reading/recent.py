"""What was read at Avinode a short while ago, so that one reading does for all who ask for it. Pure."""

from datetime import datetime

REMEMBERED = 10_000


class Readings:
    """When the newest things were read: as of the moment at which the call began, by the database's clock.

    Kept in memory, since whoever works after a restart only reads once more.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._begun: dict[str, datetime] = {}

    def note(self, avinode_id: str, begun_at: datetime) -> None:
        """Note a reading whose outcome is stored."""
        begun_at = max(begun_at, self._begun.pop(avinode_id, begun_at))
        if len(self._begun) >= self._most:
            self._begun.pop(next(iter(self._begun)))
        self._begun[avinode_id] = begun_at

    def has_since(self, avinode_id: str | None, moment: datetime | None) -> bool:
        """Tell whether something was read after a moment; None: nobody knows which."""
        begun_at = self._begun.get(avinode_id or "")
        return begun_at is not None and moment is not None and begun_at > moment
