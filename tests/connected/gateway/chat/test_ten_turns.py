"""Conversations of ten turns with several services, with a turn that fails and a quote that is noted in the middle."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.turns.here.conversation import NOTED
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.service.gateway.model.choosy import llama, refusing, strict
from tests.service.gateway.model.stand_in import Reply, StandIn, standing_in

QUOTE = "Operator A quoted 33,500 USD."
FAILS = {"sandbox": "[error 503]", "llama": "question 4", "strict": "question 4"}


def busy_at_the_fourth(answer: Callable[[dict[str, Any]], Reply]) -> Callable[[dict[str, Any]], Reply]:
    def reply(request: dict[str, Any]) -> Reply:
        is_fourth = request["messages"][-1]["content"].endswith("question 4")
        return refusing(503, "busy") if is_fourth else answer(request)

    return reply


@pytest.fixture
async def services() -> AsyncIterator[dict[str, StandIn]]:
    async with standing_in(busy_at_the_fourth(llama)) as first, standing_in(busy_at_the_fourth(strict)) as second:
        yield {"llama": first, "strict": second}


@pytest.fixture
async def stage(settings: Settings, services: dict[str, StandIn], tmp_path: Path) -> AsyncIterator[Stage]:
    """Open a gateway on one file of all three, each with a model of its name."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        urls = {"sandbox": f"{sandbox.model}/v1"} | {name: service.url for name, service in services.items()}
        file = tmp_path / "models.toml"
        file.write_text(
            "".join(
                f'[[upstreams]]\nname = "{name}"\nbase_url = "{url}"\nmodels = ["{name}"]\n'
                for name, url in urls.items()
            )
        )
        told = settings.model_copy(update={"models_file": str(file), "default_model": "sandbox"})
        yield await stack.enter_async_context(open_stage(told))


async def note(owner: asyncpg.Connection, session_id: str) -> None:
    """Store a note as the logger does."""
    rows = Rows(owner)
    await rows.session(session_id)
    now = await owner.fetchval("SELECT clock_timestamp()")
    await rows.message(session_id, "note", at=0, role="system", content=QUOTE, created_at=now)


@pytest.mark.parametrize("model", FAILS)
async def test_ten_turns_are_remembered_through_a_failed_one_and_a_note(
    stage: Stage, services: dict[str, StandIn], owner: asyncpg.Connection, model: str
) -> None:
    said = [FAILS[model] if number == 4 else f"question {number}" for number in range(1, 11)]
    for number, question in enumerate(said, 1):
        if number == 5:
            await note(owner, model)
        asked = question if model != "sandbox" or number < 10 else "question 10 [recall]"
        answer = await stage.post("/api/chat", {"session_id": model, "model": model, "message": asked, "stream": False})
        assert answer.status_code == (503 if number == 4 else 200), answer.text

    if model == "sandbox":
        heard = json.loads(answer.json()["message"]["content"])
        said[-1] += " [recall]"
        assert [text.rsplit("\n", 1)[-1] for text in heard] == said
    else:
        messages = services[model].requests[-1]["messages"]
        heard = [message["content"] for message in messages if message["role"] == "user"]
        assert "\n".join(heard).split("\n")[0] == "question 1"
        assert [line for text in heard for line in text.split("\n") if line.startswith("question")] == said
        assert all(QUOTE not in message["content"] for message in messages if message["role"] != "user")
    assert sum(NOTED in text and QUOTE in text for text in heard) == 1
    trace = json.loads(await owner.fetchval("SELECT answer->'trace' FROM gateway.turns ORDER BY asked_at DESC LIMIT 1"))
    assert (trace["model"], trace["upstream"]) == (model, model)
