"""Which messages are on a page, by their places and sizes, and in which pieces they are read. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.gateway.http.requests.cursors import Place

PAGE_BYTES = 8 * 2**20  # of JSON on one page, about; one message may be more
SLICE_BYTES = 256 * 1024  # that are read, and held, at once; one message may be more
SLICE_MESSAGES = 250  # short ones cost what they are, not what they say


@dataclass(frozen=True)
class Window:
    """The messages between two places, and from which end of it a page is read."""

    after: Place | None = None
    before: Place | None = None
    oldest_first: bool = False  # the page begins at `after`; else it ends at `before`

    def holds(self, place: Place) -> bool:
        return (self.after is None or self.after < place) and (self.before is None or place < self.before)

    def beyond(self, page: Sequence["Listed"]) -> "Window":
        """Return what is left of it when this page was read."""
        if not page:
            return self
        return replace(self, after=page[-1].place) if self.oldest_first else replace(self, before=page[0].place)


@dataclass(frozen=True)
class Listed:
    """A message, without what it says."""

    message_id: str
    created_at: datetime
    size: int = 0  # bytes of its JSON, about
    turn_id: UUID | None = None  # the turn to read it from; none: it is stored

    @property
    def place(self) -> Place:
        """The message's place in its session."""
        return self.created_at, self.message_id


def unite(unstored: Iterable[Listed], stored: Iterable[Listed]) -> list[Listed]:
    """Unite both in the session's order; what is stored is read from there."""
    by_id = {listed.message_id: listed for kind in (unstored, stored) for listed in kind}
    return sorted(by_id.values(), key=lambda listed: listed.place)


def choose_page(history: Sequence[Listed], window: Window, limit: int) -> tuple[list[Listed], bool]:
    """Choose from what was said, in order, the page that begins at the window's end, and tell whether there is more.

    Args:
        history: Every message that is not stored, and of the stored ones in the window `limit` + 1 from the end that
            the page is read from.
        window: Where the page is.
        limit: The most that may be on the page.
    """
    inside = [listed for listed in history if window.holds(listed.place)]
    page = inside[:limit] if window.oldest_first else inside[-limit:]
    return page, len(inside) > limit


def sized(page: Iterable[Listed], sizes: Mapping[UUID, int]) -> list[Listed]:
    """Give messages that are not stored the sizes of their turns."""
    return [
        replace(listed, size=sizes.get(listed.turn_id, 0)) if listed.turn_id is not None else listed for listed in page
    ]


def shortened(page: Sequence[Listed], window: Window, most_bytes: int = PAGE_BYTES) -> tuple[list[Listed], bool]:
    """End a page where it holds so many bytes, and tell whether it was; one message it has in any case."""
    kept: list[Listed] = []
    for listed in page if window.oldest_first else reversed(page):
        most_bytes -= listed.size
        if most_bytes < 0 and kept:
            break
        kept.append(listed)
    return (kept if window.oldest_first else kept[::-1]), len(kept) < len(page)


def slices(page: Iterable[Listed], most_bytes: int = SLICE_BYTES) -> Iterator[list[Listed]]:
    """Cut a page into what is read at once."""
    piece: list[Listed] = []
    size = 0
    for listed in page:
        if piece and (size + listed.size > most_bytes or len(piece) == SLICE_MESSAGES):
            yield piece
            piece, size = [], 0
        piece.append(listed)
        size += listed.size
    if piece:
        yield piece
