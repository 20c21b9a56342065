"""One reading does for all who ask for it before it began, and for nobody after."""

from datetime import UTC, datetime, timedelta

from services.workflow.reading.recent import Readings

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_what_was_asked_for_before_a_reading_began_is_answered_by_it() -> None:
    readings = Readings()
    readings.note("arfq-1", NOON)
    assert readings.has_since("arfq-1", NOON - SECOND)
    assert not readings.has_since("arfq-1", NOON)
    assert not readings.has_since("arfq-1", NOON + SECOND)
    assert not readings.has_since("arfq-2", NOON - SECOND)
    assert not readings.has_since("arfq-1", None)
    assert not readings.has_since(None, NOON)


def test_a_reading_that_ends_later_is_none_the_newer_for_it() -> None:
    readings = Readings()
    readings.note("arfq-1", NOON)
    readings.note("arfq-1", NOON - SECOND)
    assert readings.has_since("arfq-1", NOON - SECOND / 2)


def test_the_oldest_are_forgotten() -> None:
    readings = Readings(most=2)
    for name in ("a", "b", "a", "c"):
        readings.note(name, NOON)
    assert [readings.has_since(name, NOON - SECOND) for name in "abc"] == [True, False, True]
