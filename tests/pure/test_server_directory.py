"""Where the servers of tests keep their data."""

import os
import subprocess
from pathlib import Path

from tests.server_directory import server_directory, sweep


def test_what_a_killed_run_has_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, used, foreign = (
        tmp_path / f"tripthread-test-{ended.pid}-x_y1",
        tmp_path / f"tripthread-postgres-{os.getpid()}-ab",
        tmp_path / "tripthread-test-notes-x",
    )
    for directory in (left, used, foreign):
        (directory / "data").mkdir(parents=True)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([used, foreign])


def test_a_directory_is_gone_with_its_block_and_no_sweep_takes_it_before() -> None:
    with server_directory("test") as directory:
        sweep(directory.parent)
        assert directory.is_dir()
    assert not directory.exists()
