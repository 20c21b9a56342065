"""A test that is marked `alone` has no other beside it, and gets its turn."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from tests.alone import ROOM, turn
from tests.waiting import until_true


@pytest.fixture
def door(tmp_path: Path) -> Path:
    (tmp_path / "door").touch()
    return tmp_path / "door"


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room").touch()
    return tmp_path / "room"


def is_free(file: Path, *, alone: bool) -> bool:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_others_run_beside_a_test(door: Path, room: Path) -> None:
    with turn(alone=False, door=door, room=room):
        assert is_free(door, alone=True)
        assert is_free(room, alone=False)
        assert not is_free(room, alone=True)


def test_nobody_runs_beside_one_that_is_alone(door: Path, room: Path) -> None:
    with turn(alone=True, door=door, room=room):
        assert not is_free(room, alone=False)
    assert is_free(room, alone=True)


async def test_whoever_comes_later_waits_behind_one_that_will_be_alone(door: Path, room: Path) -> None:
    def run_alone() -> None:
        with turn(alone=True, door=door, room=room):
            pass

    waiting = threading.Thread(target=run_alone)
    with turn(alone=False, door=door, room=room):
        waiting.start()
        await until_true(lambda: not is_free(door, alone=True))
        assert waiting.is_alive()
    waiting.join()


def test_this_one_lets_others_run() -> None:
    assert is_free(ROOM, alone=False)
    assert not is_free(ROOM, alone=True)


@pytest.mark.alone
def test_this_one_lets_nobody_run() -> None:
    assert not is_free(ROOM, alone=False)
