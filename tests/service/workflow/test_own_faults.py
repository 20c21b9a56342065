"""One piece of work that raises is given up with its reason, in each loop of the worker: nobody else waits for it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from services.workflow.avinode.client import Avinode
from services.workflow.mail.mailing import Mailer, MailRefused
from services.workflow.mail.sending import ProposalSender
from services.workflow.notices.bursts import Burst
from services.workflow.notices.matching import Matcher
from services.workflow.orders.cancelling import Canceller
from services.workflow.orders.creating import Creator
from services.workflow.reading.checking import Checker
from services.workflow.reading.following import Follower
from services.workflow.rereading import Rereading
from services.workflow.store.deliveries import DeliveryStore, DirtyHref
from services.workflow.store.facts.due import DueTrip
from services.workflow.store.facts.store import FactStore
from services.workflow.store.intents.cancellations import Cancellation, CancellationStore
from services.workflow.store.intents.requests import Intent, RequestStore
from services.workflow.store.proposals.sends import Send, SendStore
from services.workflow.waits import Waits
from shared.publishing.publisher import Publisher
from shared.settings import Settings

ONE = UUID(int=1)
WAITS = Waits(missing_attempts=2)


class Rows:
    """A table of one row: what is due is handed out until something else was noted; every note is kept."""

    def __init__(self, due: Any) -> None:
        self.due = due
        self.noted: list[tuple[str, Any]] = []

    async def take(self, *_: object, **__: object) -> Any:
        return self.due

    async def nothing(self, *_: object, **__: object) -> Any:
        return False

    def __getattr__(self, name: str) -> Any:
        async def note(_row: object, *rest: object) -> list[Any]:
            self.noted.append((name, next((each for each in rest if isinstance(each, str) and ":" in each), None)))
            return []

        return note


class Nobody:
    """Hears every outcome."""

    async def announce(self, _outcomes: Sequence[object]) -> None:
        """Tell nobody."""


class Odd:
    """Avinode, the follower and the mailer, as nobody foresaw them."""

    longest_s = 1.0

    async def ready(self, **_: object) -> None:
        """Have room for a call."""

    async def raises(self, *_: object) -> Any:
        raise LookupError("nobody foresaw this")

    cancel_trip = create_trip = look_at = read_trip = mail = raises


NOBODY = cast(Publisher, Nobody())
REASON = "LookupError: nobody foresaw this"


async def test_a_notice_that_raises_is_tried_again_and_then_ignored() -> None:
    dirty = DirtyHref("http://a/rfqs/arfq-1", "rfqs", "arfq-1", None, 0, None, [ONE], [ONE])
    rows: Any = Rows(dirty)
    rows.next_due = rows.take
    matcher = Matcher(cast(DeliveryStore, rows), cast(Follower, Odd()), WAITS, Burst(lambda: 0))
    assert await matcher.work_notice()
    rows.due = replace(dirty, attempts=1)
    assert await matcher.work_notice()
    assert rows.noted == [("postpone", REASON), ("settle", REASON)]


async def test_a_trip_that_raises_is_read_again_later() -> None:
    rows: Any = Rows(DueTrip(ONE, "atrip-1", True, True, 0.0, 0.0, [], date(2026, 1, 1)))
    rows.next_due = rows.take
    checker = Checker(cast(FactStore, rows), cast(Follower, Odd()), NOBODY, waits=WAITS, rereading=Rereading())
    assert await checker.work_trip()
    assert await checker.work_new_trip()
    assert rows.noted == [("postpone", REASON), ("postpone", REASON)]


async def test_a_cancellation_that_raises_is_tried_again_and_then_refused() -> None:
    due = Cancellation(ONE, ONE, "atrip-1", True, False, None, "CHANGED", None, 0)
    rows: Any = Rows(due)
    rows.next_due = rows.take
    canceller = Canceller(cast(CancellationStore, rows), cast(Avinode, Odd()), NOBODY, WAITS)
    assert await canceller.work_cancellation()
    rows.due = replace(due, attempts=1)
    assert await canceller.work_cancellation()
    assert rows.noted == [("postpone", REASON), ("refused", REASON)]


@pytest.mark.parametrize(
    ("segments", "noted"),
    [
        ([{"from_icao": "KTEB", "to_icao": "KPBI", "date": "2030-05-04"}], ("unconfirmed", REASON)),
        ([{"from_icao": "KTEB"}], ("refused", "KeyError: date")),
    ],
    ids=["as-it-is-sent", "before-it-is-sent"],
)
async def test_a_request_that_raises_is_refused_where_it_surely_was_not_sent(
    segments: list[dict[str, str]], noted: tuple[str, str]
) -> None:
    rows: Any = Rows(Intent(ONE, ONE, ONE, segments, 6, {}, 1, datetime.now(UTC)))
    rows.begin_sending = rows.has_due = rows.take
    rows.has_stale = rows.nothing
    creator = Creator(cast(RequestStore, rows), cast(Avinode, Odd()), NOBODY, WAITS)
    assert await creator.work_request()
    assert rows.noted == [noted]


async def test_a_trip_that_the_database_never_takes_is_unconfirmed() -> None:
    class Made(Odd):
        async def create_trip(self, *_: object) -> Any:
            return {"data": {"id": "atrip-1"}}

    async def created(*_: object) -> Any:
        raise asyncpg.CheckViolationError("too odd")

    rows: Any = Rows(Intent(ONE, ONE, ONE, [], 6, {}, 1, datetime.now(UTC)))
    rows.begin_sending = rows.has_due = rows.take
    rows.has_stale, rows.created = rows.nothing, created
    creator = Creator(cast(RequestStore, rows), cast(Avinode, Made()), NOBODY, WAITS)
    assert await creator.work_request()
    assert rows.noted == [("unconfirmed", "CheckViolationError: too odd")]


async def test_a_mail_that_raises_is_unconfirmed_and_one_that_cannot_be_written_has_failed() -> None:
    send = Send(ONE, ONE, ("a@b.test",), None, None, {})
    rows: Any = Rows(send)
    rows.begin_sending, rows.has_stale = rows.take, rows.nothing
    sender = ProposalSender(cast(SendStore, rows), cast(Mailer, Odd()), NOBODY)
    assert await sender.work_send()
    assert rows.noted == [("settle", REASON)]

    def breaks(_send: Send, _sender: str) -> bytes:
        raise LookupError("no such glyph")

    mailer = Mailer(Settings(_env_file=None, smtp_host="127.0.0.1"), breaks)
    with pytest.raises(MailRefused, match=r"The mail cannot be written: LookupError: no such glyph"):
        await mailer.mail(send)
