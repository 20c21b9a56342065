"""What a user says to the calls that wait for their consent. Pure.

An approval's id names the turn that asks: so its row is found by it, and one whose time is over is told from one that
never was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.gateway.turns.call_parts import calls_in, responded
from shared.errors import ApprovalSettled

KEPT = timedelta(days=7)  # how long a call waits, and its turn's row is kept for that
LONGEST_REASON = 1000  # characters

_APPROVAL = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})-[0-9]{1,4}")

Part = dict[str, Any]


@dataclass(frozen=True)
class Consent:
    """What a user says to one call."""

    approval_id: str
    approved: bool
    reason: str | None = None


def name_approval(turn_id: UUID, number: int) -> str:
    """Name the approval of a turn's call, which is so many calls behind its first."""
    return f"{turn_id}-{number}"


def asking_turn(approval_id: str) -> UUID | None:
    """Return the turn that asks; none: nobody has ever asked so."""
    found = _APPROVAL.fullmatch(approval_id)
    return UUID(found[1]) if found else None


def is_past(turn_id: UUID, now: datetime) -> bool:
    """Tell whether whatever this turn asked was asked so long ago that nobody can answer it any more."""
    return datetime.fromtimestamp((turn_id.int >> 80) / 1000, UTC) < now - KEPT


def asked_in(parts: Sequence[Part]) -> Mapping[str, Part]:
    """Return the calls that ask, or did, by approval."""
    return {part["approval"]["id"]: part for part in calls_in(parts) if part.get("approval")}


def unsaid(parts: Sequence[Part], consents: Sequence[Consent]) -> list[Consent]:
    """Return those of these that say something new; all are of these parts.

    Raises:
        ApprovalSettled: The user has said the opposite before.
    """
    asked = asked_in(parts)
    said = {consent: asked[consent.approval_id]["approval"].get("approved") for consent in consents}
    for consent, before in said.items():
        if before is not None and before is not consent.approved:
            raise settled(approved=before)
    return [consent for consent, before in said.items() if before is None]


def settled(*, approved: bool, because: str | None = None) -> ApprovalSettled:
    """Say that nothing more can be said to a call."""
    detail = because or f"This call was {'approved' if approved else 'denied'} already."
    return ApprovalSettled(detail, approved=approved)


def answered(parts: Sequence[Part], consents: Sequence[Consent]) -> list[Part]:
    """Put what the user says into the parts of an answer."""
    said = {consent.approval_id: consent for consent in consents}

    def answer(part: Part) -> Part:
        consent = said.get(part["approval"]["id"]) if part.get("approval") else None
        return part if consent is None else responded(part, approved=consent.approved, reason=consent.reason)

    return [answer(part) for part in parts]


def denied(parts: Sequence[Part], reason: str) -> list[Part]:
    """Deny every call that waits in these parts."""
    waiting = [
        Consent(name, approved=False, reason=reason)
        for name, part in asked_in(parts).items()
        if "approved" not in part["approval"]
    ]
    return answered(parts, waiting)
