"""The `tripthread` command where what it was told leads nowhere: a sentence, never a traceback."""

import os
import subprocess
import sys

import asyncpg
import pytest

from shared.settings import Settings
from tests.processes import ROOT, environment_of

WRONG = {
    "no URL": "charter",
    "nobody there": "postgresql://a:b@127.0.0.1:9/tripthread",
    "half a bracket": "postgresql://a:b@[::1/tripthread",
}


def tripthread(settings: Settings, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, **environment_of(settings), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def assert_sentence(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode in (1, 2), done
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert len(done.stderr.splitlines()) <= 4, done.stderr
    for word in words:
        assert word in said


@pytest.mark.parametrize("wrong", WRONG.values())
def test_wrong_url_of_the_database_is_told_by_migrate(settings: Settings, wrong: str) -> None:
    assert_sentence(tripthread(settings, "migrate", DATABASE_URL=wrong), "DATABASE_URL")


@pytest.mark.parametrize("command", [("migrate",), ("serve", "gateway"), ("dead", "list")])
def test_url_that_is_none_is_told_by_its_name(settings: Settings, command: tuple[str, ...]) -> None:
    done = tripthread(settings, *command, ADMIN_DATABASE_URL="postgresql://a:b@[::1/tripthread")

    assert_sentence(done, "ADMIN_DATABASE_URL")


@pytest.mark.parametrize("wrong", ["charter", "postgresql://a:b@[::1/tripthread"])
def test_wrong_urls_are_told_by_the_doctor(settings: Settings, wrong: str) -> None:
    variables = ("DATABASE_URL", "AMQP_URL", "TAGGER_DATABASE_URL", "OPENAI_BASE_URL", "AVINODE_BASE_URL")

    done = tripthread(settings, "doctor", **dict.fromkeys(variables, wrong))

    assert_sentence(done, *variables)


async def test_database_ahead_of_the_code_is_left_as_it_is(settings: Settings, owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE tripthread.revision SET version_num = '9999_later'")

    assert_sentence(tripthread(settings, "migrate"), "9999_later", "a later one")
    assert_sentence(tripthread(settings, "migrate", "--down-to", "base"), "9999_later")
    doctor = tripthread(settings, "doctor").stdout
    assert "9999_later" in doctor
    assert "a later one has migrated the database" in doctor
    assert await owner.fetchval("SELECT version_num FROM tripthread.revision") == "9999_later"


def test_revision_that_is_not_there_is_told(settings: Settings) -> None:
    assert_sentence(tripthread(settings, "migrate", "--down-to", "0000_earlier"), "0000_earlier")
