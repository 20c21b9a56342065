"""The models whose sessions are tagged."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, StrictBool, StringConstraints

from services.gateway.cursors import cut_page, read_time_cursor
from services.gateway.identity import AdminDep, KnownCallerDep
from services.gateway.parts import PartsDep
from services.gateway.problems import problem_responses
from services.gateway.schemas import Model, Name, Page, PageQuery
from services.gateway.strict_route import StrictRoute
from services.gateway.write_headers import WriteDep
from shared.events import ModelRegistered
from shared.ids import model_id

router = APIRouter(tags=["models"], route_class=StrictRoute)


ModelName = Annotated[Name, StringConstraints(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]  # not only spaces


class ModelPage(Page):
    models: list[Model]


class NewModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: ModelName
    provider: ModelName | None = None  # none: the provider that this installation's chats go to
    tracked: StrictBool = True


class ModelAnswer(Model):
    stored: bool


@router.get("/api/models", responses=problem_responses(401, 422, 503))
async def list_models(parts: PartsDep, _caller: KnownCallerDep, query: Annotated[PageQuery, Query()]) -> ModelPage:
    """List the known models, the newest first."""
    before = read_time_cursor("models", query.cursor, UUID)
    rows = await parts.reader.models.page(query.limit + 1, before)
    page, cursor = cut_page("models", rows, query.limit)
    return ModelPage(models=page, next_cursor=cursor, has_more=cursor is not None)


@router.post(
    "/api/models",
    status_code=201,
    responses={
        200: {"model": ModelAnswer, "description": "It was known already"},
        202: {"model": ModelAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 413, 415, 422, 503),
    },
)
async def register_model(
    parts: PartsDep, _admin: AdminDep, body: NewModel, write: WriteDep, response: Response
) -> ModelAnswer:
    """Make a model known; the same provider and name are the same model."""
    provider = body.provider or parts.settings.model_provider
    wanted = Model(
        id=model_id(provider, body.name), name=body.name, provider=provider, tracked=body.tracked, short_id=None
    )
    known = await parts.reader.models.find(wanted.id)
    event = ModelRegistered(
        correlation_id=write.correlation_id, name=wanted.name, provider=wanted.provider, tracked=wanted.tracked
    )

    async def look() -> Model | None:
        found = await parts.reader.models.find(wanted.id)
        return found if found and found.tracked == wanted.tracked else None

    with parts.receipts.expecting(event.event_id) as receipt:
        await parts.publisher.publish(event)
        stored = await receipt.until(look, write.wait_s)
    response.status_code = 202 if stored is None else 200 if known else 201
    return ModelAnswer(**(stored or wanted).model_dump(), stored=stored is not None)
