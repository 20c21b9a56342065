"""Garbage in any queue is parked with its reason; operators list, replay and drop it."""

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import aio_pika
import asyncpg
import pytest

from shared import topology
from shared.settings import Settings
from tests.connected.brokers import NO_DATABASE
from tests.processes import ROOT, environment_of, running
from tests.waiting import until

CONSUMED = [queue.name for queue in topology.QUEUES if queue is not topology.DEAD]
GARBAGE = b"\xff\x00 no event at all"


async def put(settings: Settings, queue: str, body: bytes, name: str | None = None, **headers: str) -> None:
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(body, type=name, headers={**headers}), queue)


def tripthread(settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, **environment_of(settings)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_terminal(settings: Settings, *arguments: str) -> bytes:
    """Run it on a terminal, and return what that was sent."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    subprocess.run(command, env={**os.environ, **environment_of(settings)}, cwd=ROOT, stdout=its, check=True)
    os.close(its)
    try:
        return os.read(ours, 65_536)
    finally:
        os.close(ours)


async def test_garbage_in_any_queue_is_parked_with_its_reason(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger", "tagger", "workflow"):
        for queue in CONSUMED:
            await put(settings, queue, GARBAGE)
            await put(settings, queue, b'{"content": "half"}', "MessagePosted")
        await put(settings, topology.DEAD_QUEUE, GARBAGE)

        async def parked() -> list[asyncpg.Record] | None:
            rows = await owner.fetch("SELECT queue, reason, error, body FROM chat.dead_letters ORDER BY queue, body")
            return rows if len(rows) == 2 * len(CONSUMED) + 1 else None

        rows = await until(parked, "every letter")
    reasons = {(row["queue"], row["reason"]) for row in rows}
    assert reasons == {*((queue, "undecodable") for queue in CONSUMED), ("dead", "unknown")}
    assert {row["body"] for row in rows} == {GARBAGE, b'{"content": "half"}'}
    assert all(row["error"] for row in rows)


async def test_operators_replay_and_drop_by_the_command_line(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async def letter(state: str) -> UUID | None:
        found: UUID | None = await owner.fetchval(
            "SELECT dead_letter_id FROM chat.dead_letters WHERE state = $1", state
        )
        return found

    async with running(settings, tmp_path, "logger"):
        await put(settings, topology.LOGGER_CHAT.name, GARBAGE)
        dead_letter_id = str(await until(lambda: letter("parked"), "the letter"))
        listed = tripthread(settings, "dead", "list", "--reason", "undecodable")
        assert dead_letter_id in listed
        assert tripthread(settings, "dead", "list", "--reason", "other") == ""
        assert "replayed to logger.chat" in tripthread(settings, "dead", "replay", dead_letter_id)

        async def refused_again() -> bool:
            row = await owner.fetchrow("SELECT state, arrivals FROM chat.dead_letters")
            return row is not None and (row["state"], row["arrivals"]) == ("parked", 2)

        await until(refused_again, "the letter to come back")
        assert "dropped" in tripthread(settings, "dead", "drop", dead_letter_id)
        await until(lambda: letter("dropped"), "the decision")
        assert tripthread(settings, "dead", "list") == ""
        with pytest.raises(AssertionError, match="dropped by"):
            tripthread(settings, "dead", "replay", dead_letter_id)


async def test_what_a_stranger_wrote_does_not_reach_the_terminal_as_it_is(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger"):
        await put(settings, topology.DEAD_QUEUE, GARBAGE, **{"x-error": "\x1b[2Jall is well\n0000  no other letter"})
        await until(lambda: owner.fetchval("SELECT count(*) FROM chat.dead_letters"), "the letter")
    (line,) = tripthread(settings, "dead", "list").splitlines()
    assert line.endswith("dead  unknown   [2Jall is well 0000  no other letter")


async def test_letter_is_shown_to_a_file_as_it_came_and_to_a_terminal_plainly(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger"):
        await put(settings, topology.DEAD_QUEUE, b"\x1b[2Jall is well\xff")
        letter = str(await until(lambda: owner.fetchval("SELECT dead_letter_id FROM chat.dead_letters"), "the letter"))

    assert "\x1b[2Jall is well\\xff" in await asyncio.to_thread(tripthread, settings, "dead", "show", letter)
    assert b"\\x1b[2Jall is well\\xff" in await asyncio.to_thread(on_terminal, settings, "dead", "show", letter)


def test_a_database_that_is_away_is_told_in_one_line(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"admin_database_url": NO_DATABASE})
    with pytest.raises(AssertionError, match=r"^tripthread dead: the database: .*\n"):
        tripthread(nowhere, "dead", "list")


async def test_a_letter_that_is_not_there_is_said_to_be_missing(settings: Settings) -> None:
    with pytest.raises(AssertionError, match="no such dead letter"):
        tripthread(settings, "dead", "replay", str(UUID(int=0)))
