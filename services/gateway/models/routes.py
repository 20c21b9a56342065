"""The models whose sessions are tagged."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, StrictBool, StringConstraints

from services.gateway.account.identity import AdminDep, KnownCallerDep
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.model.configured.catalog import Catalog
from services.gateway.models.answers import Model
from services.gateway.models.queries import ModelQueries
from services.gateway.writes.accept import Accepting
from shared.errors import NotFound
from shared.events import ModelChanged, ModelRegistered
from shared.ids import model_id as id_of_model

router = APIRouter(tags=["models"], route_class=StrictRoute)


@dataclass(frozen=True)
class Models:
    """What these routes work with."""

    catalog: Catalog
    queries: ModelQueries
    accepting: Accepting

    def shown(self, model: Model) -> Model:
        """Say of a model whether it can be asked for, and by which other names."""
        found = self.catalog.find(model.name)
        if found is None or (found.provider, found.name) != (model.provider, model.name):
            return model
        return model.model_copy(update={"configured": True, "aliases": list(found.aliases)})


PAGING = Paging("models", UUID)
ModelsDep = Annotated[Models, from_app(Models)]
ModelName = Annotated[Name, StringConstraints(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]  # not only spaces


class ModelPage(Page):
    models: list[Model]


class NewModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: ModelName
    provider: ModelName | None = None  # none: the provider that this installation's chats go to
    tracked: StrictBool = True


class ModelChange(BaseModel):
    """What an administrator may set of a model; its id, and its part of a tag, follow from its name and stay."""

    model_config = ConfigDict(extra="forbid")

    display_name: ModelName | None = None  # null: the name again
    tracked: StrictBool = True

    def applied_to(self, model: Model) -> Model:
        """Return the model as it is going to be."""
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        if "display_name" in changes and self.display_name is None:
            changes["display_name"] = model.name
        return model.model_copy(update=changes)

    def event(self, model: Model, at: datetime, write: Write) -> ModelChanged:
        return ModelChanged(
            correlation_id=write.correlation_id,
            occurred_at=at,
            name=model.name,
            provider=model.provider,
            changed=tuple(sorted(self.model_fields_set)),
            display_name=self.display_name,
            tracked=self.tracked,
        )


class ModelAnswer(Model):
    stored: bool


@router.get("/api/models", responses=problem_responses(401, 422, 429, 503))
async def list_models(models: ModelsDep, _caller: KnownCallerDep, query: Annotated[PageQuery, Query()]) -> ModelPage:
    """List the known models, the newest first."""
    rows = await models.queries.page(query.limit + 1, PAGING.before(query))
    page, cursor = PAGING.cut(rows, query)
    return ModelPage(models=[models.shown(model) for model in page], next_cursor=cursor)


@router.post(
    "/api/models",
    status_code=201,
    responses={
        200: {"model": ModelAnswer, "description": "It was known already"},
        202: {"model": ModelAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 413, 415, 422, 429, 503),
    },
)
async def register_model(
    models: ModelsDep, _admin: AdminDep, body: NewModel, write: WriteDep, response: Response
) -> ModelAnswer:
    """Make a model known; the same provider and name are the same model."""
    configured = models.catalog.find(body.name)
    provider = body.provider or (configured.provider if configured else models.catalog.usual_provider)
    wanted = Model(
        id=id_of_model(provider, body.name),
        name=body.name,
        display_name=body.name,
        provider=provider,
        tracked=body.tracked,
        short_id=None,
    )
    known = await models.queries.find(wanted.id)
    event = ModelRegistered(
        correlation_id=write.correlation_id, name=wanted.name, provider=wanted.provider, tracked=wanted.tracked
    )

    async def look() -> Model | None:
        found = await models.queries.find(wanted.id)
        return found if found and found.tracked == wanted.tracked else None

    stored = await models.accepting.accept([event], look, write.wait_s)
    response.status_code = 202 if stored is None else 200 if known else 201
    return ModelAnswer(**models.shown(stored or wanted).model_dump(), stored=stored is not None)


@router.patch(
    "/api/models/{model_id}",
    responses={
        202: {"model": ModelAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def change_model(
    *, models: ModelsDep, _admin: AdminDep, model_id: UUID, body: ModelChange, write: WriteDep, response: Response
) -> ModelAnswer:
    """Name a model for people; track it, from its next session on, or track it no more."""
    found = await models.queries.find_to_change(model_id)
    if found is None:
        raise NotFound("There is no such model.")
    known, later = found
    wanted = body.applied_to(known)
    if wanted == known:
        return ModelAnswer(**models.shown(known).model_dump(), stored=True)

    async def look() -> Model | None:
        model = await models.queries.find(model_id)
        return model if model is not None and body.applied_to(model) == model else None

    stored = await models.accepting.accept([body.event(known, later, write)], look, write.wait_s)
    response.status_code = 200 if stored is not None else 202
    return ModelAnswer(**models.shown(stored or wanted).model_dump(), stored=stored is not None)
