"""Intervals, against published numbers and against what they must be for simple sessions."""

import pytest

from services.gateway.analytics.comparing.intervals import Clusters, clustered, paired_difference, t_quantile, wilson


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [  # of statsmodels 0.14: proportion_confint(x, n, method="wilson")
        (0, 10, 0.0, 0.277533),
        (1, 10, 0.017876, 0.404150),
        (8, 10, 0.490162, 0.943318),
        (10, 10, 0.722467, 1.0),
        (83, 1000, 0.067455, 0.101736),
    ],
)
def test_wilson_is_as_published(x: int, n: int, low: float, high: float) -> None:
    rate = wilson(x, n)

    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-6)
    assert rate.value == x / n


def test_no_trials_have_no_rate() -> None:
    assert (
        wilson(0, 0).model_dump() == clustered(Clusters(0)).model_dump() == {"value": None, "low": None, "high": None}
    )


@pytest.mark.parametrize(("degrees", "t"), [(9, 2.2622), (10, 2.2281), (15, 2.1314), (30, 2.0423), (120, 1.9799)])
def test_student_s_t_is_as_in_the_tables(degrees: int, t: float) -> None:
    assert t_quantile(degrees) == pytest.approx(t, abs=1e-4)


def summed(*sessions: tuple[int, int]) -> Clusters:
    """Sum up sessions of so many counted turns, of so many."""
    return Clusters(
        len(sessions),
        n=sum(n for _, n in sessions),
        x=sum(x for x, _ in sessions),
        nn=sum(n * n for _, n in sessions),
        xn=sum(x * n for x, n in sessions),
        xx=sum(x * x for x, _ in sessions),
    )


def test_sessions_of_one_turn_are_independent_trials() -> None:
    rate = clustered(summed(*[(1, 1)] * 30, *[(0, 1)] * 70))

    assert (rate.low, rate.high) == pytest.approx((wilson(30, 100).low, wilson(30, 100).high), abs=1e-3)


def test_turns_that_fail_together_count_as_their_session() -> None:
    rate = clustered(summed(*[(10, 10)] * 3, *[(0, 10)] * 7))
    alone = wilson(3, 10)

    assert rate.value == 0.3
    assert (rate.low, rate.high) == pytest.approx((alone.low, alone.high), abs=0.02)


@pytest.mark.parametrize(("failed", "edge"), [(0, 0.0), (50, 1.0)])
def test_where_all_or_none_are_counted_the_sessions_bound_it(failed: int, edge: float) -> None:
    rate = clustered(summed(*[(failed, 50)] * 4))
    alone = wilson(failed / 50 * 4, 4)

    assert rate.value == edge
    assert (rate.low, rate.high) == (alone.low, alone.high)


def test_even_sessions_are_not_more_certain_than_their_turns() -> None:
    rate = clustered(summed(*[(5, 10), (6, 10)] * 20))
    alone = wilson(220, 400)

    assert (rate.low, rate.high) == pytest.approx((alone.low, alone.high))


def test_a_difference_has_student_s_interval() -> None:
    difference = paired_difference(2.0, 3.0, 10)

    assert (difference.low, difference.high) == pytest.approx(
        (2 - 2.2622 * 3 / 10**0.5, 2 + 2.2622 * 3 / 10**0.5), abs=1e-4
    )


@pytest.mark.parametrize(("mean", "deviation", "n"), [(None, None, 0), (2.0, None, 1), (2.0, 3.0, 9)])
def test_few_pairs_are_left_out_with_a_word(mean: float | None, deviation: float | None, n: int) -> None:
    difference = paired_difference(mean, deviation, n)

    assert (difference.mean, difference.low, difference.high) == (None, None, None)
    assert (difference.n, difference.left_out) == (n, "fewer than 10 users")
