"""Reserve sessions, each with its tag, before anything is said in them: for a test that asks a model many times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.account.identity import Caller, KnownCallerDep
from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.account.limits.throttle import user_account
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name, WholeNumber
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.model.configured.catalog import Catalog
from services.gateway.models.answers import Model, ReservedTag
from services.gateway.models.queries import ModelQueries, ReservedQueries
from services.gateway.writes.accept import Accepting
from shared.errors import Forbidden, NotFound
from shared.events import TagBatchRequested
from shared.ids import NAMESPACE, derived_id, model_id, new_id, reserved_session, scoped

MOST_RESERVED = 1000  # sessions of one batch
BATCHES = Rate(60, "batches", "batches")  # of one user, on one replica: a batch is a thousand rows

router = APIRouter(tags=["analytics"], route_class=StrictRoute)


class NewBatch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Name  # its name, an alias, or its id
    count: WholeNumber = Field(ge=1, le=MOST_RESERVED)
    experiment_name: Name | None = None


class ReservedTags(BaseModel):
    session_tags: list[ReservedTag]  # in the order of their numbers
    stored: bool


@dataclass(frozen=True)
class Reserving:
    """What the route works with."""

    catalog: Catalog
    models: ModelQueries
    queries: ReservedQueries
    accepting: Accepting
    buckets: Buckets

    async def reserve(self, caller: Caller, body: NewBatch, write: Write) -> tuple[list[ReservedTag], int]:
        """Reserve the sessions of a batch, or return those that its key has reserved.

        Returns:
            The sessions, and the status: 200 where they were there, 201, or 202 where the tagger has not reserved them
            yet.

        Raises:
            BrokerAway: Nothing can be accepted.
            Forbidden: The caller may not reserve any.
            NotFound: No tracked model is called so.
            TooMany: The caller has reserved too many batches.
        """
        if caller.is_visitor or caller.projects is not None:
            raise Forbidden("Visitors and tokens of projects reserve no sessions.")
        await self.buckets.take(BATCHES, user_account(caller.user_id))
        user_id, batch_id = caller.user_id, _batch_id(caller, write.key)
        session_ids = [reserved_session(batch_id, place) for place in range(body.count)]
        now, known = await self.queries.of_sessions(user_id, session_ids)
        if len(known) == len(session_ids):
            return known, 200
        model = await self._tracked(body.model)
        event = TagBatchRequested(
            correlation_id=write.correlation_id,
            user_id=user_id,
            accepted_at=now,
            batch_id=batch_id,
            count=body.count,
            name=model.name,
            provider=model.provider,
            experiment_name=body.experiment_name,
        )

        async def look() -> Sequence[ReservedTag] | None:
            _, found = await self.queries.of_sessions(user_id, session_ids)
            return found if len(found) == len(session_ids) else None

        stored = await self.accepting.accept([event], look, write.wait_s)
        if stored is not None:
            return list(stored), 201
        return [ReservedTag(session_id=each, session_tag=None, counter=None) for each in session_ids], 202

    async def _tracked(self, named: str) -> Model:
        configured = self.catalog.find(named)
        provider = configured.provider if configured else self.catalog.usual_provider
        for key in (_as_id(named), model_id(provider, configured.name if configured else named)):
            model = await self.models.find(key) if key else None
            if model is not None and model.tracked:
                return model
        raise NotFound("There is no such model whose sessions are tagged.")


def _batch_id(caller: Caller, key: str | None) -> UUID:
    return derived_id(NAMESPACE, f"batch/{scoped(caller.user_id, key)}") if key else new_id()


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@router.post(
    "/api/analytics/session-tags",
    status_code=201,
    responses={
        200: {"model": ReservedTags, "description": "This key has reserved them before"},
        202: {"model": ReservedTags, "description": "Accepted, and not numbered yet"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def reserve_sessions(
    reserving: Annotated[Reserving, from_app(Reserving)],
    caller: KnownCallerDep,
    body: NewBatch,
    write: WriteDep,
    response: Response,
) -> ReservedTags:
    """Reserve sessions of the caller's, each with its tag; they are listed once something is said in them."""
    tags, response.status_code = await reserving.reserve(caller, body, write)
    return ReservedTags(session_tags=tags, stored=response.status_code != 202)
