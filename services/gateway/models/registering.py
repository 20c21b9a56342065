"""Register the models that the gateway is configured with, so that a newcomer's first chat has its tag.

They are those of the catalog, and what a service lists that takes any. Readiness does not wait for that: whatever is
away is tried again until it was there once. A model that is known already stays as it is, tracked or not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from uuid import UUID

import structlog
from pydantic import ValidationError

from services.gateway.model.configured.catalog import Catalog, UpstreamSpec
from services.gateway.models.queries import ModelQueries
from services.gateway.models.routes import NewModel
from shared.backoff import Delays
from shared.database import DATABASE_ERRORS
from shared.errors import Away
from shared.events import ModelRegistered
from shared.ids import derived_id, model_id, new_id
from shared.publishing.publisher import Publisher

ListModels = Callable[[UpstreamSpec], Awaitable[list[str] | None]]

log = structlog.get_logger(__name__)


class ModelRegistration:
    """Works once in a gateway's life, and then waits for its end."""

    def __init__(
        self,
        catalog: Catalog,
        queries: ModelQueries,
        publisher: Publisher,
        list_models: ListModels,
        delays: Callable[[], Delays],
    ) -> None:
        self._catalog = catalog
        self._queries = queries
        self._publisher = publisher
        self._list_models = list_models
        self._delays = delays
        self._correlation_id = new_id()  # what one start has registered
        self._told: set[UUID] = set()  # the broker has these
        self._stopping = asyncio.Event()

    def __str__(self) -> str:
        return "models"

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._register_all())
            await self._stopping.wait()
            work.cancel()  # the next start registers the rest

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        """Say nothing: a gateway that has not registered its models yet does its job."""

    async def _register_all(self) -> None:
        # Apart, since there may be chats with these before a service says what else it has.
        await self._until_done(self._register_configured)
        async with asyncio.TaskGroup() as group:  # since one that is away must not hold up another
            for upstream in self._catalog.upstreams:
                if upstream.passes_any:
                    group.create_task(self._until_done(partial(self._register_listed, upstream)))

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        said, delays = None, self._delays()
        while not self._stopping.is_set():
            try:
                await work()
            except (*DATABASE_ERRORS, Away) as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                return
            if trouble != said:  # once, however often it is so
                log.warning("models are not registered yet", error=trouble)
                said = trouble
            await asyncio.sleep(delays.next())

    async def _register_configured(self) -> None:
        await self._register((model.provider, model.name) for model in self._catalog.models)

    async def _register_listed(self, upstream: UpstreamSpec) -> None:
        names = await self._list_models(upstream)
        if names is None:
            log.info("the model's service has no list of its models", upstream=upstream.name)
            return
        found = (self._catalog.find(name) for name in names if not self._catalog.is_listed(name))
        await self._register((model.provider, model.name) for model in found if model is not None)

    async def _register(self, names: Iterable[tuple[str, str]]) -> None:
        """Publish each model that nobody knows yet, one after the other: a list may have hundreds."""
        models = self._storable(names)
        done = self._told | await self._queries.known(list(models))
        for key, event in models.items():
            if key not in done:
                await self._publisher.publish(event)
                self._told.add(key)

    def _storable(self, names: Iterable[tuple[str, str]]) -> dict[UUID, ModelRegistered]:
        """Make the events of those models that an administrator could register too, by the models' ids."""
        events: dict[UUID, ModelRegistered] = {}
        for provider, name in names:
            try:
                model = NewModel(name=name, provider=provider)
            except ValidationError:
                log.warning("a model's name cannot be stored", name=ascii(name[:300]))
            else:
                key = model_id(provider, model.name)
                events[key] = self._event(key, provider, model.name)
        return events

    def _event(self, key: UUID, provider: str, name: str) -> ModelRegistered:
        """Make the event that every gateway makes of this model at every start."""
        return ModelRegistered(
            event_id=derived_id(key, "configured"),
            correlation_id=self._correlation_id,
            name=name,
            provider=provider,
            only_if_new=True,
        )
