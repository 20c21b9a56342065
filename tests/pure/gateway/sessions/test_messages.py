"""Which messages are on a page."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.messages.pages import (
    SLICE_MESSAGES,
    Listed,
    Window,
    choose_page,
    shortened,
    slices,
    unite,
)
from shared.ids import new_id
from tests.pure.gateway.samples import minutes


def said(count: int) -> list[Listed]:
    # Pairs share their time, so the id decides.
    return [Listed(f"m{number:03d}", minutes(number // 2), size=10) for number in range(count)]


def test_without_anything_it_is_the_newest_page_in_order() -> None:
    page, has_more = choose_page(said(5), Window(), 3)
    assert ([listed.message_id for listed in page], has_more) == (["m002", "m003", "m004"], True)


def test_a_window_leaves_out_its_own_ends() -> None:
    history = said(6)
    page, has_more = choose_page(history, Window(after=history[1].place, before=history[4].place), 10)
    assert ([listed.message_id for listed in page], has_more) == (["m002", "m003"], False)


@given(st.integers(0, 30), st.integers(1, 7), st.booleans())
def test_pages_in_either_direction_hold_every_message_once(count: int, limit: int, forward: bool) -> None:
    history = said(count)
    seen: list[Listed] = []
    window, has_more = Window(oldest_first=forward), True
    while has_more:
        page, has_more = choose_page(history, window, limit)
        seen = [*seen, *page] if forward else [*page, *seen]
        if page:
            window = Window(after=page[-1].place, oldest_first=True) if forward else Window(before=page[0].place)
    assert seen == history


def test_a_page_ends_where_it_is_long_enough() -> None:
    page, is_shorter = shortened(said(5), Window(), most_bytes=35)
    assert ([listed.message_id for listed in page], is_shorter) == (["m002", "m003", "m004"], True)
    forward, _ = shortened(said(5), Window(oldest_first=True), most_bytes=35)
    assert [listed.message_id for listed in forward] == ["m000", "m001", "m002"]
    assert shortened(said(5), Window(), most_bytes=50) == (said(5), False)


def test_a_page_has_one_message_however_long_it_is() -> None:
    page, is_shorter = shortened(said(3), Window(), most_bytes=1)
    assert ([listed.message_id for listed in page], is_shorter) == (["m002"], True)


def test_of_two_places_that_a_message_is_in_the_stored_one_is_read() -> None:
    [stored] = said(1)
    unstored = replace(stored, turn_id=new_id())
    assert unite([unstored], [stored]) == [stored]
    assert unite([unstored], []) == [unstored]


@given(st.lists(st.integers(0, 50)))
def test_slices_hold_a_page_in_order_and_no_more_than_they_may(sizes: list[int]) -> None:
    page = [Listed(f"m{number:03d}", minutes(number), size=size) for number, size in enumerate(sizes)]
    cut = list(slices(page, 60))
    assert [listed for piece in cut for listed in piece] == page
    assert all(piece and (len(piece) == 1 or sum(listed.size for listed in piece) <= 60) for piece in cut)


def test_many_short_messages_are_no_one_slice() -> None:
    cut = list(slices(said(2 * SLICE_MESSAGES + 1)))
    assert [len(piece) for piece in cut] == [SLICE_MESSAGES, SLICE_MESSAGES, 1]


def test_pages_beyond_each_other_are_the_whole_window() -> None:
    history = said(9)
    for window in (Window(before=history[8].place), Window(after=history[0].place, oldest_first=True)):
        seen, rest, has_more = list[Listed](), window, True
        while has_more:
            page, has_more = choose_page(history, rest, 3)
            seen, rest = ([*seen, *page] if window.oldest_first else [*page, *seen]), rest.beyond(page)
        assert seen == [listed for listed in history if window.holds(listed.place)]
        assert rest.beyond([]) == rest
