"""Prepare, change and send proposals: events out, and what became of them back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.http.write_headers import Write
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.proposals.orders import NewProposal, ProposalPatch, SendProposal, content_of
from services.gateway.trips.proposals.queries import ProposalQueries
from services.gateway.trips.proposals.record import SETTLED, ProposalRow, SendRow
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.records.record import Trip, TripRow
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import (
    Conflict,
    Invalid,
    NoSuchProposal,
    ProposalOutdated,
    ProposalSettled,
    ProposalUnconfirmed,
    TripClosed,
)
from shared.events import ProposalChanged, ProposalPrepared, ProposalSent
from shared.ids import NAMESPACE, derived_id, new_id, scoped
from shared.proposals.content import ChosenQuote, Leg
from shared.publishing.publisher import Publisher
from shared.settings import Settings

MOST_PROPOSALS = 100  # of one trip
NEVER_AGAIN = ("sent", "by_hand", "unconfirmed")  # states after which a proposal does not change


@dataclass(frozen=True)
class Proposing:
    """What the routes work with."""

    settings: Settings
    turns: TurnReadings
    trips: TripQueries
    queries: ProposalQueries
    buckets: Buckets
    publisher: Publisher
    accepting: Accepting

    async def find(self, caller: Caller, proposal_id: UUID) -> tuple[ProposalRow, TripRow]:
        """Return a proposal, with its trip as the caller's session about it that was active last has it.

        Raises:
            NoSuchProposal: There is none, or it is of a trip that the caller does not see.
        """
        row = await self.queries.find(caller.user_ids, proposal_id)
        if row is not None:
            wanted = TripFilter(trip_id=row.trip_id, projects=caller.projects)
            spoken = await self.turns.last_spoken(caller.user_ids)
            for _, trip in await self.trips.page(caller.user_ids, wanted, 1, None, spoken):
                return row, trip
        raise NoSuchProposal

    async def prepare(self, caller: Caller, trip: Trip, order: NewProposal, write: Write) -> tuple[ProposalRow, int]:
        """Prepare a proposal of a trip.

        Returns:
            It, and the status: 201, 200 where this key has made it before, 202 where it is not stored yet.

        Raises:
            TripClosed: Nothing of the trip is to be proposed any more.
            Invalid: The quotes may not be chosen, or make no prices.
        """
        require_broker(self.publisher)
        name = f"proposal/{scoped(trip.iso_agent_id, str(trip.id))}/{write.key}"
        proposal_id = derived_id(NAMESPACE, name) if write.key else new_id()
        if write.key and (known := await self.queries.find(caller.user_ids, proposal_id)):
            return known, 200
        if trip.outcome is not None:
            raise TripClosed
        choice = await self.queries.choice(caller.user_ids, trip.id)
        if choice.proposals >= MOST_PROPOSALS:
            raise Conflict(f"This trip has {MOST_PROPOSALS} proposals already, which is as many as it may have.")
        event = ProposalPrepared(
            event_id=derived_id(proposal_id, ProposalPrepared.__name__),
            correlation_id=write.correlation_id,
            user_id=trip.iso_agent_id,
            session_id=trip.conversation_id,
            accepted_at=choice.at,
            trip_id=trip.id,
            proposal_id=proposal_id,
            content=content_of(order, choice.quotes, _legs(trip), trip.pax),
        )

        async def look() -> ProposalRow | None:
            return await self.queries.find(caller.user_ids, proposal_id)

        stored = await self.accepting.accept([event], look, write.wait_s)
        return stored or _expected(event, choice.quotes), 201 if stored else 202

    async def change(
        self, caller: Caller, proposal_id: UUID, patch: ProposalPatch, write: Write
    ) -> tuple[ProposalRow, int]:
        """Set fields of a proposal that was not sent; its quotes are taken as they stand now.

        Raises:
            ProposalSettled: It was sent, or is being sent.
            Invalid: The body sets nothing, the quotes may not be chosen, or make no prices.
        """
        require_broker(self.publisher)
        row, trip = await self.find(caller, proposal_id)
        if not patch.model_fields_set:
            raise Invalid("The body sets nothing.")
        if row.state not in ("prepared", "failed"):
            raise ProposalSettled
        choice = await self.queries.choice(caller.user_ids, row.trip_id)
        event = ProposalChanged(
            correlation_id=write.correlation_id,
            user_id=trip.iso_agent_id,
            session_id=trip.conversation_id,
            accepted_at=choice.at,
            trip_id=row.trip_id,
            proposal_id=proposal_id,
            content=content_of(patch.over(row.content), choice.quotes, row.content.legs, row.content.pax),
        )
        stored = await self.accepting.accept([event], self._changed(caller, event), write.wait_s)
        return stored or _expected(event, choice.quotes, row), 200 if stored else 202

    def _changed(self, caller: Caller, event: ProposalChanged) -> Callable[[], Awaitable[ProposalRow | None]]:
        async def look() -> ProposalRow | None:
            row = await self.queries.find(caller.user_ids, event.proposal_id)
            if row is None or (row.changed_at, row.changed_by) >= (event.accepted_at, event.event_id):
                return row
            if row.state in NEVER_AGAIN:
                raise ProposalSettled
            return None

        return look

    async def send(
        self, caller: Caller, account: str, proposal_id: UUID, wish: SendProposal, write: Write
    ) -> tuple[ProposalRow, int]:
        """Send a proposal, by mail or by hand.

        Returns:
            It, and the status: 200 where it is known what became of that, else 202.

        Raises:
            ProposalSettled: It was sent, is being sent, or nobody can tell.
            ProposalOutdated: An operator has another price by now, and it is to be mailed.
            TripClosed: The trip is over.
            TooMany: Too many were sent within an hour.
        """
        require_broker(self.publisher)
        row, trip = await self.find(caller, proposal_id)
        repeated = derived_id(proposal_id, f"send/{scoped(trip.iso_agent_id, write.key or '')}")
        event = ProposalSent(
            event_id=repeated if write.key else new_id(),
            correlation_id=write.correlation_id,
            user_id=trip.iso_agent_id,
            session_id=trip.conversation_id,
            accepted_at=(await self.queries.choice(caller.user_ids, row.trip_id)).at,
            trip_id=row.trip_id,
            proposal_id=proposal_id,
            to=wish.recipients,
            subject=wish.subject,
            message=wish.message,
        )
        if (known := row.send(event.event_id)) is not None:
            return _if_worked(row, known), 200 if known.state in SETTLED else 202
        _admit(row, trip, wish)
        limit = Rate(self.settings.proposal_sends_per_hour, "proposal_sends", "proposals sent", per="hour")
        await self.buckets.take(limit, account)
        return await self._sent(caller, event, row, write.wait_s)

    async def _sent(
        self, caller: Caller, event: ProposalSent, row: ProposalRow, wait_s: float
    ) -> tuple[ProposalRow, int]:
        seen = [row]

        async def look() -> ProposalRow | None:
            found = await self.queries.find(caller.user_ids, event.proposal_id)
            send = None if found is None else found.send(event.event_id)
            if found is None or send is None:
                return None
            seen.append(_if_worked(found, send))
            return found if send.state in SETTLED else None

        settled = await self.accepting.accept([event], look, wait_s)
        return settled or seen[-1], 200 if settled else 202


def _legs(trip: Trip) -> list[Leg]:
    return [Leg(origin=leg.from_icao, destination=leg.to_icao, date=leg.date, time=leg.time) for leg in trip.segments]


def _admit(row: ProposalRow, trip: TripRow, wish: SendProposal) -> None:
    """Refuse at once what the workflow would refuse."""
    if row.state not in ("prepared", "failed") and not (row.state == "unconfirmed" and not wish.recipients):
        raise ProposalUnconfirmed if row.state == "unconfirmed" else ProposalSettled
    if trip.outcome is not None:
        raise TripClosed
    if wish.recipients and row.outdated:
        raise ProposalOutdated(quote_ids=row.outdated)


def _if_worked(row: ProposalRow, send: SendRow) -> ProposalRow:
    """Return the proposal, unless the wish to send it came too late."""
    if send.state == "lost":
        raise (TripClosed if send.code == TripClosed.code else ProposalSettled)(send.error)
    return row


def _expected(
    event: ProposalPrepared | ProposalChanged, standing: dict[str, ChosenQuote], row: ProposalRow | None = None
) -> ProposalRow:
    """Show what an event is going to make."""
    return ProposalRow(
        proposal_id=event.proposal_id,
        trip_id=event.trip_id,
        state=row.state if row else "prepared",
        content=event.content,
        prepared_at=row.prepared_at if row else event.accepted_at,
        changed_at=event.accepted_at,
        changed_by=event.event_id,
        sent_at=None,
        sends=row.sends if row else [],
        standing=standing,
    )
