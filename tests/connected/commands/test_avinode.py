"""`tripthread avinode`, as an operator runs it, at a simulated Avinode."""

import asyncio
import os
import sys

from shared.settings import Settings
from tests.processes import ROOT, environment_of
from tests.sandbox_client import Avinode, running

URL = "https://tripthread.test"


async def tripthread(avinode: Avinode, *arguments: str, **environment: str) -> tuple[int, str]:
    settings = Settings(_env_file=None).model_copy(update={"avinode_base_url": f"{avinode.url}/api"})
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.cli",
        "avinode",
        *arguments,
        cwd=ROOT,
        env={**os.environ, **environment_of(settings), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()


async def test_webhooks_are_set_up_once_and_told_a_new_password() -> None:
    async with running() as avinode:
        status, said = await tripthread(avinode, "webhooks")
        assert (status, "nobody here is told of TripRequestMine, TripRequestSellerResponse" in said) == (1, True)
        status, said = await tripthread(avinode, "register", f"{URL}/")
        assert (status, said.count("set up")) == (0, 4), said
        status, said = await tripthread(avinode, "webhooks")
        assert (status, said.count("active"), said.count(f"{URL}/api/webhooks/avinode/Trip")) == (0, 4, 4), said
        status, said = await tripthread(avinode, "register", URL, AVINODE_WEBHOOK_PASSWORD="n" * 20)
        assert (status, said.count("changed")) == (0, 4), said
        assert "n" * 20 not in said
        sent = [call["method"] for call in (await avinode.call("GET", "/sim/calls")).body["calls"]]
    assert (sent.count("POST"), sent.count("PUT")) == (4, 4)


async def test_webhooks_on_later_pages_are_known_too() -> None:
    async with running() as avinode:
        await avinode.switch_on(page_size=3)
        for _ in range(2):
            status, said = await tripthread(avinode, "register", URL)
            assert status == 0, said
        assert said.count("changed") == 4, said
        status, said = await tripthread(avinode, "webhooks")
        assert (status, said.count("active")) == (0, 4), said
        assert len(await avinode.read("webhooks/settings?page[size]=3&page[number]=1")) == 1


async def test_what_is_wrong_is_said_in_a_line() -> None:
    async with running(avinode_client_id="somebody") as avinode:  # which takes no other token
        status, said = await tripthread(avinode, "webhooks")
        assert (status, "refuses our credentials" in said, "Traceback" in said) == (1, True, False), said
        status, said = await tripthread(avinode, "register", "tripthread.test")
        assert (status, "Traceback" in said) == (1, False), said
