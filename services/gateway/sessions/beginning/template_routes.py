"""Templates: what people begin sessions with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.projects import admit_writer, project_of_new
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Json, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.beginning.templates import TemplateQueries, TemplateRow
from services.gateway.sessions.edits.fields import Metadata, Title
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Invalid, NotFound
from shared.events import TemplateDeleted, TemplateSaved
from shared.ids import NAMESPACE, derived_id, new_id, scoped
from shared.publishing.publisher import Publisher

router = APIRouter(tags=["templates"], route_class=StrictRoute)


class TemplateFields(BaseModel):
    """What a session has that is begun with it, as `POST /api/chat/sessions` takes it."""

    model_config = ConfigDict(extra="forbid")

    helper: Name | None = None
    model: Name | None = None
    title: Title | None = None
    experiment_name: Name | None = None
    analytics: StrictBool | None = None
    metadata: Metadata | None = None


class NewTemplate(TemplateFields):
    name: Title
    project_id: Name | None = Field(None, validation_alias=AliasChoices("project_id", "projectId"))


class TemplatePatch(TemplateFields):
    """What is to be set; null takes a field out, and what is not there stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    name: Title = "-"


class Template(BaseModel):
    id: UUID
    name: str
    project_id: str | None = None
    helper: str | None = None
    model: str | None = None
    title: str | None = None
    experiment_name: str | None = None
    analytics: bool | None = None
    metadata: Json | None = None
    updated_at: datetime
    stored: bool = True

    @classmethod
    def of(cls, row: TemplateRow, *, stored: bool = True) -> Self:
        return cls.model_validate(
            {**row.template, "id": row.template_id, "name": row.name, "updated_at": row.occurred_at, "stored": stored}
        )


class TemplateAnswer(BaseModel):
    template: Template


class DeletedTemplate(BaseModel):
    id: UUID
    stored: bool


class TemplatePage(Page):
    templates: list[Template]


PAGING = Paging("templates", UUID)


@dataclass(frozen=True)
class Templates:
    """What these routes work with."""

    queries: TemplateQueries
    publisher: Publisher
    accepting: Accepting

    async def create(self, caller: Caller, body: NewTemplate, write: Write) -> tuple[Template, int]:
        """Save a new template; a repeat by its key answers what is there."""
        require_broker(self.publisher)
        admit_writer(caller.projects, body.project_id)
        fields = body.model_dump(mode="json", exclude={"name"}, exclude_none=True)
        if (project_id := project_of_new(caller.projects, body.project_id)) is not None:
            fields["project_id"] = project_id
        name = f"template/{scoped(caller.user_id, write.key or '')}/{project_id or ''}"
        template_id = derived_id(NAMESPACE, name) if write.key else new_id()
        if write.key and (known := await self.queries.find(caller.user_ids, caller.projects, template_id)):
            return Template.of(known), 200
        row = TemplateRow(caller.user_id, template_id, body.name, fields, await self.queries.now(), new_id())
        template = await self._save(caller, row, write)
        return template, 201 if template.stored else 202

    async def change(self, caller: Caller, template_id: UUID, body: TemplatePatch, write: Write) -> Template:
        """Set fields of a template."""
        require_broker(self.publisher)
        known = await self.find(caller, template_id)
        patch: dict[str, Any] = body.model_dump(mode="json", exclude_unset=True)
        if not patch:
            raise Invalid("The body sets nothing.")
        name = patch.pop("name", known.name)
        fields = {key: value for key, value in {**known.template, **patch}.items() if value is not None}
        row = TemplateRow(known.user_id, template_id, name, fields, await self.queries.now(), new_id())
        return await self._save(caller, row, write)

    async def delete(self, caller: Caller, template_id: UUID, write: Write) -> DeletedTemplate:
        """Delete a template, for good; sessions that were begun with it stay as they are."""
        require_broker(self.publisher)
        known = await self.find(caller, template_id)
        event = TemplateDeleted(
            correlation_id=write.correlation_id,
            user_id=known.user_id,
            template_id=template_id,
            accepted_at=await self.queries.now(),
        )

        async def look() -> bool | None:
            return await self.queries.find(caller.user_ids, caller.projects, template_id) is None or None

        return DeletedTemplate(id=template_id, stored=bool(await self.accepting.accept([event], look, write.wait_s)))

    async def find(self, caller: Caller, template_id: UUID) -> TemplateRow:
        """Return a template of the caller's.

        Raises:
            NotFound: There is none, or it is of a project that the caller does not see.
        """
        row = await self.queries.find(caller.user_ids, caller.projects, template_id)
        if row is None:
            raise NotFound("There is no such template.")
        return row

    async def _save(self, caller: Caller, row: TemplateRow, write: Write) -> Template:
        event = TemplateSaved(
            event_id=row.event_id,
            correlation_id=write.correlation_id,
            user_id=row.user_id,
            template_id=row.template_id,
            accepted_at=row.occurred_at,
            name=row.name,
            template=row.template,
        )
        stored = await self.accepting.accept([event], self._look(caller, row), write.wait_s)
        return Template.of(stored or row, stored=stored is not None)

    def _look(self, caller: Caller, row: TemplateRow) -> Callable[[], Awaitable[TemplateRow | None]]:
        async def look() -> TemplateRow | None:
            found = await self.queries.find(caller.user_ids, caller.projects, row.template_id)
            return found if found is not None and found.occurred_at >= row.occurred_at else None

        return look


