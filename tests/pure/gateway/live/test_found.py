"""What a look has found, and which of it was told before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.gateway.live.changes import Place, Source
from services.gateway.live.found import OVERLAP_S, SETTLED_S, Found, Told

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
CHAT = Place("ann", "s1", Source.CHAT)


def found(age_s: float, place: Place = CHAT, *, looked_at: float = 100.0, is_deleted: bool = False) -> Found:
    """Find a row that changed so long before a look, which has its time stamp from when it did."""
    return Found(place, NOON + timedelta(seconds=looked_at - age_s), age_s, is_deleted)


def names(told: Told, *rows: Found, looked_at: float = 100.0) -> list[str]:
    return [change.name for change, _ in told.news(rows, looked_at)]


def test_what_nobody_told_is_news() -> None:
    assert names(Told(), found(5)) == ["stored", "renamed", "changed"]


def test_each_table_is_told_by_its_name() -> None:
    told = Told()
    assert names(told, found(5, Place("ann", "s1", Source.TAGGING))) == ["tagged"]
    assert names(told, found(5, Place("ann", "s1", Source.WORKFLOW))) == ["trip"]
    with_proposal = replace(found(5, Place("ann", "s2", Source.WORKFLOW)), has_proposal=True)
    assert names(told, with_proposal) == ["trip", "proposal"]
    assert names(told, found(5, is_deleted=True)) == ["deleted"]


def test_what_a_hint_told_is_no_news() -> None:
    told = Told()
    told.hear(CHAT, 95.1)
    assert names(told, found(5)) == []


def test_a_change_after_the_last_hint_is_news() -> None:
    told = Told()
    told.hear(CHAT, 94.9)
    assert names(told, found(5)) != []


def test_another_session_s_user_s_or_table_s_hint_tells_nothing_of_this_one() -> None:
    told = Told()
    for place in (
        Place("ann", "s2", Source.CHAT),
        Place("bob", "s1", Source.CHAT),
        Place("ann", "s1", Source.TAGGING),
        Place("ann", "s1", Source.GATEWAY),
    ):
        told.hear(place, 99.0)
    assert names(told, found(5)) != []


def test_what_one_look_told_the_next_does_not() -> None:
    told = Told()
    row = found(5)
    assert names(told, row) != []
    again = Found(CHAT, row.at, 15.0)
    assert names(told, again, looked_at=110.0) == []
    assert names(told, again, found(3, looked_at=110.0), looked_at=110.0) != []  # a later change


def test_a_change_of_this_moment_is_left_to_its_hint_and_else_to_the_next_look() -> None:
    told = Told()
    row = found(SETTLED_S / 2)
    assert names(told, row) == []
    assert names(told, Found(CHAT, row.at, 10.5), looked_at=110.0) != []


def test_of_a_place_that_is_found_twice_the_last_change_counts() -> None:
    told = Told()
    told.hear(CHAT, 94.0)
    assert names(told, found(7), found(5), found(9)) == ["stored", "renamed", "changed"]


def test_what_no_look_can_find_any_more_is_forgotten() -> None:
    told = Told()
    told.hear(CHAT, 50.0)
    told.hear(Place("ann", "s2", Source.CHAT), 99.0)
    assert names(told, found(5, Place("ann", "s3", Source.CHAT))) != []
    assert told.remembered == 2  # the hint of a moment ago, and what was just found
    assert names(told, looked_at=100.0 + OVERLAP_S) == []
    assert told.remembered == 0


def test_what_is_told_has_the_time_of_the_change() -> None:
    row = found(5)
    [(change, changed_at), *_] = list(Told().news([row], 100.0))
    assert (change.at, changed_at) == (row.at, 95.0)
