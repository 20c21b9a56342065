"""Debian packages, by an `apt-get` that stands in for the real one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.supervisor.machine.packages import install

INSTALL = """
import sys
from pathlib import Path
from deploy.supervisor.machine.packages import install
install(["postgresql"], log=Path(sys.argv[1]), guard=Path(sys.argv[2]))
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the program: it says what it is asked and whether the guard stands, and ends when `busy` is gone."""
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\ntrap '' INT TERM\n"
        f'echo "$1 $(test -x {tmp_path}/guard && echo guarded)"\n'
        f"while [ -e {tmp_path}/busy ]; do sleep 0.05; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_services_are_kept_from_starting_while_packages_are_installed(apt: Path, tmp_path: Path) -> None:
    assert install(["postgresql"], log=tmp_path / "apt.log", guard=tmp_path / "guard") == 0

    assert (tmp_path / "apt.log").read_text() == "update guarded\ninstall guarded\n"
    assert not (tmp_path / "guard").exists()


def test_a_machine_s_own_guard_stays(apt: Path, tmp_path: Path) -> None:
    (tmp_path / "guard").write_text("its own")

    install(["postgresql"], log=tmp_path / "apt.log", guard=tmp_path / "guard")

    assert (tmp_path / "guard").read_text() == "its own"


def test_interrupted_installation_leaves_no_guard_behind(apt: Path, tmp_path: Path) -> None:
    (tmp_path / "busy").touch()
    argv = [sys.executable, "-c", INSTALL, str(tmp_path / "apt.log"), str(tmp_path / "guard")]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not (tmp_path / "guard").exists():
        assert process.poll() is None

    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == b"Waiting for apt to end\n"
    (tmp_path / "busy").unlink()

    assert process.wait(10) != 0
    assert not (tmp_path / "guard").exists()
