"""What goes on without a request: what is swept, told once more, counted and registered."""

from dataclasses import dataclass
from functools import partial

from services.gateway.account.limits.old_days import trimming
from services.gateway.admin.dead_letters.census import DeadLetterCensus
from services.gateway.admin.dead_letters.queries import DeadLetterQueries
from services.gateway.admin.verifying.drift import DriftCensus
from services.gateway.deletion.retention import OldSessions, ProposalStore
from services.gateway.deletion.retiring import session_retiring
from services.gateway.deletion.sweeping import DeletionSweeper
from services.gateway.deletion.sweeps import SweepStore
from services.gateway.live.looking import ChangeQueries, Looking
from services.gateway.model.configured.listing import list_models
from services.gateway.models.registering import ModelRegistration
from services.gateway.titles.queries import TitleQueries
from services.gateway.titles.titling import Titling
from services.gateway.turns.stored.census import TurnCensus
from services.gateway.turns.stored.retention import TURNS
from services.gateway.turns.sweeper import Sweeper, sweeping
from services.gateway.turns.told.relay import Relay
from services.gateway.turns.told.unanswered import Unanswered
from services.gateway.wiring.parts import Parts
from services.gateway.writes.outcomes import Outcomes
from shared.backoff import Delays
from shared.consuming.queue_census import QueueCensus
from shared.jobs.retention import retention_jobs
from shared.jobs.worker import Worker
from shared.process.census import Census


@dataclass(frozen=True)
class Background:
    sweeper: Worker
    outcomes: Outcomes
    looking: Looking
    census: Census
    drift: DriftCensus
    registration: ModelRegistration
    titling: tuple[Titling, ...]  # none: no model titles sessions


def background(parts: Parts) -> Background:
    pools, settings = parts.pools, parts.settings
    sweeper = _sweeper(parts)
    letters = DeadLetterCensus(DeadLetterQueries(pools.admin))
    queues = QueueCensus(parts.publisher, parts.history.note)
    return Background(
        sweeper,
        Outcomes(settings, parts.receipts, parts.listeners, parts.runner.recent),
        Looking(ChangeQueries(pools.admin), parts.listeners, every_s=settings.event_looks_s),
        Census(TurnCensus(pools.own).count, letters.count, queues.count),
        DriftCensus(pools.admin, lambda: sweeper.leads),
        ModelRegistration(parts.catalog, parts.models, parts.publisher, list_models, partial(Delays, 1.0, 60.0)),
        _titling(parts),
    )


def _titling(parts: Parts) -> tuple[Titling, ...]:
    """Make what has a model title sessions, and let it hear of turns, where one is configured."""
    settings, model = parts.settings, parts.catalog.find(parts.settings.title_model)
    if not settings.title_model or model is None:
        return ()
    titling = Titling(settings, model, parts.upstreams, TitleQueries(parts.pools.reader), parts.publisher)
    parts.runner.heard_by = titling.ended
    return (titling,)


def _sweeper(parts: Parts) -> Worker:
    """Make what one gateway does for all."""
    pools, settings, telling = parts.pools, parts.settings, parts.runner.telling
    relay = Relay(parts.store, parts.outbox, parts.publisher, telling, parts.unfit, lost_after_s=settings.lost_after_s)
    sweeps = DeletionSweeper(parts.deletions, SweepStore(pools.own), parts.noted, parts.store, parts.deleting)
    retiring = session_retiring(
        OldSessions(pools.admin),
        ProposalStore(pools.own),
        parts.deleting,
        parts.publisher,
        settings.sessions_kept_days,
    )
    jobs = {
        **sweeps.jobs(),
        "old sessions": retiring.work,
        **retention_jobs(pools.own, settings, (TURNS,)),
        **trimming(pools.own),
        "unanswered turns": Unanswered(parts.waiting, telling, parts.unfit).close,
    }
    return sweeping(pools.own, Sweeper(parts.store, parts.running, parts.unfit), relay, jobs)
