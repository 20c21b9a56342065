"""Ask a question of whichever upstream answers: another one, or the same again, until the first piece has come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.gateway.model.asking.choosing import Attempts, Next
from services.gateway.model.asking.circuit import Circuit
from services.gateway.model.asking.failures import BROKEN, UpstreamFailed
from services.gateway.model.asking.upstream import Reading, Upstream, open_upstream
from services.gateway.model.chunks import Chunk
from services.gateway.model.configured.catalog import NO_PARAMETERS, Catalog, Offer, read_catalog
from services.gateway.model.configured.prices import Prices
from services.gateway.model.ending import ENDED_WITH_ERROR, ERROR, reason_of
from services.gateway.model.relayed import Relayed
from shared.backoff import Delays
from shared.errors import ModelAway
from shared.settings import Settings

INCLUDE_USAGE = {"include_usage": True}
NOTHING = "the model's service answered with nothing"

OPEN = Gauge(
    "tripthread_model_circuit_open",
    "1 while an upstream is asked only where no other has the model, after failures in a row",
    ["upstream"],
)


def usual_delays() -> Delays:
    """Make the waits between two calls of one upstream for one question."""
    return Delays(first_s=0.5, longest_s=8.0)


class Upstreams:
    """All the services that are configured."""

    def __init__(
        self, catalog: Catalog, upstreams: Sequence[Upstream], turn_s: float, delays: Callable[[], Delays]
    ) -> None:
        self.catalog = catalog
        self._by_name = {upstream.name: upstream for upstream in upstreams}
        self._circuits = {upstream.name: upstream.circuit for upstream in upstreams}
        self.turn_s = turn_s
        self._delays = delays
        for name, circuit in self._circuits.items():
            OPEN.labels(name).set_function(partial(_open, circuit))

    def call(
        self,
        model: str,
        messages: Sequence[dict[str, Any]],
        thread_id: UUID,
        *,
        wanted: Mapping[str, Any] = NO_PARAMETERS,
        configured: Mapping[str, Any] = NO_PARAMETERS,
        relayed: Relayed | None = None,
        offered: Mapping[str, Any] = NO_PARAMETERS,
    ) -> "Call":
        """Make a call of a model, by its name or an alias.

        Args:
            model: Which one.
            messages: What was said.
            thread_id: Of the session, as upstreams know it.
            wanted: Parameters that the caller would have otherwise; only what the catalog lets it have so is sent so.
            configured: Parameters of the helper that answers, over those of the model.
            relayed: The request that this passes on. What is configured for the model holds there, too, but for what
                callers may have otherwise.
            offered: The tools that it may call, as a request has them.
        """
        offers = found.offers if (found := self.catalog.find(model)) else ()
        call = Call(self, offers, messages, thread_id, wanted=wanted, configured=configured, relayed=relayed)
        call.offer(offered)
        return call

    def attempts(self, offers: Sequence[Offer], thread_id: UUID) -> Attempts:
        """Plan the calls that a question may cost."""
        return Attempts(offers, self._circuits, thread_id, self._delays)

    def upstream(self, name: str) -> Upstream:
        return self._by_name[name]


class Call:
    """One question, to whomever it goes."""

    def __init__(
        self,
        upstreams: Upstreams,
        offers: Sequence[Offer],
        messages: Sequence[dict[str, Any]],
        thread_id: UUID,
        *,
        wanted: Mapping[str, Any],
        configured: Mapping[str, Any],
        relayed: Relayed | None = None,
    ) -> None:
        self.upstream: str | None = None  # the name of the one that was asked last
        self.tries = 0
        self.prices: Prices | None = None  # its own for this model
        self._upstreams = upstreams
        self._attempts = upstreams.attempts(offers, thread_id)
        self._messages = messages
        self._fields = {"stream_options": INCLUDE_USAGE, "prompt_cache_key": str(thread_id)}
        self._relayed = relayed
        self._wanted = wanted if relayed is None else relayed.fields
        if relayed is not None:
            self._fields |= relayed.fields
        self._configured = configured
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + upstreams.turn_s

    def offer(self, tools: Mapping[str, Any]) -> None:
        """Let the model call tools."""
        self._fields |= tools

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """Yield what is answered, until no more is said.

        Raises:
            ModelAway: Nobody has the model, or who has it can't be reached, refused the request, complained, or broke
                off; the detail says which.
        """
        following = self._attempts.first(self._loop.time())
        while following is not None:
            upstream, is_said = self._turn_to(following.offer), False
            try:
                async with self._asked(upstream, following.offer) as reading:
                    while not reading.is_over:
                        for chunk in await reading.next():
                            if chunk.complaint is not None:
                                raise upstream.complained(chunk.complaint)
                            if not is_said and chunk.is_piece:
                                if chunk.is_only_end and reason_of(chunk.finish_reason or "") == ERROR:
                                    raise UpstreamFailed(ENDED_WITH_ERROR, BROKEN)
                                is_said = True
                                upstream.succeeded()
                            yield chunk
                    if is_said or reading.is_done:
                        return
                    raise UpstreamFailed(NOTHING, BROKEN)
            except UpstreamFailed as failure:
                following = self._after(upstream, following.offer, failure)
                if is_said or following is None:
                    raise
            await asyncio.sleep(following.at - self._loop.time())
        raise ModelAway("no service is configured for this model")

    def _turn_to(self, offer: Offer) -> Upstream:
        upstream = self._upstreams.upstream(offer.upstream.name)
        self.tries += 1
        self.upstream, self.prices = upstream.name, offer.prices
        upstream.circuit.call_begins(self._loop.time())
        return upstream

    def _asked(self, upstream: Upstream, offer: Offer) -> Reading:
        fields = {**self._fields, **offer.fields(self._wanted, self._configured)}
        return upstream.answer(offer.sent_as, self._messages, fields, self._until, self._relayed)

    def _after(self, upstream: Upstream, offer: Offer, failure: UpstreamFailed) -> Next | None:
        """Note a failure, and return the next call, where one may help."""
        now = self._loop.time()
        upstream.failed(failure, now)
        following = self._attempts.after(offer, failure.outlook, failure.wait_s, now)
        return following if following is not None and following.at < self._until else None


def _open(circuit: Circuit) -> float:
    return float(circuit.is_open)


@asynccontextmanager
async def open_upstreams(settings: Settings, delays: Callable[[], Delays] = usual_delays) -> AsyncIterator[Upstreams]:
    """Open the pools of connections to all services that are configured.

    Raises:
        InvalidModelsFile: What is configured cannot be meant so.
    """
    catalog = read_catalog(settings)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_upstream(spec, settings.model_event_bytes))
            for spec in catalog.upstreams
        ]
        yield Upstreams(catalog, opened, settings.model_turn_s, delays)
