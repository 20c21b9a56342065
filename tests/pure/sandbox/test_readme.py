"""The sandbox's README tells of everything there is to order and to switch on."""

from pathlib import Path

import pytest

from deploy.sandbox.avinode.faults import Faults
from deploy.sandbox.model.directives import DIRECTIVES
from deploy.sandbox.settings import SandboxSettings

README = (Path(__file__).parents[3] / "deploy/sandbox/README.md").read_text()


@pytest.mark.parametrize("name", DIRECTIVES)
def test_readme_tells_of_each_directive(name: str) -> None:
    assert f"`[{name}" in README


@pytest.mark.parametrize("name", Faults.__struct_fields__)
def test_readme_tells_of_each_fault(name: str) -> None:
    assert f"| `{name}:" in README


@pytest.mark.parametrize("name", SandboxSettings.model_fields)
def test_readme_tells_of_each_variable(name: str) -> None:
    assert name.upper().replace("AVINODE_WEBHOOK_", "_").removeprefix("_") in README
