"""What a look has found, and which of it was told before. Pure.

A hint says of a session that something was committed before it was heard. So whoever was told of a session by a hint
that came after the change that a look finds has been told of that change. When a change was made the look says as its
age, in seconds by the database's clock: gateways' clocks are compared with none but themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.gateway.live.changes import ANYTHING, Change, Place, Source, changes

# A change that is younger may be told by a hint that is still on its way; the next look finds it again.
SETTLED_S = 1.0
# A look goes back by so much before the one before it: a change may be committed, and so be seen, as long after its
# time stamp as a statement may take, which is 10 s.
OVERLAP_S = 15.0


@dataclass(frozen=True)
class Found:
    """A row that has changed lately."""

    place: Place
    at: datetime  # by its own time stamp
    age_s: float
    is_deleted: bool = False
    has_proposal: bool = False  # of a trip: one of its proposals has changed, too

    @property
    def words(self) -> tuple[str, ...]:
        if self.is_deleted:
            return ("deleted",)
        if self.place.source is Source.WORKFLOW:
            return ("trip", "proposal") if self.has_proposal else ("trip",)
        return ("tag",) if self.place.source is Source.TAGGING else ANYTHING


class Told:
    """Remembers what was told, as long as a look may find it."""

    def __init__(self) -> None:
        self._heard: dict[Place, float] = {}  # when a hint came last, by the event loop's clock
        self._found: dict[Place, datetime] = {}  # the time stamp of the row that was told last

    @property
    def remembered(self) -> int:
        """How many it remembers now."""
        return len(self._heard) + len(self._found)

    def hear(self, place: Place, now: float) -> None:
        """Note that a hint of this was told."""
        self._heard.pop(place, None)
        self._heard[place] = now  # at the end: they stand in order of time

    def news(self, found: Sequence[Found], looked_at: float) -> Iterator[tuple[Change, float]]:
        """Yield the changes that nobody was told of, each with when it was made.

        Args:
            found: All that have changed since the look before, and for `OVERLAP_S` before it.
            looked_at: When it was asked for; this and what is yielded are by the event loop's clock.
        """
        for row in _once(found):
            changed_at = looked_at - row.age_s
            if row.age_s < SETTLED_S or self._was_told(row, changed_at):
                continue
            self._found[row.place] = row.at
            for change in changes(row.place.user_id, row.place.session_id, row.words, row.at):
                yield change, changed_at
        self._forget({row.place for row in found}, looked_at)

    def _was_told(self, row: Found, changed_at: float) -> bool:
        heard, known = self._heard.get(row.place), self._found.get(row.place)
        return (heard is not None and heard >= changed_at) or (known is not None and known >= row.at)

    def _forget(self, in_sight: set[Place], looked_at: float) -> None:
        """Forget what no later look can find: nothing of it has changed since, and it is out of sight."""
        self._found = {place: at for place, at in self._found.items() if place in in_sight}
        for place in list(self._heard):
            if self._heard[place] > looked_at - OVERLAP_S:
                break
            if place not in in_sight:
                del self._heard[place]


def _once(found: Iterable[Found]) -> Iterable[Found]:
    """Keep of each place the row that changed last."""
    newest: dict[Place, Found] = {}
    for row in found:
        known = newest.get(row.place)
        if known is None or known.at < row.at:
            newest[row.place] = row
    return newest.values()
