"""The courier: posts deliveries to their webhooks until each was answered 200, as Avinode does."""

import asyncio
import base64
from collections.abc import Callable
from datetime import datetime
from time import monotonic

import aiohttp

from deploy.sandbox.avinode.faults import FaultSwitch
from deploy.sandbox.avinode.market.inputs import NewWebhook
from deploy.sandbox.avinode.market.trips import Notice
from deploy.sandbox.avinode.resources import Links
from deploy.sandbox.avinode.webhooks.deliveries import Attempt, Delivery, DeliveryLog, in_another_order
from deploy.sandbox.avinode.webhooks.settings import Webhooks

_TIMEOUT_S = 10.0
_HEAD_START_S = 0.1
"""How long an attempt may hold up the next one: keeps the order while the receiver is quick, no longer."""
_SHUFFLE_WINDOW_S = 0.25
_SHOWN_ANSWER = 200


class Courier:
    """Deliver notices. `announce` may be called from any code on the loop; `run` does the sending."""

    def __init__(
        self,
        webhooks: Webhooks,
        log: DeliveryLog,
        faults: FaultSwitch,
        links: Links,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._log = log
        self._faults = faults
        self._links = links
        self._clock = clock
        self._due: asyncio.Queue[Delivery] = asyncio.Queue()
        self._held: list[Delivery] = []

    def announce(self, notice: Notice) -> None:
        """Owe the notice to every webhook that wants it, with the faults of this moment."""
        faults = self._faults.current
        for webhook in self._webhooks.hearing(notice.event):
            for _ in range(1 + faults.duplicate):
                delivery = self._log.open(webhook, notice, self._links, faults, self._clock())
                if delivery.state == "pending":
                    self._take(delivery, faults.delay_ms / 1000, shuffle=faults.shuffle)

    def redeliver(self, delivery: Delivery) -> None:
        """Send a delivery once more, whatever became of it."""
        delivery.state = "pending"
        self._due.put_nowait(delivery)

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        # A connection each: one kept alive would make a restarted receiver look away when it is back.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http, asyncio.TaskGroup() as tasks:
            while True:
                sending = tasks.create_task(self._send(http, await self._due.get()))
                await asyncio.wait({sending}, timeout=_HEAD_START_S)

    def _take(self, delivery: Delivery, delay_s: float, *, shuffle: bool) -> None:
        if not shuffle:
            self._put_later(delivery, delay_s)
            return
        self._held.append(delivery)
        if len(self._held) == 1:
            asyncio.get_running_loop().call_later(_SHUFFLE_WINDOW_S + delay_s, self._release_held)

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for delivery in in_another_order(held):
            self._due.put_nowait(delivery)

    def _put_later(self, delivery: Delivery, delay_s: float) -> None:
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._due.put_nowait, delivery)
        else:
            self._due.put_nowait(delivery)

    async def _send(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        if delivery.state != "pending":  # Redelivered while a retry was waiting.
            return
        attempt = await self._attempt(http, delivery)
        next_in_s = delivery.record(attempt)
        if next_in_s is not None:
            self._put_later(delivery, next_in_s)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: Delivery) -> Attempt:
        at, started, with_auth = self._clock(), monotonic(), delivery.next_with_auth
        setting = self._webhooks.find(delivery.webhook_id).setting
        try:
            async with http.post(
                setting.target_uri,
                data=delivery.body,
                headers=_headers(setting, with_auth=with_auth),
                allow_redirects=False,
            ) as response:
                answer = (await response.content.read(_SHOWN_ANSWER)).decode(errors="replace")
                return Attempt(at, with_auth, _elapsed_ms(started), response.status, answer)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            return Attempt(at, with_auth, _elapsed_ms(started), error=reason)


def _headers(setting: NewWebhook, *, with_auth: bool) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "avinode-sim"}
    if with_auth:
        pair = f"{setting.client_identifier}:{setting.client_secret}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers


def _elapsed_ms(started: float) -> int:
    return round((monotonic() - started) * 1000)
