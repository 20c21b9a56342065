"""The sandbox beside a gateway that a test runs: a simulated model, and an Avinode that posts to that gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings


@dataclass(frozen=True)
class Simulated:
    """Where things are."""

    settings: Settings  # of the services
    avinode_url: str


@asynccontextmanager
async def simulated(settings: Settings) -> AsyncIterator[Simulated]:
    """Simulate both outside systems for services of these settings, on ports that are free."""
    port = free_port()
    sandbox_settings = SandboxSettings(
        llm_port=0,
        avinode_port=0,
        avinode_webhook_target=f"http://127.0.0.1:{port}/api/webhooks/avinode",
        avinode_webhook_user=settings.avinode_webhook_user,
        avinode_webhook_password=settings.avinode_webhook_password,
    )
    async with serving(sandbox_settings) as sandbox:
        places = {"openai_base_url": f"{sandbox.model}/v1", "avinode_base_url": f"{sandbox.avinode}/api"}
        yield Simulated(
            settings.model_copy(update={"http_port": port, "avinode_calls_per_s": 50.0, **places}), sandbox.avinode
        )
