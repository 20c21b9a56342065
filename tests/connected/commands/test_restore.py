"""A dump is restored by the very commands of docs/operating.md: roles, then data, then `migrate`."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres
from services.gateway.turns.stored.store import TurnStore
from shared.database import lacking, open_pool
from shared.settings import Settings
from tests.connected.brokers import NOBODY
from tests.processes import ROOT
from tests.pure.gateway.samples import claim
from tests.servers import looking, own_postgres
from tests.settings import settings_for

GUIDE = (ROOT / "docs/operating.md").read_text()
COUNTS = "SELECT count(*) FROM {}"


def commands(heading: str) -> str:
    (block,) = re.findall(rf"^## {heading}\n.*?^```sh\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)[:1]
    return str(block)


def run(script: str, database_url: str, directory: Path) -> None:
    (binaries,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    environment = {**os.environ, "DATABASE_URL": database_url, "PATH": f"{binaries}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def named_tripthread(server: Postgres) -> Settings:
    assert urlsplit(server.url).path == "/tripthread"
    return settings_for(server.url, NOBODY)


@pytest.mark.fault
async def test_a_dump_is_restored_on_a_new_server_by_the_guide(tmp_path: Path) -> None:
    with own_postgres() as first:
        settings = named_tripthread(first)
        await asyncio.to_thread(migrate, settings)
        async with open_pool(settings.gateway_database_url, "test") as pool:
            assert await TurnStore(pool).claim(claim()) is not None
        await asyncio.to_thread(run, commands("Dump"), first.url, tmp_path)
        tables = await table_counts(first.url)
    assert "PASSWORD" not in (tmp_path / "tripthread.roles").read_text()

    with own_postgres() as second:
        await asyncio.to_thread(run, commands("Restore"), second.url, tmp_path)
        settings = named_tripthread(second)
        await asyncio.to_thread(migrate, settings)
        assert await table_counts(second.url) == tables
        assert tables["gateway.turns"] == 1
        for service, schema in {
            "gateway": "gateway",
            "logger": "chat",
            "tagger": "tagging",
            "workflow": "workflow",
        }.items():
            connection = await asyncpg.connect(getattr(settings, f"{service}_database_url"))
            assert await lacking(connection, schema) is None
            await connection.close()
        await asyncio.to_thread(run, commands("Restore"), second.url, tmp_path)  # over what is there
        assert await table_counts(second.url) == tables


async def table_counts(url: str) -> dict[str, int]:
    async with looking(url) as owner:
        rows = await owner.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
            "WHERE schemaname IN ('chat', 'gateway', 'tagging', 'workflow', 'tripthread')"
        )
        return {row["name"]: await owner.fetchval(COUNTS.format(row["name"])) for row in rows}
