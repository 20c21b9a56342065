"""Deliveries of webhooks: what is owed to whom, every attempt at it, and when the next one is due. No I/O."""

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from deploy.sandbox.avinode.faults import Faults
from deploy.sandbox.avinode.market.errors import UnknownIdError
from deploy.sandbox.avinode.market.trips import Notice
from deploy.sandbox.avinode.resources import Links
from deploy.sandbox.avinode.webhooks.settings import Webhook

GIVE_UP_AFTER = timedelta(hours=48)
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 5.0
_KEPT_DELIVERIES = 10_000
_KEPT_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver. Without an answer `status` is None and `error` says why."""

    at: datetime
    with_auth: bool
    duration_ms: int
    status: int | None = None
    answer: str = ""
    error: str | None = None


@dataclass(slots=True, eq=False)
class Delivery:
    """One notice owed to one webhook."""

    id: int
    webhook_id: str
    target: str
    notice: Notice
    body: bytes
    created_at: datetime
    first_without_auth: bool = False
    state: Literal["pending", "delivered", "dropped", "expired"] = "pending"
    attempt_count: int = 0
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=_KEPT_ATTEMPTS))

    @property
    def next_with_auth(self) -> bool:
        """Tell whether the next attempt carries credentials."""
        return self.attempt_count > 0 or not self.first_without_auth

    def record(self, attempt: Attempt) -> float | None:
        """Record an attempt; return in how many seconds the next is due, None when there is none."""
        self.attempts.append(attempt)
        self.attempt_count += 1
        if attempt.status == 200:
            self.state = "delivered"
        elif attempt.at - self.created_at >= GIVE_UP_AFTER:
            self.state = "expired"
        elif attempt.status == 401 and not attempt.with_auth:
            return 0.0
        else:
            return retry_after_s(self.attempt_count)
        return None


def retry_after_s(attempts: int) -> float:
    """Return how long to wait after that many attempts in vain: doubling, up to a few seconds."""
    return min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10))


class DeliveryLog:
    """Keep the newest deliveries."""

    def __init__(self) -> None:
        self._deliveries: dict[int, Delivery] = {}
        self._last_id = 0

    def open(self, webhook: Webhook, notice: Notice, links: Links, faults: Faults, now: datetime) -> Delivery:
        """Open a delivery."""
        self._last_id += 1
        body = notice_body(notice, links, with_trip_id=not faults.without_trip_id)
        state: Literal["pending", "dropped"] = "dropped" if faults.drop else "pending"
        delivery = Delivery(
            self._last_id,
            webhook.id,
            webhook.setting.target_uri,
            notice,
            body,
            now,
            faults.first_without_auth,
            state,
        )
        self._deliveries[delivery.id] = delivery
        self._deliveries.pop(self._last_id - _KEPT_DELIVERIES, None)
        return delivery

    def find(self, delivery_id: int) -> Delivery:
        """Find a delivery."""
        if delivery_id not in self._deliveries:
            msg = f"no delivery has the id {delivery_id}"
            raise UnknownIdError(msg)
        return self._deliveries[delivery_id]

    def since(self, delivery_id: int) -> list[Delivery]:
        """List the deliveries after an id, oldest first."""
        return [delivery for delivery in self._deliveries.values() if delivery.id > delivery_id]


def notice_body(notice: Notice, links: Links, *, with_trip_id: bool) -> bytes:
    """Write the flat pointer Avinode sends: no event, no time, no id of its own."""
    body = {"id": notice.id, "href": links.href(notice.type, notice.id), "type": notice.type}
    if with_trip_id:
        body["tripId"] = notice.trip_code
    return json.dumps(body, separators=(",", ":")).encode()


def in_another_order(deliveries: list[Delivery]) -> list[Delivery]:
    """Reorder by chance that is the same each time; two or more never stay as they were."""
    mixed = sorted(deliveries, key=lambda delivery: hashlib.sha256(str(delivery.id).encode()).digest())
    return mixed if mixed != deliveries else mixed[::-1]