TemplatesDep = Annotated[Templates, from_app(Templates)]
ACCEPTED = {"model": TemplateAnswer, "description": "Accepted, and not stored yet"}


@router.get("/api/chat/templates", responses=problem_responses(401, 422, 429, 503))
async def list_templates(
    templates: TemplatesDep, caller: CallerDep, query: Annotated[PageQuery, Query()]
) -> TemplatePage:
    """List the caller's templates, the newest first."""
    before = PAGING.before(query)
    rows = await templates.queries.page(
        caller.user_ids, caller.projects, query.limit + 1, before[1] if before else None
    )
    page, cursor = PAGING.cut([((row.occurred_at, str(row.template_id)), row) for row in rows], query)
    return TemplatePage(templates=[Template.of(row) for row in page], next_cursor=cursor)


@router.post(
    "/api/chat/templates",
    status_code=201,
    responses={
        200: {"model": TemplateAnswer, "description": "This key has made it before"},
        202: ACCEPTED,
        **problem_responses(400, 401, 403, 413, 415, 422, 429, 503),
    },
)
async def create_template(
    templates: TemplatesDep, caller: CallerDep, body: NewTemplate, write: WriteDep, response: Response
) -> TemplateAnswer:
    """Save what sessions are to be begun with."""
    template, response.status_code = await templates.create(caller, body, write)
    return TemplateAnswer(template=template)


@router.patch(
    "/api/chat/templates/{template_id}",
    responses={202: ACCEPTED, **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503)},
)
async def change_template(
    *,
    templates: TemplatesDep,
    caller: CallerDep,
    template_id: UUID,
    body: TemplatePatch,
    write: WriteDep,
    response: Response,
) -> TemplateAnswer:
    """Set fields of a template; of two changes the one that was accepted last stands, whole."""
    template = await templates.change(caller, template_id, body, write)
    response.status_code = 200 if template.stored else 202
    return TemplateAnswer(template=template)


@router.delete(
    "/api/chat/templates/{template_id}",
    responses={
        202: {"model": DeletedTemplate, "description": "Accepted, and not noted yet"},
        **problem_responses(401, 403, 404, 422, 429, 503),
    },
)
async def delete_template(
    templates: TemplatesDep, caller: CallerDep, template_id: UUID, write: WriteDep, response: Response
) -> DeletedTemplate:
    """Delete a template."""
    deleted = await templates.delete(caller, template_id, write)
    response.status_code = 200 if deleted.stored else 202
    return deleted
