"""What became of a change: whether the logger has heard of it, and what a session is going to be by it. Pure.

The stamps are those of `services/logger/reducing/settling.py`: when each field was set last, and by which event.
"""

import re
from collections.abc import Mapping
from typing import Any

from services.gateway.sessions.answers import Session
from services.gateway.sessions.own_session import OwnSession
from services.gateway.sessions.view import SessionFacts, etag_of
from shared.events import SessionChanged

CHANGE = 2  # the length of a change's stamp; an opening's, which is longer, counts less than any change


def has_settled(facts: SessionFacts, event: SessionChanged) -> bool:
    """Tell whether each field of a change is its own, or a newer one's."""
    stored = facts.stored
    if stored is None:
        return False
    stamps = [stored.field_stamps.get(name, []) for name in event.changed]
    if not all(len(stamp) == CHANGE and stamp >= event.stamp for stamp in stamps):
        return False
    end, newest_end = event.ended_at, stored.ended_at
    return end is None or (newest_end is not None and newest_end >= end) or stored.last_activity_at > end


def expected(own: OwnSession, patch: Mapping[str, Any]) -> Session:
    """Show a session as it is going to be; which automatic title it has is not known where its user's is taken back."""
    update: dict[str, Any] = {**patch, "stored": False}
    if "title" in patch and patch["title"] is None:
        row = own.facts.stored or own.facts.opened
        update["title"] = own.shown.title if row is not None and row.title_source == "message" else None
    return own.shown.model_copy(update=update)


def is_edited_as(if_match: str | None, own: OwnSession) -> bool:
    """Tell whether nobody has edited a session since its caller read it.

    Only the half of the tag before the point counts, which names what people have edited; an unstored session has none.
    Weak tags are compared as strong ones: a proxy that packs an answer makes its tag weak.
    """
    if if_match is None or if_match.strip() == "*":
        return True
    etag = etag_of(own.facts, own.shown)
    named = {tag.partition(".")[0] for tag in re.findall(r'"([^"]*)"', if_match)}
    return etag is not None and etag.strip('"').partition(".")[0] in named
