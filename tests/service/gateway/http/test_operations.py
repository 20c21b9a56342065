"""What the gateway says of the system that it is a part of."""

import re

import pytest

from services.gateway.http.documents.event_document import event_document
from services.gateway.http.documents.routes import Documents
from services.gateway.http.handed import handed_over
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


async def test_a_page_asks_no_other_host_and_its_policy_lets_in_what_it_asks(world: World) -> None:
    async with world.client() as client:
        for path in ("/docs", "/docs/events"):
            page = await client.get(path)
            policy = page.headers["content-security-policy"]
            assert page.status_code == 200
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert re.findall(r"(?:src|href)=.(?:https?:)?//", page.text) == []
            assert re.findall(r"<script>|<script [^>]*>[^<]|\\son[a-z]+=| style=", page.text) == []
            for asset in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
                found = await client.get(f"/{asset}")
                assert (found.status_code, found.headers["x-content-type-options"]) == (200, "nosniff")
                assert found.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")


async def test_the_events_page_shows_each_operation_and_each_body(world: World) -> None:
    async with world.client() as client:
        text = (await client.get("/docs/events")).text
        document = (await client.get("/docs/events.json")).json()
    for name in (*document["operations"], *document["components"]["schemas"]):
        assert f">{name}<" in text
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links == links & set(re.findall(r'id="([^"]+)"', text))


async def test_documents_are_built_once_and_before_they_are_asked_for(world: World) -> None:
    app = world.api()
    documents = handed_over(app, Documents)
    documents.prepare()
    built = vars(documents).copy()
    app.openapi = None  # type: ignore[assignment,method-assign]  # whoever builds it again fails
    async with world.client_of(app) as client:
        for path in ("/openapi.json", "/docs/events", "/docs/events.json"):
            assert (await client.get(path)).status_code == 200
    assert all(vars(documents)[name] is kept for name, kept in built.items() if isinstance(kept, bytes))
    assert sum(isinstance(kept, bytes) for kept in built.values()) == 3
