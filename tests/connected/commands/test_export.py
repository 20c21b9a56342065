"""`tripthread export`: all of a user in a file, once it is recorded that somebody reads it; else no file."""

import getpass
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import orjson
import pytest

from shared.events import ConversationRead, decode
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.connected.gateway.stage import Rows
from tests.processes import ROOT, environment_of

AWAY = {"AMQP_URL": "amqp://a:b@127.0.0.1:9/", "PUBLISH_DEADLINE_S": "1"}


def export(settings: Settings, user: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", "export", "--user", user, *arguments],
        env={**os.environ, **environment_of(settings), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines_of(text: str) -> list[Any]:
    return [orjson.loads(line) for line in text.splitlines()]


async def recorded(settings: Settings) -> list[ConversationRead]:
    """Take what the broker has for the logger."""
    told = []
    async with await aio_pika.connect(settings.amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(LOGGER_CHAT.name)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            assert message.type is not None
            told.append(decode(message.type, message.body))
    assert all(isinstance(event, ConversationRead) for event in told)
    return told  # type: ignore[return-value]  # as was just seen


@pytest.fixture
async def said(owner: asyncpg.Connection) -> None:
    """What ann has said, some of it as the visitor that she was; and somebody else."""
    rows = Rows(owner)
    await rows.insert("gateway.linked_visitors", visitor_id="visitor_1", user_id="ann")
    for user in ("ann", "visitor_1", "bob"):
        await rows.session("s1", at=1, user=user)
        await rows.message("s1", "m1", at=1, user=user, content=f"words of {user}")


@pytest.mark.usefixtures("said")
async def test_a_file_has_all_of_a_user_and_it_is_recorded_who_reads_it(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "ann.ndjson"
    done = export(settings, "ann", "--to", str(file), "--reason", "they asked")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "ann: 5 rows\n"
    lines = lines_of(file.read_text())
    assert (lines[0]["users"], lines[-1]["complete"], lines[-1]["rows"]) == (["ann", "visitor_1"], True, 5)
    texts = [line["row"]["content"] for line in lines if line.get("table") == "chat.messages"]
    assert texts == ["words of ann", "words of visitor_1"]
    assert file.stat().st_mode & 0o777 == 0o600
    operator = f"{getpass.getuser()} (tripthread)"
    query = {"path": "tripthread export", "reason": "they asked"}
    assert [(read.operator, read.kind, read.user_id, read.query) for read in await recorded(settings)] == [
        (operator, "export", "ann", query),
        (operator, "export", "visitor_1", query),
    ]


@pytest.mark.usefixtures("said")
async def test_standard_output_is_a_file_too(settings: Settings) -> None:
    done = export(settings, "visitor_1", "--to", "-")
    assert [line.get("table", "") for line in lines_of(done.stdout)] == ["", "chat.sessions", "chat.messages", ""]
    assert (done.returncode, done.stderr) == (0, "visitor_1: 2 rows\n")


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (AWAY, "broker"),
        ({"ADMINS_READ_BODIES": "false"}, "ADMINS_READ_BODIES"),
        ({"READER_DATABASE_URL": "postgresql://a:b@127.0.0.1:9/x"}, "the database: "),
        ({"READER_DATABASE_URL": "charter"}, "READER_DATABASE_URL"),
    ],
)
async def test_no_file_is_left_where_it_cannot_be_whole(
    settings: Settings, tmp_path: Path, wrong: dict[str, str], says: str
) -> None:
    file = tmp_path / "ann.ndjson"
    done = export(settings, "ann", "--to", str(file), **wrong)
    assert (done.returncode, "Traceback" in done.stderr, file.exists()) == (1, False, False)
    assert says in done.stderr


async def test_a_file_that_is_there_stays_as_it_is_and_nothing_is_recorded(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "ann.ndjson"
    file.write_text("mine")
    for to in (file, tmp_path / "none" / "ann.ndjson"):
        done = export(settings, "ann", "--to", str(to))
        assert (done.returncode, str(to) in done.stderr) == (1, True)
    assert file.read_text() == "mine"
    assert await recorded(settings) == []
