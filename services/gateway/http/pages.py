"""Pages of a list: how long, where they begin, and how the next one is found."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.http.cursors import Place, write_cursor

Item = TypeVar("Item")


class PageQuery(BaseModel):
    """Which page. An unknown filter is refused: a list that ignores one is a wrong answer."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = None


class Page(BaseModel):
    """What every list answers with, besides its items."""

    next_cursor: str | None = None  # of the next page; none on the last one
    has_more: bool = False


def cut_page(kind: str, placed: Sequence[tuple[Place, Item]], limit: int) -> tuple[list[Item], str | None]:
    """Cut a page from what was read, one item more than it may have, and write the cursor of the next."""
    page = placed[:limit]
    cursor = write_cursor(kind, *page[-1][0]) if len(placed) > limit else None
    return [item for _, item in page], cursor
