"""The supervisor runs on a machine's own Python, before anything is installed."""

import ast
import sys
from pathlib import Path

import pytest

SUPERVISOR = Path(__file__).parents[2] / "deploy" / "supervisor"


@pytest.mark.parametrize("module", sorted(path.name for path in SUPERVISOR.glob("*.py")))
def test_it_imports_only_itself_and_the_standard_library(module: str) -> None:
    statements = list(ast.walk(ast.parse((SUPERVISOR / module).read_text())))
    names = {alias.name for statement in statements if isinstance(statement, ast.Import) for alias in statement.names}
    names |= {statement.module or "" for statement in statements if isinstance(statement, ast.ImportFrom)}
    strange = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in strange if not name.startswith("deploy.supervisor")} == set()
