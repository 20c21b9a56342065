"""An export whose database fails in the middle goes on once that is back; else nobody takes it for a whole one."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres
from shared.settings import Settings
from tests.processes import ROOT, environment_of, running
from tests.servers import Servers, empty_broker, looking, run_sql
from tests.settings import settings_for
from tests.tokens import token_for
from tests.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

ROWS = 3000
# More together than what a connection or a pipe has on its way: the rest is read once the first of it was taken.
MESSAGES = f"""
    INSERT INTO chat.sessions (user_id, session_id, last_activity_at, created_at) VALUES ('ann', 's1', now(), now());
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
    SELECT 'ann', 's1', 'm' || lpad(n::text, 6, '0'), 'user', repeat('word ', 2500), gen_random_uuid(), now()
    FROM generate_series(0, {ROWS - 1}) AS n
"""  # noqa: S608 - a constant of this module
PATH = "/api/me/export"


@dataclass
class Site:
    settings: Settings
    postgres: Postgres
    http: aiohttp.ClientSession

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(self.settings, 'ann')}"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http_port}{PATH}"

    async def fail_over(self) -> None:
        """Let the database die, and come back."""
        self.postgres.kill()
        await asyncio.to_thread(self.postgres.start)


@pytest.fixture(scope="module")
async def site(
    own_database: Postgres, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    settings = settings_for(own_database.url, servers.amqp_url)
    await empty_broker(servers.amqp_url)
    await asyncio.to_thread(migrate, settings)
    await run_sql(settings.database_url, MESSAGES)
    async with (
        running(settings, tmp_path_factory.mktemp("site"), "gateway") as processes,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http,
    ):
        yield Site(processes["gateway"].settings, own_database, http)


@asynccontextmanager
async def unreadable(settings: Settings) -> AsyncIterator[None]:
    """Take a right from those who read for the length of the block: no other attempt mends that."""
    await run_sql(settings.database_url, "REVOKE SELECT ON chat.messages FROM tripthread_reader")
    try:
        yield
    finally:
        await run_sql(settings.database_url, "GRANT SELECT ON chat.messages TO tripthread_reader")


def require_whole(text: bytes) -> None:
    first, *rows, last = [orjson.loads(line) for line in text.splitlines()]
    messages = [row["row"]["message_id"] for row in rows if row["table"] == "chat.messages"]
    assert messages == [f"m{number:06}" for number in range(ROWS)]
    assert (first["users"], last["complete"], last["rows"]) == (["ann"], True, len(rows))


async def test_an_export_goes_on_once_its_database_is_back(site: Site) -> None:
    async with site.http.get(site.url, headers=site.headers) as response:
        begun = await response.content.readany()
        failing = asyncio.create_task(site.fail_over())
        rest = await response.content.read()
        await failing
    require_whole(begun + rest)


async def test_who_reads_a_broken_export_sees_its_connection_break(site: Site) -> None:
    async with site.http.get(site.url, headers=site.headers) as response:
        assert await response.content.readany()
        async with unreadable(site.settings):
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()


async def test_a_proxy_that_speaks_http_1_0_sees_it_too(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.http_port)
    head = "".join(f"{name}: {value}\r\n" for name, value in site.headers.items())
    writer.write(f"GET {PATH} HTTP/1.0\r\n{head}\r\n".encode())
    assert b"200 OK" in await reader.readline()
    async with unreadable(site.settings):
        with pytest.raises(ConnectionResetError):  # an orderly end would be that of the export
            await reader.read()
    writer.close()


@asynccontextmanager
async def exporting(settings: Settings, to: str) -> AsyncIterator[Process]:
    """Run `tripthread export`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.cli", "export", "--user", "ann", "--to", to),
        env={**os.environ, **environment_of(settings)},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_command_goes_on_once_its_database_is_back(site: Site) -> None:
    async with exporting(site.settings, "-") as process:
        assert process.stdout is not None
        begun = await process.stdout.readline()
        failing = asyncio.create_task(site.fail_over())
        rest, _ = await process.communicate()
        await failing
    require_whole(begun + rest)
    assert process.returncode == 0


async def test_the_command_fails_and_says_that_what_it_wrote_is_not_whole(site: Site) -> None:
    async with exporting(site.settings, "-") as process:
        assert process.stdout is not None
        begun = await process.stdout.readline()
        async with unreadable(site.settings):
            rest, said = await process.communicate()
    assert (process.returncode, b"complete" in begun + rest) == (1, False)
    assert said.startswith(b"tripthread export: the database: ")
    assert b"not whole" in said


async def test_what_is_left_of_a_command_that_was_killed_is_called_otherwise(site: Site, tmp_path: Path) -> None:
    file, part = tmp_path / "ann.ndjson", tmp_path / "ann.ndjson.part"

    async def is_begun() -> bool:
        return part.exists() and part.stat().st_size > 0

    async with looking(site.settings.database_url) as owner, owner.transaction():
        await owner.execute("LOCK TABLE workflow.notes")  # which are read last
        async with exporting(site.settings, str(file)) as process:
            await until(is_begun, "the first lines")
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert (part.exists(), file.exists()) == (True, False)
    async with exporting(site.settings, str(file)) as process:
        _, said = await process.communicate()
    assert (process.returncode, str(part).encode() in said, file.exists()) == (1, True, False)
    part.unlink()
    async with exporting(site.settings, str(file)) as process:
        await process.communicate()
    assert (process.returncode, part.exists()) == (0, False)
    require_whole(file.read_bytes())
