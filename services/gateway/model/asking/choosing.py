"""Which upstream is asked next, and when: by weight, by health, and by what was tried for this question. Pure.

A session stays with one upstream while that is well, since a service keeps the beginnings of conversations that it has
read, and asks less for them; sessions are shared out by weight.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from services.gateway.model.asking.circuit import Circuit
from services.gateway.model.asking.failures import Outlook
from services.gateway.model.configured.catalog import Offer, UpstreamSpec
from shared.backoff import Delays

MOST_CALLS = 3  # for one question, where there are fewer upstreams than that
LONGEST_WAIT_S = 20.0  # that a turn waits for; whoever wants to be left alone for longer is not asked again


class Next(NamedTuple):
    """A call to make."""

    offer: Offer
    at: float  # not before


class Attempts:
    """The calls that one question costs.

    Args:
        offers: The ways to its model.
        circuits: Of each upstream, by name.
        thread_id: Of its session, as upstreams know it.
        make_delays: Makes the waits between two calls of one upstream, beyond what it asks for itself.
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        circuits: Mapping[str, Circuit],
        thread_id: UUID,
        make_delays: Callable[[], Delays],
    ) -> None:
        self._fresh = list(offers)
        self._circuits = circuits
        self._thread_id = thread_id
        self._make_delays = make_delays
        self._delays: Delays | None = None  # none: nothing has failed, as nearly always
        self._left = max(MOST_CALLS, len(offers))
        self._again: list[Next] = []

    def first(self, now: float) -> Next | None:
        """Return whom to ask first; None where nobody has the model."""
        return self._take_fresh(now)

    def after(self, offer: Offer, outlook: Outlook, wait_s: float | None, now: float) -> Next | None:
        """Return what to do after a call has failed before its first piece; None where nothing helps.

        Args:
            offer: Who failed.
            outlook: What may help.
            wait_s: For how long it wants to be left alone, where it says so.
            now: Seconds of the circuits' clock.
        """
        self._left -= 1
        self._delays = self._delays or self._make_delays()
        wait_s = (wait_s or 0) + self._delays.next()
        if outlook.again and wait_s <= LONGEST_WAIT_S and not self._circuits[offer.upstream.name].is_open:
            self._again.append(Next(offer, now + wait_s))
        if self._left <= 0 or not (outlook.again or outlook.elsewhere):
            return None
        return self._take_fresh(now) or self._take_again()

    def _take_fresh(self, now: float) -> Next | None:
        if len(self._fresh) < 2:
            return Next(self._fresh.pop(), now) if self._fresh else None
        chosen = choose(self._fresh, self._circuits, self._thread_id, now)
        self._fresh.remove(chosen)
        return Next(chosen, now)

    def _take_again(self) -> Next | None:
        if not self._again:
            return None
        soonest = min(self._again, key=lambda each: each.at)
        self._again.remove(soonest)
        return soonest


def choose(offers: Sequence[Offer], circuits: Mapping[str, Circuit], thread_id: UUID, now: float) -> Offer:
    """Return the offer of the session's own upstream among those that are well, else of the one that is so soonest."""
    well = [offer for offer in offers if circuits[offer.upstream.name].admits(now)]
    if not well:
        return min(offers, key=lambda offer: circuits[offer.upstream.name].alone_until)
    return min(well, key=lambda offer: _distance(offer.upstream, thread_id))


def _distance(upstream: UpstreamSpec, thread_id: UUID) -> float:
    """Return how far a session is from an upstream: of many sessions its weight's share is nearest to it.

    Weighted rendezvous hashing: where one upstream is away, only its own sessions move.
    """
    digest = blake2b(thread_id.bytes + upstream.name.encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64) / upstream.weight
