"""The demo that the README shows, played against real processes."""

from pathlib import Path

import pytest

from deploy.demo.play import play
from deploy.demo.stack import Stack
from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.ports import free_port
from shared.settings import Settings
from tests.processes import running
from tests.tokens import token_for

EXPECTED = (
    "chat_model_",
    "outcome  SessionTagged",
    "searching_aircraft",
    "requesting_quotes  (contacted 3, expected 3, received 0)",
    "analyzing_options  (contacted 3, expected 3, received 1)",
    "analyzing_options  (contacted 3, expected 2, received 1)",
    "AIRCRAFT_NOT_AVAILABLE",
    "31900",
)


async def test_the_demo_plays_to_its_end(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    simulated = SandboxSettings(
        llm_port=0,
        avinode_port=0,
        avinode_webhook_target=f"http://127.0.0.1:{port}/api/webhooks/avinode",
        avinode_webhook_user=settings.avinode_webhook_user,
        avinode_webhook_password=settings.avinode_webhook_password,
    )
    async with serving(simulated) as sandbox:
        mine = settings.model_copy(
            update={
                "http_port": port,
                "openai_base_url": f"{sandbox.model}/v1",
                "avinode_base_url": f"{sandbox.avinode}/api",
                "avinode_calls_per_s": 50.0,
            }
        )
        stack = Stack(
            url=f"http://127.0.0.1:{port}",
            avinode_url=sandbox.avinode,
            admin_token=token_for(mine, "admin", role="admin"),
            jwt_secret=mine.jwt_secret.get_secret_value(),
            amqp_url=mine.amqp_url,
            database_url=mine.database_url,
        )
        async with running(mine, tmp_path, "gateway", "logger", "tagger", "workflow"):
            await play(stack)
    shown = capsys.readouterr().out
    assert [text for text in EXPECTED if text not in shown] == []
