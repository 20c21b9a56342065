"""The life of one supervised process, on a clock of our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.supervisor.supervising.supervisor import Supervisor
from deploy.supervisor.supervising.unit import RESTART_AFTER_S, State, Unit
from deploy.supervisor.trouble import Trouble


@dataclass
class FakeProcess:
    """A process that does what the test says."""

    name: str = "logger"
    running: bool = False
    pid: int | None = None
    launches: int = 0
    killed: bool = False
    cannot_start: Exception | None = None
    stops_when_asked: bool = True
    asked: int = field(default=0)

    def launch(self) -> None:
        if self.cannot_start:
            raise self.cannot_start
        self.launches += 1
        self.running, self.pid = True, 1000 + self.launches

    def ask_to_stop(self) -> None:
        self.asked += 1
        self.running = self.running and not self.stops_when_asked

    def kill(self) -> None:
        self.killed, self.running = True, False


def started(process: FakeProcess) -> Unit:
    unit = Unit(process, order=0, say=lambda _: None, drain_s=25.0)
    unit.start()
    return unit


def test_ended_process_starts_again_two_seconds_later() -> None:
    process = FakeProcess()
    unit = started(process)
    process.running = False

    unit.tick(100.0)
    unit.tick(100.0 + RESTART_AFTER_S - 0.1)
    assert (process.launches, unit.state) == (1, State.WAITING)

    unit.tick(100.0 + RESTART_AFTER_S)
    assert (process.launches, unit.state, unit.restarts) == (2, State.RUNNING, 1)
    assert unit.pid == 1002


def test_ended_process_is_started_at_once_on_request() -> None:
    process = FakeProcess()
    unit = started(process)
    process.running = False
    unit.tick(100.0)

    unit.start()

    assert (process.launches, unit.state) == (2, State.RUNNING)


def test_stopped_process_stays_stopped() -> None:
    process = FakeProcess()
    unit = started(process)

    unit.stop(100.0)
    for now in (100.1, 103.0, 1000.0):
        unit.tick(now)

    assert (process.launches, unit.state, unit.pid, process.killed) == (1, State.STOPPED, None, False)


def test_process_that_waits_for_its_restart_can_be_stopped() -> None:
    process = FakeProcess()
    unit = started(process)
    process.running = False
    unit.tick(100.0)

    unit.stop(101.0)
    unit.tick(103.0)

    assert (process.launches, unit.state) == (1, State.STOPPED)


def test_process_that_ignores_the_stop_is_killed_when_its_time_is_over() -> None:
    process = FakeProcess(stops_when_asked=False)
    unit = started(process)

    unit.stop(100.0)
    unit.tick(124.9)
    assert (process.killed, unit.state) == (False, State.STOPPING)

    unit.tick(125.0)
    unit.tick(125.1)
    assert (process.killed, unit.state) == (True, State.STOPPED)


def test_second_stop_does_not_extend_the_time() -> None:
    process = FakeProcess(stops_when_asked=False)
    unit = started(process)

    unit.stop(100.0)
    unit.stop(120.0)
    unit.tick(125.0)

    assert process.killed
    assert process.asked == 1


def test_stopped_process_runs_again_when_started() -> None:
    process = FakeProcess()
    unit = started(process)
    unit.stop(100.0)
    unit.tick(100.1)

    unit.start()

    assert (process.launches, unit.state) == (2, State.RUNNING)


@pytest.mark.parametrize("reason", [Trouble("no such program"), OSError("no space left on device")])
def test_process_that_cannot_start_is_tried_again(reason: Exception) -> None:
    process = FakeProcess()
    unit = started(process)
    process.running, process.cannot_start = False, reason
    unit.tick(100.0)
    unit.tick(102.0)
    assert unit.state is State.WAITING

    process.cannot_start = None
    unit.tick(104.0)

    assert (process.launches, unit.state) == (2, State.RUNNING)


@pytest.mark.parametrize("times", [1, 3])
def test_start_of_a_running_process_changes_nothing(times: int) -> None:
    process = FakeProcess()
    unit = started(process)
    for _ in range(times):
        unit.start()

    assert process.launches == 1


def test_unit_is_ready_when_it_runs_and_says_so() -> None:
    process = FakeProcess()
    answers = [False, True]
    unit = Unit(process, order=0, say=lambda _: None, is_ready=lambda: answers.pop(0))
    unit.start()

    assert [unit.status()["ready"], unit.status()["ready"]] == [False, True]


def test_process_ids_that_could_not_be_written_are_written_at_the_next_look(tmp_path: Path) -> None:
    disk_is_full = [True]
    written: list[Mapping[str, int]] = []

    def write(pids: Mapping[str, int]) -> None:
        if disk_is_full:
            disk_is_full.clear()
            raise OSError("no space left on device")
        written.append(pids)

    supervisor = Supervisor(tmp_path, write)
    supervisor.add(Unit(FakeProcess(), order=0, say=lambda _: None))

    supervisor.tick()
    supervisor.tick()

    assert written == [{"logger": 1001}]
