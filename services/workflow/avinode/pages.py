"""Read a list that Avinode may show in pages: all of it, or nothing. Pure.

A first page says in `meta.pagination` how many there are (`totalCount`) and how many a page has (`batchSize`); further
ones are asked for by `page[number]`, which begins at 0. What says nothing of pages is whole.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from services.workflow.avinode import fields
from services.workflow.avinode.answers import errors_in
from services.workflow.avinode.errors import AvinodeUnclear, Unreadable
from shared.events import Json

MOST_PAGES = 50
MOST_ITEMS = 5_000


async def read_pages(ask: Callable[[str], Awaitable[Any]]) -> Json:
    """Ask for one page after the other, and return them as one answer.

    Args:
        ask: Returns the answer to a query string, the empty one at first.

    Raises:
        AvinodeUnclear: A page comes with errors, so something may be missing.
        Unreadable: A page is no list, repeats the one before, or there is no end of them.
    """
    body = await ask("")
    found = _items(body)
    total = fields.number(fields.value(body, "meta", "pagination"), "totalCount") or 0
    size = fields.number(fields.value(body, "meta", "pagination"), "batchSize") or len(found)
    number, page = 0, found
    while page and len(found) < total:
        number += 1
        if number >= MOST_PAGES or total > MOST_ITEMS:
            raise Unreadable(f"a list of {total}, which is more than {MOST_ITEMS} or {MOST_PAGES} pages")
        before = page
        page = _items(await ask("?" + urlencode({"page[size]": size, "page[number]": number})))
        if page == before:
            raise Unreadable("the same page of a list comes again")
        found = [*found, *page]
    return {"data": found}


def _items(body: Any) -> list[Any]:
    if errors := errors_in(body):
        raise AvinodeUnclear(f"a list with errors: {errors}")
    data = fields.value(body, "data")
    if not isinstance(data, list):
        raise Unreadable("the answer has no list")
    return data
