"""What a person can try with the sandbox: each way of a service to answer, and what the gateway makes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.model.asking.upstreams import Upstreams, open_upstreams
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from shared.settings import Settings
from tests.pure.gateway.samples import turn
from tests.service.gateway.model.stand_in import at_once
from tests.waiting import PATIENCE_S

FAILED = "the model's service reported an error (simulated)"
SILENT = "the model's service has gone silent"


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Upstreams]:
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as addresses:
        settings = Settings(_env_file=None, openai_base_url=f"{addresses.model}/v1", model_silence_s=0.6)
        async with open_upstreams(settings, at_once) as upstreams:
            yield upstreams


@pytest.mark.parametrize(
    ("order", "ending", "more"),
    [
        ("[think so][echo hi]", ("complete", "hi", "stop", None), {"reasoning": "so"}),
        ("[refuse I will not.]", ("complete", "I will not.", "stop", None), {"refusal": True}),
        ("[echo hi][finish length]", ("complete", "hi", "length", None), {}),
        ("[echo hi][finish content_filter]", ("complete", "hi", "content_filter", None), {}),
        ("[echo hi][finish SAFETY]", ("complete", "hi", "content_filter", None), {}),
        ("[echo hi][unmetered]", ("complete", "hi", "stop", None), {"usage": "estimated"}),
        ("[echo a b c][fail 2]", ("interrupted", "a b", "error", FAILED), {"usage": "estimated"}),
        ("[fail 0]", ("failed", "", "error", FAILED), {"usage": "estimated"}),
        ("[echo a b c][comments 2]", ("interrupted", "a b", "error", SILENT), {"usage": "estimated"}),
    ],
)
async def test_what_is_ordered_is_told_as_it_is(
    sandbox: Upstreams, order: str, ending: tuple[str, str, str, str | None], more: dict[str, Any]
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        answer = await Answering(sandbox, TurnBuffer(turn())).run([{"role": "user", "content": order}])
    trace = answer.trace or {}
    assert (answer.status, answer.content, trace["finish_reason"], answer.error) == ending
    assert {
        "reasoning": "".join(part["text"] for part in answer.parts if part["type"] == "reasoning"),
        "refusal": answer.metadata.get("refusal", False),
        "usage": trace["usage_source"],
    } == {"reasoning": "", "refusal": False, "usage": "reported"} | more
