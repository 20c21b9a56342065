"""An application that is traced by Phoenix sends its calls of models here, unchanged but for endpoint and key."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.installed.node import CLIENTS, run
from tests.installed.venvs import venv_with
from tests.processes import running
from tests.tokens import token_for
from tests.waiting import until


async def test_its_calls_are_traces(settings: Settings, tmp_path: Path) -> None:
    """Its library has an environment of its own, since nothing here needs it."""
    mine = settings.model_copy(update={"http_port": free_port()})
    base, token = f"http://127.0.0.1:{mine.http_port}", token_for(mine, "ann")

    def talk() -> str:
        python = venv_with(CLIENTS / "phoenix/requirements.txt", tmp_path)
        return run(python, CLIENTS / "phoenix/talk.py", f"{base}/v1/traces", token, "s1", cwd=tmp_path)

    async with running(mine, tmp_path, "gateway", "logger"), aiohttp.ClientSession() as http:
        assert (await asyncio.to_thread(talk)).strip() == "True"

        async def found() -> list[dict[str, Any]]:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.get(f"{base}/api/analytics/traces?session_id=s1", headers=headers) as answer:
                traces: list[dict[str, Any]] = (await answer.json())["traces"]
                return traces

        (trace,) = await until(found, "the trace")
    wanted = {"source": "otlp", "model": "gpt", "provider": "openai", "status": "ok", "input_tokens": 3}
    assert {name: trace[name] for name in wanted} == wanted
    assert trace["trace_id"].startswith(f"{trace['w3c_trace_id']}-")
