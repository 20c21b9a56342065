"""What docker compose is asked, by a program of its name that writes it down."""

import os
from pathlib import Path

import pytest

from deploy.supervisor import docker
from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.env_file import write_env


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Provide a project whose stack docker compose runs."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    layout = Layout(tmp_path)
    write_env(layout.compose_file, {"HTTP_PORT": "8080"})
    return layout


def asked(layout: Layout) -> str:
    return (layout.root / "asked").read_text().splitlines()[-1]


def test_variables_of_dot_env_come_first_so_that_ours_win(layout: Layout) -> None:
    (layout.root / ".env").write_text("LOG_LEVEL=DEBUG\n")

    docker.status(layout)

    files = [word for word in asked(layout).split() if word.endswith("env")]
    assert files == [str(layout.root / ".env"), str(layout.compose_file)]


def test_commands_for_a_running_stack_are_compose_s_own(layout: Layout) -> None:
    docker.status(layout)
    assert asked(layout).endswith(" ps --all")

    docker.stop(layout, "logger")
    assert asked(layout).endswith(" stop logger")

    docker.start(layout, "logger")
    assert asked(layout).endswith(" up --detach --wait --no-deps --no-build logger")

    docker.logs(layout, ["gateway"], follow=True)
    assert asked(layout).endswith(" logs --tail 100 --follow gateway")


def test_down_stops_the_project_and_forgets_that_it_ran(layout: Layout) -> None:
    assert docker.down(layout)

    assert asked(layout).endswith(" down --remove-orphans")
    assert not docker.is_ours(layout)
    assert not docker.down(layout)


def test_the_servers_images_are_looked_for_by_the_names_that_are_set(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = layout.root / "deploy"
    deploy.mkdir()
    for name in ("compose.yaml", "compose.development.yaml", "Dockerfile"):
        (deploy / name).write_bytes((Path(__file__).parents[3] / "deploy" / name).read_bytes())
    monkeypatch.setenv("RABBITMQ_IMAGE", "rabbitmq:4.0-management")

    docker.why_not(layout)
    looked_for = (layout.root / "asked").read_text()
    assert "image inspect rabbitmq:4.0-management" in looked_for
    assert "image inspect postgres:17" in looked_for
