"""PgBouncer before the database: in session mode everything works, transaction mode is refused at the start."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.database import open_pool
from shared.pooler import shares_sessions
from shared.settings import Settings
from tests.processes import Process, running
from tests.settings import settings_for
from tests.tokens import token_for
from tests.waiting import until

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
CONFIG = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = plain
auth_file = {directory}/users.txt
pool_mode = {mode}
default_pool_size = 20
"""

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (Debian: apt-get install)")


@asynccontextmanager
async def pgbouncer(settings: Settings, directory: Path, mode: str) -> AsyncIterator[Settings]:
    """Run one, and give the settings that lead through it."""
    server, port = urlsplit(settings.database_url), free_port()
    urls = [getattr(settings, name) for name in Settings.model_fields if name.endswith("database_url")]
    logins = {urlsplit(url).username: urlsplit(url).password for url in urls}
    users = "".join(f'"{user}" "{password}"\n' for user, password in logins.items())
    (directory / "users.txt").write_text(users)
    values = {"host": server.hostname, "port": server.port, "listens": port, "directory": directory, "mode": mode}
    (directory / "pgbouncer.ini").write_text(CONFIG.format(**values))
    user = ("-u", "nobody")  # it refuses to run as root
    process = await asyncio.create_subprocess_exec(str(PGBOUNCER), *user, str(directory / "pgbouncer.ini"))
    try:
        through = settings.database_url.replace(f":{server.port}/", f":{port}/")

        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(through, statement_cache_size=0)
            except OSError:
                return False
            await connection.close()
            return True

        await until(answers, "PgBouncer")
        yield settings_for(through, settings.amqp_url)
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    made = tmp_path / "pgbouncer"
    made.mkdir()
    return made


async def test_the_whole_flow_runs_through_a_pooler_in_session_mode(
    settings: Settings, owner: asyncpg.Connection, directory: Path, tmp_path: Path
) -> None:
    async with (
        pgbouncer(settings, directory, "session") as pooled,
        serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox,
    ):
        urls = {"openai_base_url": f"{sandbox.model}/v1", "avinode_base_url": f"{sandbox.avinode}/api"}
        mine = pooled.model_copy(update=urls | {"http_port": free_port()})
        async with (
            running(mine, tmp_path, "gateway", "logger", "tagger", "workflow"),
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token_for(mine, 'ann')}"}) as http,
        ):
            base = f"http://127.0.0.1:{mine.http_port}"
            said = {"session_id": "s1", "message": "[echo hi]", "stream": False}
            async with http.post(f"{base}/api/chat", json=said) as answer:
                assert answer.status == 200, await answer.text()
            await until(lambda: owner.fetchval("SELECT count(*) = 2 FROM chat.messages"), "both messages stored")
            trip = {"route": [{"from": "KTEB", "to": "KPBI", "date": "2030-01-01"}], "passengers": 6}
            async with http.post(f"{base}/api/chat/sessions/s1/trips", json=trip) as answer:
                text = await answer.text()
            assert answer.status < 500, text


async def test_timeouts_hold_behind_a_pooler_in_session_mode(settings: Settings, directory: Path) -> None:
    async with (
        pgbouncer(settings, directory, "session") as pooled,
        open_pool(pooled.logger_database_url, "test", 1, statement_timeout_ms=1234) as pool,
    ):
        assert await pool.fetchval("SHOW statement_timeout") == "1234ms"
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "10s"


async def test_transaction_mode_is_refused_at_the_start_in_one_sentence(
    settings: Settings, directory: Path, tmp_path: Path
) -> None:
    async with pgbouncer(settings, directory, "transaction") as pooled:
        for service in ("gateway", "logger", "tagger", "workflow"):
            process = Process(service, pooled, tmp_path / f"{service}.log")
            process.launch()
            assert await process.ended() == 2
            last = process.log.strip().splitlines()[-1]
            assert last.startswith(f"tripthread: {service} cannot run: {service.upper()}_DATABASE_URL leads through")
            assert "Traceback" not in process.log


async def test_only_a_pooler_that_shares_sessions_is_one(settings: Settings, directory: Path) -> None:
    assert not await shares_sessions(settings.logger_database_url)
    async with pgbouncer(settings, directory, "session") as pooled:
        assert not await shares_sessions(pooled.logger_database_url)
    async with pgbouncer(settings, directory, "transaction") as pooled:
        assert all([await shares_sessions(pooled.logger_database_url) for _ in range(20)])
