"""Lists of everybody's are looked through, so far for one page: what they are asked for has no index of its own.

Whatever is asked for, no more is read than a page, or so many of the rows that come next. A page may have less than
it could, or nothing, and yet a next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg

from services.gateway.http.requests.cursors import Place

Item = TypeVar("Item")
Places = tuple[list[Place], Place | None]

LOOKED_THROUGH = 2000  # rows for one page, where something is asked of each
SEARCHED = 500  # rows for one page, where words are looked for in each


@dataclass(frozen=True)
class Looked(Generic[Item]):
    """What a look found, in the list's order."""

    rows: list[tuple[Place, Item]]
    reached: Place | None = None  # where it ended before the list did


def looking(walk: str, *, fits: str, order: str) -> str:
    """Spell a look: of the rows of a walk those that fit, and where it ended.

    Args:
        walk: A SELECT that ends after $1 rows, in the list's order.
        fits: What is asked of each of its rows, which are called `item`.
        order: Its ORDER BY.
    """
    return f"""
        WITH walked AS MATERIALIZED ({walk}), looked AS (
            SELECT item.*, {fits} AS fits, row_number() OVER ({order}) AS place, count(*) OVER () AS looked
            FROM walked item)
        SELECT * FROM looked WHERE fits OR place = looked ORDER BY place
    """  # noqa: S608 - its callers' constants


def found(rows: Sequence[asyncpg.Record], place_of: Callable[[asyncpg.Record], Place], most: int, limit: int) -> Places:
    """Return where what fits stands, up to `limit` of it, and where the look ended, if that was before the list did.

    Args:
        rows: Of a look.
        place_of: Tells where a row stands.
        most: How many rows the look may walk.
        limit: How many are wanted.
    """
    places = [place_of(row) for row in rows if row["fits"]]
    if len(places) > limit:
        return places[:limit], places[limit - 1]
    return places, place_of(rows[-1]) if rows and rows[-1]["looked"] >= most else None
