"""Who holds too much is refused: of its own account's share first, and of all together."""

import pytest

from services.gateway.http.held.shares import Shares
from shared.errors import Overloaded, TooMany

FREE = 10


def shares() -> Shares:
    return Shares(400, one_bytes=50, free_bytes=FREE)


def test_an_account_has_a_quarter_at_most() -> None:
    room = shares()
    first, second, other = room.hold("ann"), room.hold("ann"), room.hold("bob")
    first.take(FREE + 60)
    with pytest.raises(TooMany) as refused:
        second.take(FREE + 41)
    assert refused.value.extra["retry_after_s"] == 1
    second.take(FREE + 40)
    other.take(FREE + 100)
    assert room.total == 200


def test_all_together_have_no_more_than_there_is() -> None:
    room = shares()
    for account in "abcd":
        room.hold(account).take(FREE + 100)
    with pytest.raises(Overloaded):
        room.hold("e").take(FREE + 1)


def test_what_is_small_counts_for_nothing() -> None:
    room = shares()
    full = room.hold("ann")
    full.take(FREE + 100)
    for _ in range(1000):
        room.hold("ann").take(FREE)
    assert room.total == 100
    assert not full.is_too_much


def test_what_grows_may_take_a_share_more_than_what_comes_in() -> None:
    room = shares()
    growing, small = room.hold("ann"), room.hold("ann")
    growing.take(FREE + 100)
    growing.add(100)
    assert not growing.is_too_much
    growing.add(1)
    assert growing.is_too_much
    small.take(FREE)
    assert not small.is_too_much


def test_what_was_let_go_of_is_there_again() -> None:
    room = shares()
    held = room.hold("ann")
    for _ in range(4):
        held.take(25)
    held.add(-30)
    assert room.total == 60
    held.let_go()
    held.let_go()
    assert room.total == 0
    room.hold("ann").take(FREE + 100)


def test_one_of_the_largest_always_finds_room_in_an_empty_one() -> None:
    room = Shares(100, one_bytes=1000, free_bytes=0)
    room.hold("ann").take(1000)
    with pytest.raises(TooMany):
        room.hold("ann").take(1)
