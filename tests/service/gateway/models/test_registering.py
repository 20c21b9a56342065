"""A gateway registers the models that it is configured with, when its servers and the model's service let it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import pytest
from structlog.testing import capture_logs

from services.gateway.model.configured.catalog import UpstreamSpec, read_catalog
from services.gateway.models.queries import ModelQueries
from services.gateway.models.registering import ModelRegistration
from shared.backoff import Delays
from shared.errors import ModelAway
from shared.events import ModelRegistered
from shared.publishing.publisher import Publisher
from tests.service.gateway.fakes import World
from tests.service.gateway.fakes.models import FakeModelQueries
from tests.service.gateway.fakes.publisher import FakePublisher
from tests.waiting import PATIENCE_S, until_true

List = Callable[[UpstreamSpec], Awaitable[list[str] | None]]


def listing(*names: str) -> List:
    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        return list(names)

    return list_models


class Pauses(Delays):
    """Short ones, counted."""

    def __init__(self) -> None:
        super().__init__(first_s=0.01, longest_s=0.01)
        self.count = 0

    def next(self) -> float:
        self.count += 1
        return super().next()


def _same(pauses: Pauses) -> Pauses:
    return pauses


@asynccontextmanager
async def registering(
    world: World, list_models: List, pauses: Pauses | None = None
) -> AsyncIterator[ModelRegistration]:
    """Let a gateway register its models until the block is left."""
    worker = ModelRegistration(
        read_catalog(world.settings),
        cast(ModelQueries, FakeModelQueries(world)),
        cast(Publisher, FakePublisher(world)),
        list_models,
        partial(_same, pauses or Pauses()),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not task.done(), "a worker that ends, ends the process"
    finally:
        worker.shut_down()
        await task


def registered(world: World) -> list[str]:
    return [event.name for event in world.published if isinstance(event, ModelRegistered)]


async def all_registered(world: World, *names: str) -> None:
    await until_true(lambda: len(registered(world)) >= len(names))
    assert registered(world) == list(names)


async def test_default_model_and_those_of_the_service_are_registered_once_each() -> None:
    world = World()
    async with registering(world, listing("large", "sandbox-small", "large", "huge")):
        await all_registered(world, "sandbox-small", "large", "huge")


async def test_registered_models_are_tracked_and_of_the_configured_provider() -> None:
    world = World()
    world.settings = world.settings.model_copy(update={"model_provider": "acme"})
    async with registering(world, listing()):
        await all_registered(world, "sandbox-small")
    [model] = world.models.values()
    assert (model.name, model.provider, model.tracked) == ("sandbox-small", "acme", True)


async def test_known_models_are_not_registered_again() -> None:
    world = World()
    async with registering(world, listing("large")):
        await all_registered(world, "sandbox-small", "large")
    async with registering(world, listing("large", "new")):
        await all_registered(world, "sandbox-small", "large", "new")


async def test_model_that_is_not_stored_yet_is_registered_once() -> None:
    world = World(consumers_away=True)
    async with registering(world, listing("sandbox-small", "large")):
        await all_registered(world, "sandbox-small", "large")


async def test_gateways_that_start_at_once_make_the_same_events() -> None:
    world = World(consumers_away=True)  # so nobody can read what the other has registered
    async with registering(world, listing("large")), registering(world, listing("large")):
        await until_true(lambda: len(registered(world)) == 4)
    assert len({event.event_id for event in world.published}) == 2
    assert all(isinstance(event, ModelRegistered) and event.only_if_new for event in world.published)


async def test_default_model_is_registered_while_the_models_service_is_away_and_the_others_when_it_is_back() -> None:
    world, answers = World(), asyncio.Event()

    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        if not answers.is_set():
            raise ModelAway
        return ["large"]

    async with registering(world, list_models) as worker:
        await all_registered(world, "sandbox-small")
        assert worker.fault() is None
        answers.set()
        await all_registered(world, "sandbox-small", "large")


@pytest.mark.parametrize("trouble", ["broker_loses_all", "reads_fail"])
async def test_models_are_registered_when_broker_and_database_are_back(trouble: str) -> None:
    world, tries = World(), 0

    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        nonlocal tries
        tries += 1
        setattr(world, trouble, tries == 1)
        return ["large", "huge"]

    async with registering(world, list_models) as worker:
        await all_registered(world, "sandbox-small", "large", "huge")
        assert worker.fault() is None
    assert tries == 2


async def test_what_is_away_for_long_is_logged_once() -> None:
    world, pauses = World(), Pauses()

    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        raise ModelAway

    with capture_logs() as logs:
        async with registering(world, list_models, pauses):
            await until_true(lambda: pauses.count > 2)
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_service_without_a_list_is_asked_once() -> None:
    world, tries = World(), 0

    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        nonlocal tries
        tries += 1
        return None

    pauses = Pauses()
    with capture_logs() as logs:
        async with registering(world, list_models, pauses):
            await until_true(lambda: bool(logs))
    assert [entry["log_level"] for entry in logs] == ["info"]
    assert (tries, pauses.count) == (1, 0)
    assert registered(world) == ["sandbox-small"]


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\x00b", "\ud800"])
async def test_name_that_cannot_be_stored_is_left_out(name: str) -> None:
    world = World()
    async with registering(world, listing(name, "large")):
        await all_registered(world, "sandbox-small", "large")


async def test_end_does_not_wait_for_a_service_that_hangs() -> None:
    world, hangs = World(), asyncio.Event()

    async def list_models(_upstream: UpstreamSpec) -> list[str] | None:
        hangs.set()
        await asyncio.Event().wait()
        return None

    async with asyncio.timeout(PATIENCE_S), registering(world, list_models):
        await hangs.wait()
