"""Which messages are on a page."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.message_queries import Window
from services.gateway.sessions.messages import choose_page
from services.gateway.turns.history import HistoryMessage
from tests.pure.gateway.samples import minutes


def said(count: int) -> list[HistoryMessage]:
    return [
        HistoryMessage(
            message_id=f"m{number:03d}",
            role="user",
            content=str(number),
            parts=[],
            model=None,
            status="complete",
            parent_id=None,
            created_at=minutes(number // 2),  # pairs share their time, so the id decides
        )
        for number in range(count)
    ]


def test_without_anything_it_is_the_newest_page_in_order() -> None:
    page, has_more = choose_page(said(5), Window(), 3)
    assert ([shown.content for shown in page], has_more) == (["2", "3", "4"], True)


def test_a_window_leaves_out_its_own_ends() -> None:
    history = said(6)
    page, has_more = choose_page(history, Window(after=history[1].place, before=history[4].place), 10)
    assert ([shown.content for shown in page], has_more) == (["2", "3"], False)


@given(st.integers(0, 30), st.integers(1, 7), st.booleans())
def test_pages_in_either_direction_hold_every_message_once(count: int, limit: int, forward: bool) -> None:
    history = said(count)
    seen: list[HistoryMessage] = []
    window, has_more = Window(oldest_first=forward), True
    while has_more:
        page, has_more = choose_page(history, window, limit)
        seen = [*seen, *page] if forward else [*page, *seen]
        if page:
            window = Window(after=page[-1].place, oldest_first=True) if forward else Window(before=page[0].place)
    assert seen == history
