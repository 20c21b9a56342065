"""`./run`: the real supervisor and real servers, with services that stand in for ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.supervisor.machine.ports import answers
from tests.connected.supervisor import stand_in_cli
from tests.connected.supervisor.project import Project, alive, psql, wait_until

SANDBOX_PORTS = {"LLM_PORT": "OPENAI_BASE_URL", "AVINODE_PORT": "AVINODE_BASE_URL"}


def test_killed_service_is_back_with_a_new_pid(stack: Project) -> None:
    before = stack.pid("logger")

    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid("logger") != before)

    assert alive(stack.pid("logger"))


def test_killed_servers_are_back_at_the_same_address(stack: Project) -> None:
    before = stack.env
    for name in ("rabbitmq", "postgres"):
        os.kill(int(before[f"PID_{name}"]), signal.SIGKILL)

    for name in ("rabbitmq", "postgres"):
        wait_until(lambda name=name: stack.env[f"PID_{name}"] != before[f"PID_{name}"])  # type: ignore[misc]
    assert stack.run("start", "rabbitmq").returncode == stack.run("start", "postgres").returncode == 0

    after = stack.env
    assert (after["DATABASE_URL"], after["AMQP_URL"]) == (before["DATABASE_URL"], before["AMQP_URL"])


def test_stopped_service_drains_and_stays_away_until_it_is_started(stack: Project) -> None:
    pid = stack.pid("tagger")

    assert stack.run("stop", "tagger").returncode == 0

    assert not alive(pid)
    assert (stack.root / ".run/log/tagger.log").read_text().endswith("drained\n")
    time.sleep(3.0)  # Longer than a killed one takes to come back: only time can show that nothing happens.
    assert "PID_tagger" not in stack.env

    assert stack.run("start", "tagger").returncode == 0
    assert alive(stack.pid("tagger"))


@pytest.mark.alone
def test_paused_service_can_be_stopped(stack: Project) -> None:
    os.kill(stack.pid("workflow"), signal.SIGSTOP)
    begin = time.monotonic()

    assert stack.run("stop", "workflow").returncode == 0

    assert time.monotonic() - begin < 10
    stack.run("start", "workflow")


def test_second_up_extends_the_stack(stack: Project) -> None:
    before = stack.env

    done = stack.run("up", "--native", "--detach", "--gateways", "2", "--loggers", "2")

    assert done.returncode == 0, done.stderr
    after = stack.env
    assert after.keys() - before.keys() >= {"TRIPTHREAD_URL_2", "PID_gateway_2", "PID_logger_2"}
    assert {key: after[key] for key in before} == before
    stack.run("stop", "gateway_2")
    stack.run("stop", "logger_2")


def test_status_shows_every_process_and_what_keeps_it_from_being_ready(stack: Project) -> None:
    stack.run("stop", "tagger")

    lines = {line.split()[0]: line.split()[1:] for line in stack.run("status").stdout.splitlines()}

    assert lines["tagger"][:2] == ["stopped", "-"]
    assert lines["logger"][:2] == ["running", str(stack.pid("logger"))]
    assert lines["gateway"][3] == stack.env["TRIPTHREAD_URL"].rpartition(":")[2]
    assert {"postgres", "rabbitmq", "sandbox", "workflow"} <= lines.keys()
    stack.run("start", "tagger")


def test_logs_are_shown_of_one_or_of_all(stack: Project) -> None:
    stack.run("stop", "tagger")
    stack.run("start", "tagger")

    one, every = stack.run("logs", "tagger"), stack.run("logs")

    assert "drained" in one.stdout
    assert "rabbitmq.log" in every.stdout
    assert "there are: " in stack.run("logs", "loger").stderr


def test_logs_are_there_when_nothing_runs(lying_still: Project) -> None:
    assert "drained" in lying_still.run("logs", "gateway").stdout
    assert "nothing is running" in lying_still.run("status").stderr


def test_command_is_found_through_a_link_and_from_another_directory(stack: Project, tmp_path: Path) -> None:
    link = tmp_path / "tripthread-run"
    link.symlink_to(stack.root / "run")
    environment = {**os.environ, "CDPATH": str(tmp_path), "LANG": "C"}

    done = subprocess.run([link, "status"], cwd="/", env=environment, capture_output=True, text=True, check=False)

    assert "logger" in done.stdout, done.stderr


def test_unknown_name_is_answered_with_those_there_are(stack: Project) -> None:
    done = stack.run("stop", "loger")

    assert done.returncode == 1
    assert "'loger'" in done.stderr
    assert "logger" in done.stderr


def test_service_that_keeps_ending_is_shown_with_its_log(stack: Project) -> None:
    sandbox = stack.root / "deploy" / "sandbox.py"
    whole = sandbox.read_text()
    stack.run("stop", "sandbox")
    sandbox.write_text("raise SystemExit('cannot listen')\n")

    done = stack.run("start", "sandbox")

    sandbox.write_text(whole)
    assert done.returncode == 1
    assert "sandbox keeps ending" in done.stderr
    assert "cannot listen" in done.stderr


def test_service_whose_ports_somebody_else_answers_at_is_not_taken_for_ready(stack: Project) -> None:
    sandbox = stack.root / "deploy" / "sandbox.py"
    whole = sandbox.read_text()
    stack.run("stop", "sandbox")
    ports = {name: str(urlsplit(stack.env[url]).port) for name, url in SANDBOX_PORTS.items()}
    stranger = subprocess.Popen(
        [sys.executable, stand_in_cli.__file__, "sandbox"], env={"INSTANCE": "stranger"} | ports
    )
    wait_until(lambda: all(answers(int(port)) for port in ports.values()))
    sandbox.write_text("import time\ntime.sleep(600)\n")

    begun = subprocess.Popen(["./run", "start", "sandbox"], cwd=stack.root)
    try:
        wait_until(lambda: "takes no connections yet" in stack.run("status").stdout)
    finally:
        for process in (begun, stranger):
            process.kill()
            process.wait()
        stack.run("stop", "sandbox")
        sandbox.write_text(whole)

    assert stack.run("start", "sandbox").returncode == 0


def test_cli_gets_the_running_stack_whatever_the_caller_exported(
    stack: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody-elses/database")

    assert stack.run("tripthread", "show", "DATABASE_URL").stdout.strip() == stack.env["DATABASE_URL"]


def test_data_and_secrets_survive_down_and_up(stack: Project) -> None:
    before = stack.env
    psql(stack, "CREATE TABLE kept AS SELECT 42 AS answer")

    stack.run("down")
    assert stack.run("up", "--native", "--detach").returncode == 0

    assert psql(stack, "SELECT answer FROM kept; DROP TABLE kept") == "42"
    assert stack.env["JWT_SECRET"] == before["JWT_SECRET"]
    assert stack.env["AMQP_URL"].partition("@")[0] == before["AMQP_URL"].partition("@")[0]


def test_down_leaves_no_process_and_no_file_outside_dot_run(stack: Project) -> None:
    done = stack.run("down")

    assert done.returncode == 0, done.stderr
    assert stack.processes() == []
    assert not (stack.root / ".run" / "env").exists()
    entries = {path.name for path in stack.root.iterdir()} - {"foreground.log", "apt.log"}
    assert entries == {"deploy", "run", "requirements-dev.txt", ".venv", ".run"}
    assert list(stack.root.glob("deploy/**/__pycache__")) == []
    assert stack.run("down").returncode == 0


def test_failed_migration_is_shown_and_leaves_nothing(lying_still: Project) -> None:
    project = lying_still
    (project.root / "broken").touch()

    done = project.run("up", "--native", "--detach")

    (project.root / "broken").unlink()
    assert done.returncode == 1
    assert "relation does not exist" in done.stderr
    assert project.processes() == []


def test_ctrl_c_leaves_nothing(lying_still: Project) -> None:
    process = lying_still.run_in_foreground()
    gateway = lying_still.pid("gateway")

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    assert not alive(gateway)
    assert lying_still.processes() == []
    assert (lying_still.root / ".run/log/gateway.log").read_text().endswith("drained\n")


def test_killed_foreground_takes_everything_with_it(lying_still: Project) -> None:
    process = lying_still.run_in_foreground()

    process.kill()
    process.wait()

    wait_until(lambda: lying_still.processes() == [])


def test_foreground_says_so_when_its_supervisor_dies(lying_still: Project) -> None:
    process = lying_still.run_in_foreground()

    os.kill(int((lying_still.root / ".run" / "supervisor.lock").read_text()), signal.SIGKILL)

    assert process.wait(20) == 1
    assert b"the supervisor ended" in (lying_still.root / "foreground.log").read_bytes()


def test_killed_server_leaves_no_shared_memory_behind(stack: Project) -> None:
    before = stack.pid("postgres")

    mapped = Path(f"/proc/{before}/maps").read_text()

    assert f"{stack.root}/.run/postgres/data/pg_dynshmem/" in mapped


def test_killed_supervisor_takes_everything_with_it(stack: Project) -> None:
    os.kill(int((stack.root / ".run" / "supervisor.lock").read_text()), signal.SIGKILL)

    wait_until(lambda: stack.processes() == [])

    assert stack.run("start", "logger").returncode == 1
