"""Pages of a list: how long, where they begin, and how the next one is found."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, WrapValidator, computed_field

from services.gateway.http.requests.cursors import Place, read_time_cursor, write_cursor

Item = TypeVar("Item")


class CursorQuery(BaseModel):
    """Where a page begins. An unknown filter is refused: a list that ignores one is a wrong answer."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = None


ALL = 0  # what a limit of `all` is read as


def _read_limit(value: Any, read: Callable[[Any], int]) -> int:
    return ALL if value == "all" else read(value)


# A union of both would say of a wrong limit twice what is wrong with it, by names that nobody has sent.
OrAll = WrapValidator(_read_limit)


def limit_schema(most: int) -> WithJsonSchema:
    """Say what a limit may be that is `OrAll`."""
    number = {"type": "integer", "minimum": 1, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "enum": ["all"]}]})


class PageQuery(CursorQuery):
    """Which page."""

    limit: int = Field(50, ge=1, le=200)


class Page(BaseModel):
    """What every list answers with, besides its items."""

    next_cursor: str | None = None  # of the next page; none on the last one

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def has_more(self) -> bool:
        return self.next_cursor is not None


class Paging:
    """The pages of one kind of list, which is kept newest first by a time and an id."""

    def __init__(self, kind: str, read_key: Callable[[str], object] = str) -> None:
        """Name the list, so that cursors of several lists are told apart.

        Args:
            kind: What it is a list of.
            read_key: Raises ValueError for a text that can't be an id in this list.
        """
        self._kind = kind
        self._read_key = read_key

    def before(self, query: PageQuery) -> Place | None:
        """Return the place where the page before this one ended; None on the first one.

        Raises:
            Invalid: The cursor is not one of this list.
        """
        return read_time_cursor(self._kind, query.cursor, self._read_key)

    def cut(
        self, placed: Sequence[tuple[Place, Item]], query: PageQuery, reached: Place | None = None
    ) -> tuple[list[Item], str | None]:
        """Cut a page from what was read, at least one item more than it may have, and write the cursor of the next.

        Args:
            placed: The items, each with its place.
            query: Which page.
            reached: Where the look ended, of a list that is only looked through so far for one page; the next begins
                there, however few were found.
        """
        page = placed[: query.limit]
        if len(placed) > query.limit:
            reached = page[-1][0]
        return [item for _, item in page], write_cursor(self._kind, *reached) if reached else None
