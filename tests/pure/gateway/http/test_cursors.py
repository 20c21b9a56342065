"""Cursors come back as they were given, and nothing else is one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.requests.cursors import read_cursor, read_time_cursor, write_cursor
from shared.errors import Invalid

NOW = datetime(2026, 11, 21, 10, 30, 0, 123456, tzinfo=UTC)
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=40)


@given(st.datetimes(timezones=st.just(UTC)), PLAIN)
def test_a_place_comes_back_exactly(at: datetime, key: str) -> None:
    assert read_time_cursor("sessions", write_cursor("sessions", at, key)) == (at, key)


def test_without_a_cursor_there_is_no_place() -> None:
    assert read_time_cursor("sessions", None) is None


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(Invalid):
        read_time_cursor("messages", write_cursor("sessions", NOW, "s1"))


@given(st.text(max_size=600))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(Invalid):
        read_time_cursor("sessions", text)


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("s1",),
        ("yesterday", "s1"),
        ("0001-01-01T00:00:00+23:59", "s1"),
        (NOW, "s1", "s2"),
        (NOW.replace(tzinfo=None), "s1"),
        (NOW, "a\x00b"),
    ],
)
def test_a_cursor_with_another_place_is_refused(place: tuple[str | datetime, ...]) -> None:
    with pytest.raises(Invalid):
        read_time_cursor("sessions", write_cursor("sessions", *place))


def test_a_key_that_can_t_be_an_id_of_the_list_is_refused() -> None:
    with pytest.raises(Invalid):
        read_time_cursor("models", write_cursor("models", NOW, "x"), UUID)


def test_a_changed_cursor_is_refused_as_a_field() -> None:
    with pytest.raises(Invalid) as refused:
        read_cursor("sessions", write_cursor("sessions", NOW, "s1")[:-4])
    assert refused.value.extra["errors"][0]["field"] == "cursor"
