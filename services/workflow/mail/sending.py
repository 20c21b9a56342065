"""Send proposals that are to be mailed: each wish at most once, whatever breaks in between."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from services.workflow.mail.mailing import Mailer, MailRefused, MailUnclear
from services.workflow.store.proposals.sends import Send, SendStore
from shared.events import TripAdvanced
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

Settle = Callable[[], Awaitable[list[TripAdvanced]]]
SLACK_S = 60.0  # beyond the longest sending: then whoever was mailing no longer is

log = structlog.get_logger(__name__)


class ProposalSender:
    """Mails one wish at a time."""

    def __init__(self, sends: SendStore, mailer: Mailer, publisher: Publisher) -> None:
        self._sends = sends
        self._mailer = mailer
        self._announce = publisher.announce
        self._settle: Settle | None = None  # what became of a mail, where it is not written yet

    async def abandon(self) -> None:
        """Show what a process before this one was mailing when it ended."""
        await self._announce(await self._sends.abandon())

    async def work_send(self) -> bool:
        """Mail the wish that has waited longest; tell whether there was one.

        What became of it is remembered until it is written, should the database be away just then.
        """
        if self._settle is None:
            stale_s = self._mailer.longest_s + SLACK_S
            if await self._sends.has_stale(stale_s):
                await self._announce(await self._sends.abandon(stale_s))
            send = await self._sends.begin_sending()
            if send is None:
                return False
            self._settle = await self._mail(send)
        outcomes = await self._settle()
        self._settle = None
        await self._announce(outcomes)
        return True

    async def _mail(self, send: Send) -> Settle:
        """Mail it, and return how to note what came of that."""
        try:
            with own_faults():
                await self._mailer.mail(send)
        except MailRefused as error:
            log.warning("proposal not mailed", proposal_id=str(send.proposal_id), error=error.detail)
            return partial(self._sends.settle, send, "failed", error.detail)
        except (MailUnclear, Unworkable) as error:
            log.error("proposal unconfirmed", proposal_id=str(send.proposal_id), error=error.detail)
            return partial(self._sends.settle, send, "unconfirmed", error.detail)
        log.info("proposal mailed", proposal_id=str(send.proposal_id))
        return partial(self._sends.settle, send, "sent")
