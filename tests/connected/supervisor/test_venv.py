"""The virtual environment: made for real, which takes some seconds, though no server."""

from pathlib import Path

import pytest

from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.programs import succeeds
from deploy.supervisor.venv import prepare_venv


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Provide a project that requires nothing, out of reach of any package index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    layout = Layout(tmp_path / "a project")
    layout.root.mkdir()
    layout.requirements.touch()
    return layout


def test_venv_whose_making_was_interrupted_is_made_again_and_then_left_alone(layout: Layout) -> None:
    layout.python.parent.mkdir(parents=True)
    layout.python.write_text("#!/bin/sh\n[ \"$2\" = '' ]\n")  # It answers, and has no pip.
    layout.python.chmod(0o755)

    prepare_venv(layout)

    assert succeeds(layout.python, "-c", "import pip, sys; sys.exit(sys.prefix == sys.base_prefix)")

    made = layout.python.lstat().st_mtime_ns
    prepare_venv(layout)
    assert layout.python.lstat().st_mtime_ns == made
