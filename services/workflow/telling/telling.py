"""Tell the chat what happened to its trip: what the workflow itself publishes.

A note's time is committed, then it is published, then that is noted. So what is published twice is one message, and
says the same; and it stands after whatever was read before it was told.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from services.workflow.store.telling.notes import NoteStore
from services.workflow.store.telling.quotes import QuoteStore
from services.workflow.store.telling.sent_proposals import SentProposalStore
from services.workflow.store.telling.untold import N, Session, UntoldStore
from services.workflow.telling.notes import message_about, message_about_proposal, message_of
from shared.errors import BrokerAway, TooLarge
from shared.events import MessagePosted
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

log = structlog.get_logger(__name__)


class Teller:
    """Tells one note at a time, of each kind."""

    def __init__(
        self, quotes: QuoteStore, proposals: SentProposalStore, notes: NoteStore, publisher: Publisher
    ) -> None:
        self._quotes = quotes
        self._proposals = proposals
        self._notes = notes
        self._publisher = publisher

    async def work_quote(self) -> bool:
        """Tell every open session of the quote that has waited longest; tell whether there was one."""
        return await self._tell_next(self._quotes, message_about)

    async def work_proposal(self) -> bool:
        """Tell every session about its trip of the proposal that was sent first; tell whether there was one."""
        return await self._tell_next(self._proposals, message_about_proposal)

    async def work_note(self) -> bool:
        """Tell every session of a decline after which no answer is awaited, or of a cancellation, as above."""
        return await self._tell_next(self._notes, message_of)

    async def _tell_next(
        self, store: UntoldStore[N], message_of: Callable[[N, Session, datetime], MessagePosted]
    ) -> bool:
        note = await store.next_untold()
        if note is None:
            return False
        if note.said_at is None and self._publisher.away:
            raise BrokerAway(self._publisher.away)  # when it is told will be later
        said_at = note.said_at or await store.say(note)
        if said_at is None:
            return True
        try:
            with own_faults():
                messages = [message_of(note, session, said_at) for session in note.sessions]
            for message in messages:
                await self._publisher.publish(message)
        except (Unworkable, TooLarge) as error:
            log.error("chat not told", trip_id=str(note.trip_id), error=error.detail)
            await store.leave_unsaid(note, error.detail)
        else:
            await store.told(note)
        return True
