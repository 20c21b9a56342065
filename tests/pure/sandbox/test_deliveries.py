"""Deliveries of the simulated Avinode: their body, when they are tried again, when they end."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from deploy.sandbox.avinode.faults import Faults
from deploy.sandbox.avinode.market.inputs import NewWebhook
from deploy.sandbox.avinode.market.trips import Notice
from deploy.sandbox.avinode.resources import Links
from deploy.sandbox.avinode.webhooks.deliveries import (
    GIVE_UP_AFTER,
    Attempt,
    Delivery,
    DeliveryLog,
    in_another_order,
    notice_body,
    retry_after_s,
)
from deploy.sandbox.avinode.webhooks.settings import Webhook

NOW = datetime(2030, 4, 1, 12, tzinfo=UTC)
LINKS = Links("http://avinode.test", "http://avinode.test")
NOTICE = Notice("TripRequestMine", "rfqs", "arfq-1", "SIM7K2")


def delivery(faults: Faults | None = None, log: DeliveryLog | None = None) -> Delivery:
    webhook = Webhook("whs-1", NewWebhook("http://gateway.test", "x"))
    return (log or DeliveryLog()).open(webhook, NOTICE, LINKS, faults or Faults(), NOW)


def attempt(status: int | None, *, after: timedelta = timedelta(), with_auth: bool = True) -> Attempt:
    return Attempt(NOW + after, with_auth, duration_ms=1, status=status)


def test_notice_is_a_flat_pointer() -> None:
    href = "http://avinode.test/api/rfqs/arfq-1"

    assert notice_body(NOTICE, LINKS, with_trip_id=True).decode() == (
        f'{{"id":"arfq-1","href":"{href}","type":"rfqs","tripId":"SIM7K2"}}'
    )
    assert b"tripId" not in notice_body(NOTICE, LINKS, with_trip_id=False)


@pytest.mark.parametrize("status", [None, 201, 202, 204, 302, 400, 401, 403, 500, 503])
def test_anything_but_200_is_tried_again(status: int | None) -> None:
    owed = delivery()

    assert owed.record(attempt(status)) == 0.5
    assert owed.state == "pending"


def test_200_ends_the_trying() -> None:
    owed = delivery()
    owed.record(attempt(500))

    assert owed.record(attempt(200)) is None
    assert owed.state == "delivered"
    assert owed.attempt_count == 2


def test_waits_grow_to_a_few_seconds() -> None:
    waits = [retry_after_s(attempts) for attempts in range(1, 2_000)]

    assert all(shorter <= longer for shorter, longer in pairwise(waits))
    assert waits[0] == 0.5
    assert waits[-1] == 5.0


def test_after_48_hours_it_is_given_up() -> None:
    owed = delivery()

    assert owed.record(attempt(500, after=GIVE_UP_AFTER - timedelta(seconds=1))) is not None
    assert owed.record(attempt(500, after=GIVE_UP_AFTER)) is None
    assert owed.state == "expired"


def test_challenge_to_an_attempt_without_credentials_is_answered_at_once() -> None:
    owed = delivery(Faults(first_without_auth=True))

    assert owed.next_with_auth is False
    assert owed.record(attempt(401, with_auth=False)) == 0
    assert owed.next_with_auth is True
    assert owed.record(attempt(401)) == 1.0


def test_delivery_keeps_its_newest_attempts_and_counts_all() -> None:
    owed = delivery()
    for _ in range(60):
        owed.record(attempt(500))

    assert len(owed.attempts) == 50
    assert owed.attempt_count == 60


def test_another_order_is_another_and_the_same_each_time() -> None:
    log = DeliveryLog()
    for _ in range(20):
        deliveries = [delivery(log=log) for _ in range(2)]
        mixed = in_another_order(deliveries)
        assert mixed == deliveries[::-1]
    many = [delivery(log=log) for _ in range(10)]
    assert in_another_order(many) == in_another_order(many) != many
    assert set(in_another_order(many)) == set(many)
