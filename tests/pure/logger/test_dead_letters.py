"""A dead letter can be anything, and every one becomes a row."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logger.dead_letters.known import DeadLetter, make_letter, storable
from services.logger.dead_letters.owners import LOOKED_INTO_BYTES
from shared.consuming.unreadable import UNREADABLE
from shared.ids import new_id
from tests.pure.logger.samples import posted

DEATH = {"queue": "tagger.sessions", "reason": "delivery_limit", "count": 1, "time": datetime(2026, 11, 21, tzinfo=UTC)}


def letter(
    body: bytes = b"?", headers: dict[str, object] | None = None, message_id: str | None = None, name: str | None = None
) -> DeadLetter:
    return make_letter(body, headers or {}, name=name, message_id=message_id)


def test_parked_message_says_itself_where_and_why() -> None:
    event = posted()
    found = letter(
        event.body(),
        {"x-queue": "logger.chat", "x-reason": "unstorable", "x-error": "DataError: no"},
        str(event.event_id),
        "MessagePosted",
    )
    assert (found.queue, found.reason, found.error) == ("logger.chat", "unstorable", "DataError: no")
    assert (found.event_id, found.event_name, found.user_id) == (event.event_id, "MessagePosted", "ada")
    assert found.body == event.body()


def test_message_dead_lettered_by_the_broker_has_its_reason() -> None:
    found = letter(headers={"x-death": [DEATH]})
    assert (found.queue, found.reason) == ("tagger.sessions", "delivery_limit")
    assert found.error == "dead-lettered by the broker: delivery_limit"


def test_brokers_word_is_the_newest() -> None:
    found = letter(headers={"x-death": [DEATH], "x-queue": "logger.chat", "x-reason": "undecodable", "x-error": "old"})
    assert (found.queue, found.reason) == ("tagger.sessions", "delivery_limit")


def test_newest_death_counts() -> None:
    older = {"queue": "workflow.trips", "reason": "rejected"}
    assert letter(headers={"x-death": [DEATH, older]}).queue == "tagger.sessions"


def test_message_of_a_stranger_is_kept_with_an_unknown_reason() -> None:
    found = letter(b"hello")
    assert (found.queue, found.reason, found.error) == ("dead", "unknown", "put straight into this queue")
    assert (found.event_id, found.event_name, found.user_id, found.body) == (None, None, None, b"hello")


def test_message_with_unreadable_properties_says_so() -> None:
    found = letter(headers={UNREADABLE: "year 10000"})
    assert (found.reason, found.error) == ("unknown", "its properties cannot be read: year 10000")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-death": "not a list"},
        {"x-death": []},
        {"x-death": [17]},
        {"x-death": [{"queue": 17, "reason": None}]},
        {"x-queue": 17, "x-reason": ["x"], "x-error": {}},
        {"x-queue": "", "x-reason": "", "x-error": ""},
    ],
)
def test_headers_of_wrong_types_are_not_believed(headers: dict[str, object]) -> None:
    found = letter(headers=headers)
    assert (found.queue, found.reason) == ("dead", "unknown")


def test_same_event_is_the_same_letter() -> None:
    event = posted()
    assert letter(event.body()).dead_letter_id == letter(event.body(), message_id="other").dead_letter_id


def test_body_without_an_id_is_known_by_its_hash() -> None:
    found = letter(b"garbage")
    assert found.dedupe_key == sha256(b"garbage").hexdigest()
    assert found.dead_letter_id == letter(b"garbage").dead_letter_id
    assert found.dead_letter_id != letter(b"rubbish").dead_letter_id


def test_two_bodies_with_one_message_id_are_two_letters() -> None:
    message_id = str(new_id())
    one, other = letter(b"one", message_id=message_id), letter(b"other", message_id=message_id)
    assert one.dead_letter_id != other.dead_letter_id
    assert str(one.event_id) == str(other.event_id) == message_id


def test_same_event_refused_by_two_queues_is_two_letters() -> None:
    body = posted().body()
    queues = [letter(body, {"x-queue": queue}).dead_letter_id for queue in ("logger.chat", "tagger.sessions")]
    assert len(set(queues)) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[1, 2]", b'"text"', b"null", b'{"event_id": 5, "user_id": []}', b"[" * 100_000, b"9" * 5000],
)
def test_body_that_tells_nothing_is_no_trouble(body: bytes) -> None:
    found = letter(body)
    assert (found.event_id, found.user_id, found.body) == (None, None, body)


def test_body_that_would_unfold_to_gigabytes_is_kept_unread() -> None:
    body = b'{"user_id": "ada", "content": [' + b"[]," * (LOOKED_INTO_BYTES // 3) + b"[]]}"
    assert (letter(body).user_id, letter(body).body) == (None, body)


def test_user_is_found_in_a_body_that_is_no_event() -> None:
    assert letter(b'{"user_id": "ada", "content": "\\ud800"}').user_id == "ada"


def test_text_that_postgres_cannot_hold_is_replaced() -> None:
    found = letter(json.dumps({"user_id": "a\x00b\ud800"}).encode(), {"x-reason": "r\x00"}, name="n\x00")
    assert (found.user_id, found.reason, found.event_name) == ("a\ufffdb?", "r\ufffd", "n\ufffd")


def test_names_are_cut_to_what_an_index_holds() -> None:
    found = letter(headers={"x-queue": "q" * 100_000, "x-reason": "r" * 100_000})
    assert (len(found.queue), len(found.reason)) == (255, 255)


def test_header_of_every_amqp_type_is_kept_readable() -> None:
    headers = {
        "text": "t\x00",
        "bytes": b"\xff",
        "number": 7,
        "decimal": Decimal("1.5"),
        "time": datetime(2026, 11, 21, tzinfo=UTC),
        "nothing": None,
        "array": [b"x", True],
        "table\x00": {"n": 1.5},
    }
    assert letter(headers=headers).headers == {
        "text": "t\ufffd",
        "bytes": "\ufffd",
        "number": 7,
        "decimal": "1.5",
        "time": "2026-11-21T00:00:00+00:00",
        "nothing": None,
        "array": ["x", True],
        "table\ufffd": {"n": 1.5},
    }


def test_deep_headers_end_as_text() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    assert orjson.dumps(storable(deep))


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
surrogates = st.text(st.characters(exclude_categories=()), max_size=10)


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            for item in pair:
                yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


@given(st.dictionaries(surrogates, values | surrogates, max_size=4), st.binary())
def test_any_headers_and_body_make_a_row(headers: dict[str, object], body: bytes) -> None:
    found = letter(body, headers)
    assert not any("\x00" in text for text in texts_in(orjson.loads(orjson.dumps(found.headers))))
    assert found.body == body
