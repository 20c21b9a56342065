"""What is kept of whoever sends a message."""

import pytest

from services.gateway.http.callers.client import client_of
from services.gateway.turns.stored.rows import question_columns
from services.gateway.turns.turn import Question
from tests.settings import settings_for


def kept(host: str | None, *headers: tuple[bytes, bytes], **changes: bool) -> object:
    scope = {"client": (host, 1234) if host is not None else None, "headers": headers}
    return client_of(scope, settings_for("postgresql://u@h/d", "amqp://h", **changes))


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("::1", "::/48"),
    ],
)
def test_an_address_is_cut(host: str, network: str) -> None:
    assert kept(host) == {"address": network}


@pytest.mark.parametrize("host", ["", "fe80::1%eth0", "testclient", None])
def test_what_is_no_address_is_not_kept(host: str | None) -> None:
    assert kept(host) is None


def test_an_address_is_not_kept_where_that_is_off() -> None:
    assert kept("203.0.113.77", keep_addresses=False) is None


def test_a_program_is_kept_only_where_that_is_on() -> None:
    said = (b"user-agent", b" Mozilla/5.0\x00\xe9 " + b"x" * 5000)
    assert kept("203.0.113.77", said) == {"address": "203.0.113.0/24"}
    only = kept(None, said, keep_user_agents=True)
    assert only == {"user_agent": ("Mozilla/5.0  " + "x" * 5000)[:200]}


def test_a_question_that_was_asked_before_keeps_from_where_that_was() -> None:
    here, there = {"address": "203.0.113.0/24"}, {"address": "198.51.100.0/24"}
    before = Question("m1", "one", is_known=True, client=there)
    asked = Question("m2", "two", earlier=(before, Question("m0", "zero"))).said_by(here)
    assert [each.client for each in (asked, *asked.earlier)] == [here, there, here]
    assert asked.said_by(None) is asked


def test_a_question_without_it_is_spelled_as_gateways_from_before_it_do() -> None:
    assert "client" not in question_columns(Question("m1", "one"))[0]
