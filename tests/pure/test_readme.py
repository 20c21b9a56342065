"""What the documents tell to type is there, and will do what they say."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from deploy.cli import app
from deploy.supervisor.__main__ import COMMANDS, HELP

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for folder in (".", "docs") for path in (ROOT / folder).glob("*.md"))
ORDERING = [
    *DOCUMENTS,
    "deploy/sandbox/README.md",
    *(str(path.relative_to(ROOT)) for path in ROOT.glob("deploy/demo/*.py")),
]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_is_there(document: str) -> None:
    quoted = re.findall(r"`((?:services|shared|deploy|tests)/[\w./]+)`", (ROOT / document).read_text())
    assert [path for path in quoted if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    assert set(re.findall(r"\./run (\w+)", text)) <= COMMANDS.keys()
    ours = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"(?:`|\./run )tripthread ([a-z]+)", text)) <= ours


@pytest.mark.parametrize("file", ORDERING)
def test_no_flight_is_ordered_for_a_fixed_day(file: str) -> None:
    """It would be refused once that day is past."""
    assert re.findall(r"\bdate\W{1,6}20\d\d-\d\d-\d\d", (ROOT / file).read_text()) == []


def test_every_command_for_typing_is_in_the_help() -> None:
    told = set(re.findall(r"^  \./run (\w+)", HELP, flags=re.MULTILINE))
    assert told == {name for name in COMMANDS if name[0] not in "_-" and name != "help"}


@pytest.mark.parametrize(("function", "path"), re.findall(r"`(\w+)` in `([\w/]+)\.py`", README))
def test_every_function_is_where_it_is_said_to_be(function: str, path: str) -> None:
    assert callable(getattr(import_module(path.replace("/", ".")), function))
