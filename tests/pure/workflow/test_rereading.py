"""When a trip is read again: by how long it has been quiet, and no more once its flights are over."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workflow.rereading import AFTER_FLIGHT, Rereading, last_flight_on

seconds = st.floats(0, 1e9)
days = st.dates(date(2000, 1, 1), date(2100, 1, 1))
usual = Rereading()


@given(quiet_s=seconds)
def test_the_wait_is_never_shorter_than_the_first_nor_longer_than_the_longest(quiet_s: float) -> None:
    wait_s = usual.wait_s(quiet_s, None, date(2030, 1, 1))
    assert wait_s is not None
    assert usual.first_s <= wait_s <= usual.longest_s


@given(quiet_s=seconds, longer_s=seconds)
def test_the_longer_it_is_quiet_the_longer_is_the_wait(quiet_s: float, longer_s: float) -> None:
    today = date(2030, 1, 1)
    short_s, long_s = usual.wait_s(quiet_s, None, today), usual.wait_s(quiet_s + longer_s, None, today)
    assert short_s is not None
    assert long_s is not None
    assert short_s <= long_s


@given(quiet_days=st.integers(1, 3650))
def test_a_quiet_trip_is_read_less_and_less_often(quiet_days: int) -> None:
    """Count the readings of a trip of which there is nothing new: the first double, the rest are few a day."""
    quiet_s, readings = 0.0, 0
    while quiet_s < quiet_days * 86400:
        quiet_s += usual.wait_s(quiet_s, None, date(2030, 1, 1)) or 0
        readings += 1
    assert readings <= 9 + 4 * quiet_days


@given(flight=days, since=st.timedeltas(timedelta(days=-400), timedelta(days=400)), quiet_s=seconds)
def test_a_trip_is_read_until_its_last_flight_is_over(flight: date, since: timedelta, quiet_s: float) -> None:
    wait_s = usual.wait_s(quiet_s, flight, flight + since)
    assert (wait_s is None) == (timedelta(days=since.days) > AFTER_FLIGHT)


@pytest.mark.parametrize(
    ("dates", "last"),
    [
        ([], None),
        ([None, "", "soon", "2030-02-31"], None),
        (["2030-05-04", "2030-05-09", "2030-05-06"], date(2030, 5, 9)),
        ([None, "2030-05-04", "9999"], date(2030, 5, 4)),
    ],
)
def test_the_last_flight_is_of_the_days_that_there_are(dates: list[str | None], last: date | None) -> None:
    assert last_flight_on([{"date": text} for text in dates]) == last
    assert last_flight_on([{}]) is None
