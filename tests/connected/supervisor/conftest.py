"""A project for each module, with its stack up or down."""

from collections.abc import Iterator

import pytest

from tests.connected.supervisor.project import Project, own_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Provide a project for the commands, which each module has of its own."""
    with own_project(tmp_path_factory.mktemp("project")) as project:
        yield project


@pytest.fixture
def stack(project: Project) -> Project:
    """Provide the project, with its stack up and every process in place."""
    done = project.run("up", "--native", "--detach")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def lying_still(project: Project) -> Project:
    """Provide the project with its stack down."""
    assert project.run("down").returncode == 0
    return project
