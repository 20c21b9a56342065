"""A list that comes in pages is read to its end, and where it has none, or may lack something, not at all."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from services.workflow.avinode.errors import AvinodeUnclear, Unreadable
from services.workflow.avinode.pages import MOST_ITEMS, MOST_PAGES, read_pages

PageOf = Callable[[int, int], Any]  # of page number and size


def page(items: list[int], total: int, size: int, **meta: Any) -> dict[str, Any]:
    return {"meta": {"pagination": {"batchSize": size, "totalCount": total}, **meta}, "data": items}


def pages_of(total: int, size: int) -> PageOf:
    return lambda number, _: page(list(range(total))[number * size : (number + 1) * size], total, size)


def read(answer: PageOf) -> tuple[Any, list[str]]:
    asked: list[str] = []

    async def ask(query: str) -> Any:
        asked.append(query)
        wanted = parse_qs(query.removeprefix("?"))
        return answer(int(wanted.get("page[number]", ["0"])[0]), int(wanted.get("page[size]", ["0"])[0]))

    return asyncio.run(read_pages(ask))["data"], asked


@pytest.mark.parametrize(
    ("total", "size", "calls"), [(0, 3, 1), (1, 3, 1), (3, 3, 1), (4, 3, 2), (9, 3, 3), (100, 3, 34)]
)
def test_a_list_is_read_to_its_end_with_no_call_too_many(total: int, size: int, calls: int) -> None:
    found, asked = read(pages_of(total, size))
    assert found == list(range(total))
    assert len(asked) == calls
    assert asked[0] == ""
    assert all(
        query == f"?page%5Bsize%5D={size}&page%5Bnumber%5D={number}" for number, query in enumerate(asked[1:], 1)
    )


@pytest.mark.parametrize("meta", [{}, {"pagination": None}, {"pagination": {"totalCount": "many"}}, {"pagination": []}])
def test_a_list_that_says_nothing_of_pages_is_whole(meta: dict[str, Any]) -> None:
    assert read(lambda *_: {"meta": meta, "data": [1, 2]}) == ([1, 2], [""])


def test_a_list_that_shrinks_meanwhile_ends_with_its_empty_page() -> None:
    assert read(lambda number, _: page([1, 2] if number == 0 else [], 9, 2))[0] == [1, 2]


def later(answer: Any) -> PageOf:
    return lambda number, _: page([1, 2], 9, 2) if number == 0 else answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (later({"meta": {"errors": [{"title": "half of it"}]}, "data": [3, 4]}), AvinodeUnclear),
        (lambda *_: {"meta": {"errors": [{"title": "half of it"}]}, "data": [1]}, AvinodeUnclear),
        (later({"data": {"id": 3}}), Unreadable),
        (later(None), Unreadable),
        (lambda *_: page([1, 2], 9, 2), Unreadable),  # the same one for ever
        (lambda number, _: page([number], MOST_ITEMS, 1), Unreadable),
        (lambda number, _: page([number], 2**31 - 1, 1), Unreadable),
        (lambda number, _: page([], 9, 2) if number > MOST_PAGES else page([number], 10 * MOST_PAGES, 0), Unreadable),
    ],
    ids=["errors-later", "errors-at-once", "no-list", "nothing", "repeats", "too-many-pages", "endless", "no-size"],
)
def test_a_list_that_may_lack_something_or_has_no_end_is_not_read(answer: PageOf, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(answer)
