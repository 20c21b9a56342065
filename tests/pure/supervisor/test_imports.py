"""The supervisor runs on a machine's own Python, before anything is installed."""

import ast
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
BESIDE = ("terminal", "disk")  # which the image has too
MODULES = sorted((DEPLOY / "supervisor").rglob("*.py")) + [DEPLOY / f"{name}.py" for name in BESIDE]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_it_imports_only_itself_and_the_standard_library(module: Path) -> None:
    statements = list(ast.walk(ast.parse(module.read_text())))
    names = {alias.name for statement in statements if isinstance(statement, ast.Import) for alias in statement.names}
    names |= {statement.module or "" for statement in statements if isinstance(statement, ast.ImportFrom)}
    strange = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    own = {f"deploy.{name}" for name in BESIDE}
    assert {name for name in strange - own if not name.startswith("deploy.supervisor")} == set()
