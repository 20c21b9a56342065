"""Read the rows of an export page by page: each page a short transaction of its own, under row-level security.

No snapshot is held over them, which would keep what is deleted meanwhile from being swept for as long as somebody takes
to read. A row is whole; of two rows, one may be as it was a while before the other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from services.gateway.privacy.kinds import KINDS, Kind
from shared.database import Pool, reading

PAGE_BYTES = 256 * 1024  # of lines that are held at once; one row may be more
STORED_BYTES = 64 * 1024  # of large columns as they are stored, compressed, that the database unfolds for a page
PAGE_ROWS = 500
# For a page that cannot be read, as while a database fails over: for so long it is read again.
PATIENCE_S = 20.0
PAGES_AT_ONCE = 20  # empty ones too: then whoever asked is looked for, who may be gone


@dataclass(frozen=True)
class ExportPage:
    lines: Sequence[str]
    last: tuple[Any, ...] | None  # the key of its last row; none: there are no more


ReadPage = Callable[[str, Kind, tuple[Any, ...] | None], Awaitable[ExportPage]]  # `read_page` of a pool


async def read_page(pool: Pool, owner: str, kind: Kind, after: tuple[Any, ...] | None) -> ExportPage:
    """Return the next rows of one kind of one owner, each as a line of JSON without its end."""
    async with reading(pool, owner) as db:
        rows = await db.fetch(statement(kind, is_first=after is None), owner, *(after or ()))
    if not rows:
        return ExportPage((), None)
    return ExportPage([row["line"] for row in rows], tuple(rows[-1])[1:])


@cache
def statement(kind: Kind, *, is_first: bool) -> str:
    """Spell a page's query: its keys by what rows measure as they are stored, then its lines as far as they fit.

    Each row is looked up by its key: a join, planned while the table was taken for small, would read all of the owner's
    rows for each page.
    """
    key = ", ".join(f"t.{name}" for name in kind.key)
    order = ", ".join(f"k{number}" for number in range(len(kind.key)))
    named = ", ".join(f"t.{name} AS k{number}" for number, name in enumerate(kind.key))
    same = " AND ".join(f"t.{name} = picked.k{number}" for number, name in enumerate(kind.key))
    size = " + ".join(["64", *(f"coalesce(pg_column_size(t.{name}), 0)" for name in kind.large)])
    beyond = "" if is_first else f"AND ({key}) > ({', '.join(f'${number + 2}' for number in range(len(kind.key)))})"
    without = ", ".join(f"'{name}'" for name in kind.without)
    return f"""
        WITH picked AS MATERIALIZED (
            SELECT {order} FROM (
                SELECT *, sum(size) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - size AS before FROM (
                    SELECT {named}, {size} AS size FROM {kind.table} t WHERE {kind.which} {beyond}
                    ORDER BY {key} LIMIT {PAGE_ROWS}) measured) summed
            WHERE before < {STORED_BYTES}
        ), spelled AS (
            SELECT {order}, line FROM picked CROSS JOIN LATERAL (
                SELECT jsonb_build_object('table', '{kind.table}', 'row',
                    to_jsonb(t) - ARRAY[{without}]::text[] || {kind.instead})::text AS line
                FROM {kind.table} t WHERE {same} AND {kind.which} OFFSET 0) found
        )
        SELECT line, {order} FROM (
            SELECT *, sum(octet_length(line)) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - octet_length(line)
                AS before FROM spelled) summed
        WHERE before < {PAGE_BYTES} ORDER BY {order}
        """  # noqa: S608 - names of `KINDS`


class ExportReader:
    """Reads all of an export, one owner and one kind after the other."""

    def __init__(self, read: ReadPage, owners: Sequence[str], kinds: Sequence[Kind] = KINDS) -> None:
        self._read = read
        self._left = [(kind, owner) for kind in kinds for owner in owners]
        self._after: tuple[Any, ...] | None = None
        self._lines: list[str] = []  # read, and not returned yet
        self._size = 0  # bytes of them
        self.rows = 0  # that were returned

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more."""
        return not self._left

    async def next_lines(self) -> bytes:
        """Return as many lines as are held at once, or fewer: none where what was looked for is not there.

        Where a page cannot be read, whoever asks again has it, and all that was read before it.
        """
        for _ in range(PAGES_AT_ONCE):
            if not self._left or self._size >= PAGE_BYTES:
                break
            await self._read_page()
        lines, self._lines, self._size = self._lines, [], 0
        self.rows += len(lines)
        return "".join(f"{line}\n" for line in lines).encode()

    async def _read_page(self) -> None:
        kind, owner = self._left[0]
        page = await self._read(owner, kind, self._after)
        self._after = page.last
        if page.last is None:
            self._left.pop(0)
        self._lines += page.lines
        self._size += sum(map(len, page.lines))
