"""A session's helper: what the model is told by it, which model that is, and that the session keeps it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.tokens import token_for

FILE = """
[helpers.quotes]
name = "Quotes"
model = "sandbox-large"
instructions = "Compare quotes."
parameters = { temperature = 0.25, max_tokens = 321, reasoning_effort = "low" }
opening_message = "Which quotes?"
[helpers.plain]
name = "Plain"
instructions = "Be plain."
"""


@pytest.fixture
async def outside(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """A model that can be asked what it was sent, and a file of helpers."""
    file = tmp_path / "assistants"
    file.write_text(FILE)
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        told = {"openai_base_url": f"{sandbox.model}/v1", "helpers_file": str(file), "system_prompt": "House rules."}
        yield settings.model_copy(update=told)


@pytest.fixture
async def stage(outside: Settings) -> AsyncIterator[Stage]:
    async with open_stage(outside) as opened:
        yield opened


async def asked(stage: Stage, session_id: str = "s1", **body: Any) -> dict[str, Any]:
    """Ask, and return what the model was sent."""
    stage.http.cookies.clear()
    answer = await stage.post("/api/chat", {"session_id": session_id, "message": "[echo hi]", "stream": False, **body})
    assert answer.status_code == 200, answer.text
    url = stage.settings.openai_base_url.removesuffix("/v1")
    async with aiohttp.ClientSession() as http, http.get(f"{url}/sim/requests") as response:
        request = (await response.json())["requests"][-1]
    return {**request, **request["parameters"]}


def prompt_of(request: dict[str, Any]) -> str:
    first = request["messages"][0]
    assert first["role"] == "system"
    return str(first["content"])


async def session(stage: Stage, session_id: str = "s1") -> dict[str, Any]:
    shown: dict[str, Any] = (await stage.get(f"/api/chat/sessions/{session_id}")).json()["session"]
    return shown


async def test_a_helpers_instructions_lead_and_its_parameters_and_model_are_sent(stage: Stage) -> None:
    request = await asked(stage, helper="quotes")
    assert prompt_of(request) == "House rules.\n\nCompare quotes."
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert (request["temperature"], request["max_tokens"], request["reasoning_effort"]) == (0.25, 321, "low")
    assert request["model"] == "sandbox-large"
    shown = await session(stage)
    assert (shown["helper"], shown["model"]) == ("quotes", "sandbox-large")


async def test_without_a_helper_and_with_a_mere_label_nothing_is_told_but_the_prompt(stage: Stage) -> None:
    for number, body in enumerate(({}, {"helper": "Charter Helper v2"}, {"helper": "plain "})):
        request = await asked(stage, f"s{number}", **body)
        assert prompt_of(request) == "House rules."
        assert "temperature" not in request
        assert request["model"] == stage.settings.default_model
        assert (await session(stage, f"s{number}"))["helper"] == body.get("helper")


async def test_a_session_keeps_its_helper_and_its_model(stage: Stage) -> None:
    await asked(stage, helper="quotes")
    for body in ({}, {"helper": "plain"}, {"helper": "unknown"}):
        request = await asked(stage, **body)
        assert prompt_of(request) == "House rules.\n\nCompare quotes."
        assert (request["model"], request["temperature"]) == ("sandbox-large", 0.25)
    assert (await asked(stage, model="sandbox-small"))["model"] == "sandbox-small"
    assert (await asked(stage))["model"] == "sandbox-small"  # the newest, before the helper's
    assert (await session(stage))["helper"] == "quotes"


async def test_the_first_that_names_a_helper_gives_it_to_the_session(stage: Stage) -> None:
    await asked(stage)
    assert prompt_of(await asked(stage, helper="plain")) == "House rules.\n\nBe plain."
    assert prompt_of(await asked(stage, helper="quotes")) == "House rules.\n\nBe plain."


async def test_what_is_stored_of_a_session_counts(stage: Stage, owner: asyncpg.Connection) -> None:
    rows = Rows(owner)
    await rows.session("s1", helper="quotes", model="sandbox-small")
    await rows.message("s1", "m1", at=0)
    request = await asked(stage)
    assert (prompt_of(request), request["model"]) == ("House rules.\n\nCompare quotes.", "sandbox-small")
    await rows.session("s2", helper="quotes")
    assert (await asked(stage, "s2"))["model"] == "sandbox-large"


async def test_a_helper_outlasts_its_gateway_and_what_it_told(outside: Settings, owner: asyncpg.Connection) -> None:
    async with open_stage(outside) as before:
        await asked(before, helper="quotes")
    async with open_stage(outside) as after:
        assert prompt_of(await asked(after)) == "House rules.\n\nCompare quotes."
    await owner.execute("UPDATE gateway.turns SET stored_at = now()")  # of which the row of the session tells then
    await Rows(owner).session("s1", helper="quotes", model="sandbox-large")
    async with open_stage(outside) as later:
        request = await asked(later)
        assert (prompt_of(request), request["model"]) == ("House rules.\n\nCompare quotes.", "sandbox-large")


async def test_a_model_that_is_not_there_or_not_allowed_is_passed_over(
    outside: Settings, owner: asyncpg.Connection
) -> None:
    await Rows(owner).session("s1", helper="quotes", model="elsewhere")
    async with open_stage(outside.model_copy(update={"allowed_models": "sandbox-large"})) as stage:
        assert (await asked(stage))["model"] == "sandbox-large"
    async with open_stage(outside.model_copy(update={"allowed_models": "sandbox-tiny"})) as stage:
        request = await asked(stage, "s2", helper="quotes")
        assert request["model"] == outside.default_model
        refused = await stage.post("/api/chat", {"session_id": "s3", "message": "hi", "model": "sandbox-large"})
        assert refused.status_code == 422


async def test_frontends_are_shown_helpers_without_their_instructions(stage: Stage) -> None:
    answer = await stage.get("/api/helpers")
    assert answer.status_code == 200
    assert "Compare" not in answer.text
    page = answer.json()
    assert (page["next_cursor"], page["has_more"]) == (None, False)
    assert page["helpers"] == [
        {
            "id": "quotes",
            "name": "Quotes",
            "description": "",
            "model": "sandbox-large",
            "opening_message": "Which quotes?",
            "starter_questions": [],
        },
        {
            "id": "plain",
            "name": "Plain",
            "description": "",
            "model": None,
            "opening_message": None,
            "starter_questions": [],
        },
    ]
    first = (await stage.get("/api/helpers", limit=1)).json()
    rest = (await stage.get("/api/helpers", limit=1, cursor=first["next_cursor"])).json()
    assert [each["id"] for page in (first, rest) for each in page["helpers"]] == ["quotes", "plain"]
    assert (rest["next_cursor"], (await stage.get("/api/helpers", cursor="x")).status_code) == (None, 422)


async def create(stage: Stage, **body: Any) -> dict[str, Any]:
    """Create a session while no logger runs."""
    headers = {**stage.as_user("ann"), "Prefer": "respond-async"}
    answer = await stage.http.post("/api/chat/sessions", json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    made: dict[str, Any] = answer.json()["session"]
    return made


async def said(stage: Stage, session_id: str) -> list[tuple[str, str]]:
    answer = await stage.get(f"/api/chat/sessions/{session_id}/messages")
    return [(message["role"], message["content"]) for message in answer.json()["messages"]]


async def test_a_journey_begins_with_words_that_are_there_at_once_and_that_the_model_remembers(stage: Stage) -> None:
    body = {"id": "s1", "helper": "quotes", "start_journey": True}
    made = await create(stage, **body)
    assert (made["message_count"], made["last_message"]) == (1, "Which quotes?")
    assert await said(stage, "s1") == [("assistant", "Which quotes?")]
    await create(stage, **body)
    request = await asked(stage)
    assert [(message["role"], message["content"]) for message in request["messages"]] == [
        ("system", "House rules.\n\nCompare quotes."),
        ("assistant", "Which quotes?"),
        ("user", "[echo hi]"),
    ]
    await create(stage, **body)
    assert await said(stage, "s1") == [("assistant", "Which quotes?"), ("user", "[echo hi]"), ("assistant", "hi")]


async def test_equal_journeys_at_once_are_one(stage: Stage) -> None:
    first, second = [await create(stage, helper="quotes", start_journey=True) for _ in range(2)]
    assert first["id"] == second["id"]
    assert await said(stage, first["id"]) == [("assistant", "Which quotes?")]


async def test_a_journey_without_words_of_its_helper_is_silent(stage: Stage) -> None:
    for number, body in enumerate(({"helper": "plain"}, {"helper": "a label"}, {})):
        await create(stage, id=f"s{number}", start_journey=True, **body)
        assert await said(stage, f"s{number}") == []
    await create(stage, id="s3", helper="quotes")
    assert await said(stage, "s3") == []


async def test_what_a_creation_names_counts_before_it_is_stored(stage: Stage) -> None:
    await create(stage, id="s1", helper="quotes", model="sandbox-small", project_id="p1")
    request = await asked(stage)
    assert (prompt_of(request), request["model"]) == ("House rules.\n\nCompare quotes.", "sandbox-small")
    assert (await session(stage))["project_id"] == "p1"
    await create(stage, id="s2", helper="plain", project_id="p1")
    posted = await stage.post("/api/chat/sessions/s2/messages", {"role": "user", "content": "hello"})
    assert posted.status_code == 202
    shown = await session(stage, "s2")
    assert (shown["helper"], shown["project_id"]) == ("plain", "p1")


async def test_a_session_that_is_only_created_is_not_there_for_another_project(stage: Stage) -> None:
    await create(stage, id="s1", project_id="p1")
    body: dict[str, Any] = {"session_id": "s1", "message": "[echo hi]", "stream": False}
    message = {"role": "user", "content": "hello"}
    for projects, status in ((["p2"], 404), (["p1", "p2"], 200)):
        stage.http.cookies.clear()
        headers = {"Authorization": f"Bearer {token_for(stage.settings, 'ann', projects=projects)}"}
        chatted = await stage.http.post("/api/chat", json=body, headers=headers)
        posted = await stage.http.post("/api/chat/sessions/s1/messages", json=message, headers=headers)
        assert (chatted.status_code, posted.status_code) == (status, 404 if status == 404 else 202)
