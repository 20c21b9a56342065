"""Templates that are saved at one gateway and used at another, as the logger stores them."""

import random

import asyncpg

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from shared.events import TemplateDeleted, TemplateSaved, UserErased
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.sessions.conftest import Two
from tests.pure.logger.samples import at

PATH = "/api/chat/templates"


async def test_a_template_is_used_at_every_gateway_until_it_is_deleted(gateways: Two) -> None:
    user = f"u{new_id().hex}"
    here, there, headers = gateways.here, gateways.there, gateways.here.as_user(user)
    made = await here.post(PATH, {"name": "mine", "title": "begun", "metadata": {"k": "v"}}, user)
    assert made.status_code == 201, made.text
    path = f"{PATH}/{made.json()['template']['id']}"
    changed = await there.http.patch(path, json={"title": "changed"}, headers=headers)
    assert (changed.status_code, changed.json()["template"]["metadata"]) == (200, {"k": "v"})
    body = {"template_id": made.json()["template"]["id"]}
    session = (await here.post("/api/chat/sessions", body, user)).json()["session"]
    assert (session["title"], session["metadata"]) == ("changed", {"k": "v"})
    eve = here.as_user(f"{user}-eve")
    assert (await there.http.delete(path, headers=eve)).status_code == 404
    assert (await there.http.get(PATH, headers=eve)).json()["templates"] == []
    assert (await there.http.delete(path, headers=headers)).status_code == 200
    assert (await here.get(PATH, user)).json()["templates"] == []
    assert (await here.post("/api/chat/sessions", body, user)).status_code == 422


async def test_the_newest_stands_a_deletion_is_final_and_an_erased_past_is_nothing(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    kept, gone, past = new_id(), new_id(), new_id()

    def saved(template: object, second: float, name: str) -> TemplateSaved:
        return TemplateSaved.model_validate(
            {"user_id": "ada", "template_id": template, "accepted_at": at(second), "name": name, "template": {}}
        )

    events: list[TemplateSaved | TemplateDeleted] = [*(saved(kept, 10 + n, f"name {n}") for n in range(4))]
    events += [saved(gone, 10 + n, "x") for n in range(4)]
    events += [TemplateDeleted(user_id="ada", template_id=gone, accepted_at=at(11)), saved(past, 5, "old")]
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        logger = ChatHandler(Store(pool))
        await logger.commit([UserErased(user_id="ada", erased_at=at(5))])
        for seed in range(5):
            order = random.Random(seed)
            order.shuffle(events)
            for at_place in range(0, len(events), 3):
                await logger.commit(events[at_place : at_place + 3])
            rows = await owner.fetch("SELECT template_id, name, deleted_at IS NULL AS stands FROM chat.templates")
            assert {row["template_id"]: (row["name"], row["stands"]) for row in rows} == {
                kept: ("name 3", True),
                gone: ("", False),
            }
            await owner.execute("DELETE FROM chat.templates")
