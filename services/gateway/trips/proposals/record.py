"""A proposal as whoever makes it sees it; docs/http.md says what each field is for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from shared.proposals.content import ChosenQuote, Content

SETTLED = ("sent", "by_hand", "failed", "unconfirmed", "lost")


@dataclass(frozen=True)
class SendRow:
    event_id: UUID
    state: str
    recipients: list[str]
    subject: str | None
    message: str | None
    code: str | None
    error: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class ProposalRow:
    proposal_id: UUID
    trip_id: UUID
    state: str
    content: Content
    prepared_at: datetime
    changed_at: datetime
    changed_by: UUID
    sent_at: datetime | None
    sends: Sequence[SendRow]
    standing: dict[str, ChosenQuote]  # those of the trip's quotes that may be chosen now

    def send(self, event_id: UUID) -> SendRow | None:
        """Return what became of one wish to send it."""
        return next((send for send in self.sends if send.event_id == event_id), None)

    @property
    def outdated(self) -> list[str]:
        """Which of its quotes are other ones by now, or gone."""
        return [
            option.quote_id
            for option in self.content.options
            if (now := self.standing.get(option.quote_id)) is None
            or (now.price_cents, now.currency) != (option.price_cents, option.currency)
        ]


class ProposalOption(BaseModel):
    quote_id: str
    operator_name: str | None
    aircraft_type: str | None
    aircraft_tail: str | None
    price_cents: int  # the operator's
    currency: str
    rate: str  # what one of `currency` is in the proposal's, exactly
    client_price_cents: int  # in hundredths of the proposal's currency
    outdated: bool  # the operator has another price by now, or has taken it back


class ProposalSend(BaseModel):
    """One try to send it."""

    state: str
    to: list[str]
    subject: str | None
    message: str | None
    problem: str | None
    created_at: datetime
    updated_at: datetime


class WholeProposal(BaseModel):
    id: UUID
    trip_id: UUID
    state: str
    currency: str
    margin_percent: float
    note: str | None
    options: list[ProposalOption]
    sends: list[ProposalSend]
    problem: str | None  # why it was not sent, or nobody can tell
    prepared_at: datetime
    changed_at: datetime
    sent_at: datetime | None


class ProposalAnswer(BaseModel):
    proposal: WholeProposal
    stored: bool


def shown(row: ProposalRow) -> WholeProposal:
    """Show a proposal; a wish that came too late has changed nothing, and is not among its tries."""
    outdated, tries = set(row.outdated), [send for send in row.sends if send.state != "lost"]
    return WholeProposal(
        id=row.proposal_id,
        trip_id=row.trip_id,
        state=row.state,
        currency=row.content.currency,
        margin_percent=float(row.content.margin_percent),
        note=row.content.note,
        options=[
            ProposalOption(
                **option.model_dump(exclude={"revision", "rate"}),
                rate=f"{option.rate:f}",
                outdated=option.quote_id in outdated,
            )
            for option in row.content.options
        ],
        sends=[_shown_send(send) for send in tries],
        problem=tries[-1].error if tries and row.state in ("failed", "unconfirmed") else None,
        prepared_at=row.prepared_at,
        changed_at=row.changed_at,
        sent_at=row.sent_at,
    )


def _shown_send(send: SendRow) -> ProposalSend:
    return ProposalSend(
        state="sending" if send.state == "intended" else send.state,
        to=send.recipients,
        subject=send.subject,
        message=send.message,
        problem=send.error,
        created_at=send.created_at,
        updated_at=send.updated_at,
    )
