"""What the processes print is kept, within bounds, and can be followed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connected.supervisor.project import Project, own_project, wait_until

LOG_BYTES = 20_000


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Provide a project whose logs are soon full."""
    with own_project(tmp_path_factory.mktemp("project")) as project:
        spool = project.root / "deploy" / "supervisor" / "machine" / "spool.py"
        spool.write_text(spool.read_text().replace("LOG_BYTES = 10_000_000", f"LOG_BYTES = {LOG_BYTES}"))
        yield project


def test_follower_goes_on_when_the_log_is_turned_over(stack: Project, tmp_path: Path) -> None:
    followed = tmp_path / "followed"
    with followed.open("wb") as output:
        tail = subprocess.Popen(["./run", "logs", "logger", "-f"], cwd=stack.root, stdout=output, stderr=output)
    try:
        for first in range(1, 4000, 500):
            stack.ask("logger", f"/print/{first}-{first + 499}")
            wait_until(lambda last=first + 499: f"line {last:06}" in followed.read_text())  # type: ignore[misc]
    finally:
        tail.kill()
        tail.wait()
    assert stack.log("logger").with_name("logger.log.1").exists()


def test_logs_together_are_bounded(stack: Project) -> None:
    stack.ask("tagger", "/print/1-100000")
    wait_until(lambda: "line 100000" in stack.run("logs", "tagger").stdout)

    kept = list((stack.root / ".run" / "log").glob("tagger.log*"))

    assert len(kept) == 5
    assert sum(path.stat().st_size for path in kept) <= 5 * (LOG_BYTES + 65_536)


def test_supervisors_own_log_is_turned_over_too(stack: Project) -> None:
    own = stack.log("supervisor")
    with own.open("ab") as log:
        log.write(b"x" * LOG_BYTES + b"\n")

    os.kill(stack.pid("workflow"), signal.SIGKILL)

    wait_until(lambda: own.with_name("supervisor.log.1").exists() and "workflow runs again" in own.read_text())
