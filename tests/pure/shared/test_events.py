"""What is an event, and what only looks like one."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.logger.dead_letters.owners import accepted_in
from shared import events
from shared.errors import Undecodable, UnknownType
from shared.events import LARGEST_BODY, MessagePosted, ModelRegistered, WebhookReceived, decode
from shared.ids import model_id, new_id, upstream_thread_id
from tests.pure.logger.samples import answered, at, trace

POSTED = MessagePosted(
    event_id=UUID(int=1),
    user_id="ann",
    session_id="s1",
    message_id="m1",
    role="user",
    content="hi",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(POSTED.body()), **fields}).encode()


def test_what_was_published_is_what_is_read() -> None:
    received = WebhookReceived(delivery_id=new_id(), payload=b"\xff\x00")
    assert decode("MessagePosted", POSTED.body()) == POSTED
    assert decode("WebhookReceived", received.body()) == received


def test_a_registration_of_an_older_gateway_is_its_administrators_word() -> None:
    event = decode("ModelRegistered", b'{"name": "small", "provider": "acme"}')
    assert isinstance(event, ModelRegistered)
    assert not event.only_if_new


@pytest.mark.parametrize(
    ("accepted_at", "traced", "accepted"), [(at(1), True, at(1)), (None, True, at(2)), (None, False, at(3))]
)
def test_an_answer_was_accepted_with_its_question(
    accepted_at: datetime | None, traced: bool, accepted: datetime
) -> None:
    answer = answered("a1", 3, accepted_at=accepted_at, trace=trace(started_at=at(2)) if traced else None)
    assert answer.accepted == accepted
    assert accepted_in(json.loads(answer.body())) == accepted, "as a dead letter"


def test_a_field_that_we_do_not_know_is_ignored() -> None:
    assert decode("MessagePosted", changed(since="next year")) == POSTED


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "2026-01-01T00:00:00"},
        {"occurred_at": "2026-01-01T00:00:00"},
        {"created_at": "9999-12-31T23:59:59-12:00"},
        {"created_at": "0001-01-01T00:00:00+12:00"},
        {"occurred_at": "9999-12-31T23:59:59Z"},
        {"content": "a\x00b"},
        {"user_id": ""},
        {"user_id": "a\x00b"},
        {"session_id": "no spaces"},
        {"message_id": "x" * 65},
        {"role": "root"},
        {"event_id": "none"},
        {"content": None},
    ],
    ids=repr,
)
def test_what_no_event_may_say_is_undecodable(fields: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode("MessagePosted", changed(**fields))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (None, POSTED.body()),
        ("", POSTED.body()),
        ("MessagePosted", b""),
        ("MessagePosted", b"\xff"),
        ("MessagePosted", b'{"content": "\\ud800"}'),
        ("MessagePosted", b"[" * 100_000),
        ("MessagePosted", POSTED.body() + b" " * LARGEST_BODY),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_event_is_undecodable(name: str | None, body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(name, body)


@pytest.mark.parametrize("name", ["Nonsense", "Event", "SessionEvent", "Stored", "messageposted"])
@pytest.mark.parametrize("body", [POSTED.body(), b"\xff", b""])
def test_a_type_that_is_not_known_is_told_apart_from_a_bad_body(name: str, body: bytes) -> None:
    with pytest.raises(UnknownType, match=f"no event is called '{name}'"):
        decode(name, body)


def test_every_event_has_a_line_that_says_what_happened() -> None:
    assert [event.__name__ for event in events.EVENTS if not (event.__doc__ or "").strip()] == []


def test_two_pairs_that_read_alike_have_two_ids() -> None:
    assert model_id("a/b", "c") != model_id("a", "b/c")
    assert upstream_thread_id("a/b", "c") != upstream_thread_id("a", "b/c")
