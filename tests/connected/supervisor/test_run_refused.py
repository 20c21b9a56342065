"""`./run` where the machine refuses it something: a sentence, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connected.supervisor.project import ROOT, Project

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def mounted(project: Project) -> Iterator["Mounts"]:
    mounts = Mounts(project)
    yield mounts
    assert project.run("down").returncode == 0


class Mounts:
    """Runs a command with another disk below the project, which it alone sees."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def run(self, mount: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        script = f'set -e; {mount}; exec ./run "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]
        return subprocess.run(command, cwd=self._project.root, capture_output=True, text=True, check=False, timeout=120)

    def read_only(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.run('mount --bind . . && mount -o remount,ro,bind . && cd "$PWD"', *arguments)


@pytest.mark.parametrize("command", [("up", "--native"), ("up", "--native", "--detach"), ("check",)])
def test_read_only_checkout_is_told_in_a_sentence(mounted: Mounts, command: tuple[str, ...]) -> None:
    done = mounted.read_only(*command)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr
    assert "must be able to write there" in done.stderr


def test_stack_that_is_down_is_seen_on_a_read_only_checkout_too(mounted: Mounts) -> None:
    assert "nothing is running here" in mounted.read_only("status").stderr
    assert mounted.read_only("down").returncode == 0


def test_full_disk_is_told_in_a_sentence(mounted: Mounts) -> None:
    done = mounted.run(
        "mkdir -p .run; mount -t tmpfs -o size=16k none .run; head -c 16k /dev/zero > .run/full || true",
        "up",
        "--native",
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_little_disk_is_told_at_the_start_and_by_status(mounted: Mounts) -> None:
    small = "mkdir -p .run; mount -t tmpfs -o size=600m none .run"
    up_and_down = '"./run" "$@" && ./run status; ./run down'

    done = mounted.run(f"{small}; sh -c '{up_and_down}' sh \"$@\"; set -- help", "up", "--native", "--detach")

    at_the_start, _, rest = done.stdout.partition("Starting PostgreSQL")
    directions, _, status = rest.partition("restarts")
    for said in (at_the_start, directions, status):
        assert "little disk: " in said


def test_doctor_tells_of_little_disk_and_of_nothing_that_is_kept_elsewhere(tmp_path: Path) -> None:
    program = "from deploy.doctor import check_disk; from pathlib import Path; print(check_disk(Path('{}')))"

    def look(size: str, directory: Path) -> str:
        script = f'mount -t tmpfs -o size={size} none {tmp_path} && exec "$0" -c "$1"'
        command = ["unshare", "--mount", "sh", "-c", script, sys.executable, program.format(directory)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "make room" in look("600m", tmp_path)
    assert "trouble=None" in look("2g", tmp_path)
    assert look("600m", tmp_path / "nothing").strip() == "[]"
