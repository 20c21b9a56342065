"""Following waits for the end of a burst of notices, and not for ever."""

from services.workflow.notices.bursts import LONGEST_S, Burst


def test_nothing_is_waited_for_where_all_is_kept() -> None:
    assert not Burst(lambda: 0).holds()


def test_a_burst_is_waited_for_until_it_is_kept() -> None:
    waiting = [1]
    burst = Burst(lambda: waiting[-1])
    assert burst.holds()
    waiting.append(0)
    assert not burst.holds()


def test_a_burst_without_an_end_is_waited_for_no_longer_than_so_long() -> None:
    now = [100.0]
    burst = Burst(lambda: 1, lambda: now[-1])
    assert burst.holds()
    now.append(100.0 + LONGEST_S - 1)
    assert burst.holds()
    now.append(100.0 + LONGEST_S)
    assert not burst.holds()


def test_the_next_burst_is_waited_for_as_long_again() -> None:
    now, waiting = [0.0], [1]
    burst = Burst(lambda: waiting[-1], lambda: now[-1])
    assert burst.holds()
    waiting.append(0)
    burst.holds()
    waiting.append(1)
    now.append(LONGEST_S + 1)
    assert burst.holds()
