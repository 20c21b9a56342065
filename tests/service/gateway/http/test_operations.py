"""What the gateway says of the system that it is a part of."""

import pytest

from services.gateway.http.event_document import event_document
from tests.service.gateway.fakes import World


@pytest.fixture
def world() -> World:
    return World()


async def test_the_events_are_described_for_people_and_programs(world: World) -> None:
    async with world.client() as client:
        document = await client.get("/docs/events.json")
        page = await client.get("/docs/events")
    described = document.json()
    assert described == event_document().to_jsonable()
    assert described["operations"]["MessagePosted.gateway"]["action"] == "send"
    assert described["operations"]["MessagePosted.tagger.sessions"]["action"] == "receive"
    assert "MessagePosted.tagger.sessions" in page.text


async def test_the_document_of_the_events_does_not_say_where_the_broker_is_or_who_serves_it(world: World) -> None:
    async with world.client() as client:
        text = (await client.get("/docs/events.json")).text
    assert world.settings.instance not in text
    assert "127.0.0.1" not in text
    assert "guest" not in text
