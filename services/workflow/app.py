"""Wire the workflow: its two queues, its tables, Avinode, and the work that is due."""

from services.workflow.avinode.client import Avinode, open_avinode
from services.workflow.handlers import DeliveryHandler, TripHandler
from services.workflow.holding import HoldKeeper
from services.workflow.mail.mailing import Mailer
from services.workflow.mail.sending import ProposalSender
from services.workflow.notices.bursts import Burst
from services.workflow.notices.matching import Matcher
from services.workflow.orders.cancelling import Canceller
from services.workflow.orders.creating import Creator
from services.workflow.reading.checking import Checker
from services.workflow.reading.following import Follower
from services.workflow.rereading import Rereading
from services.workflow.store.deliveries import DeliveryStore
from services.workflow.store.facts.store import FactStore
from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.intents.cancellations import CancellationStore
from services.workflow.store.intents.requests import RequestStore
from services.workflow.store.proposals.sends import SendStore
from services.workflow.store.status import StatusStore
from services.workflow.store.sweeps import SweepStore
from services.workflow.store.telling.notes import NoteStore
from services.workflow.store.telling.quotes import QuoteStore
from services.workflow.store.telling.sent_proposals import SentProposalStore
from services.workflow.sweeping.jobs import Sweeper
from services.workflow.sweeping.retention import KINDS
from services.workflow.telling.telling import Teller
from services.workflow.waits import Waits
from shared import topology
from shared.consuming.handled_queue import HandledQueue
from shared.database import Pool, open_pool, probe
from shared.jobs.leader import Leader
from shared.jobs.retention import retention_jobs
from shared.jobs.worker import Worker
from shared.process.service import Service
from shared.publishing.publisher import Publisher
from shared.settings import Settings

LEADER_LOCK = 7_470_951_387  # any number that no other lock of this database has


async def main(settings: Settings) -> None:
    """Run the workflow until a signal."""
    waits = Waits(unmatched_s=settings.unmatched_notice_days * 86400)
    async with (
        Service(settings, "workflow") as service,
        open_pool(settings.workflow_database_url, settings.instance, settings.database_pool_size) as pool,
        Publisher(settings, "workflow") as publisher,
        open_avinode(settings, waits) as avinode,
    ):
        service.check("publisher", publisher.fault)
        service.check("database", lambda: probe(pool, "workflow"))
        await service.run(*wire(settings, pool, publisher, avinode, waits))


def wire(
    settings: Settings, pool: Pool, publisher: Publisher, avinode: Avinode, waits: Waits
) -> tuple[HandledQueue, HandledQueue, Worker]:
    """Make the two consumers and the worker out of what they share."""
    shared = settings.trips_shared
    deliveries = DeliveryStore(pool)
    rereading = Rereading(settings.trip_reread_s, settings.trip_reread_longest_s)
    requests = RequestStore(pool, shared=shared, rereading=rereading)
    facts = FactStore(pool, shared=shared, rereading=rereading)
    creator = Creator(requests, avinode, publisher, waits)
    follower = Follower(facts, avinode, publisher)
    checker = Checker(facts, follower, publisher, waits=waits, rereading=rereading)
    keeper = HoldKeeper(StatusStore(pool), avinode, publisher)
    teller = Teller(QuoteStore(pool), SentProposalStore(pool), NoteStore(pool), publisher)
    sender = ProposalSender(SendStore(pool), Mailer(settings), publisher)
    sweeper = Sweeper(pool, SweepStore(pool))
    canceller = Canceller(CancellationStore(pool), avinode, publisher, waits)
    jobs = {
        "requests": creator.work_request,
        "cancellations": canceller.work_cancellation,
        "notices": Matcher(deliveries, follower, waits, Burst(lambda: notices.waiting)).work_notice,
        "new trips": checker.work_new_trip,
        "trips": checker.work_trip,
        "quotes": teller.work_quote,
        "proposals": teller.work_proposal,
        "notes": teller.work_note,
        "mails": sender.work_send,
        "holds": keeper.work_hold,
        "deletions": sweeper.sweep_session,
        "erasures": sweeper.sweep_user,
        **retention_jobs(pool, settings, KINDS),
    }

    async def begin() -> None:
        await creator.abandon()
        await sender.abandon()
        await keeper.begin()

    worker = Worker(
        "workflow.due",
        Leader(pool, LEADER_LOCK, begin),
        jobs,
        close=avinode.bucket.close,
        idle_s=waits.idle_s,
        backoff=waits.backoff,
    )
    trip_handler = TripHandler(TripStore(pool, shared=shared, mails=bool(settings.smtp_host)))
    notice_handler = DeliveryHandler(deliveries, avinode.base_url, most=settings.max_body_bytes)
    trips = HandledQueue(settings, topology.WORKFLOW_TRIPS, trip_handler.hear, publisher=publisher, settled=worker.wake)
    notices = HandledQueue(
        settings, topology.WORKFLOW_DELIVERIES, notice_handler.hear, publisher=publisher, settled=worker.wake
    )
    return trips, notices, worker
