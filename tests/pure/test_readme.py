"""What the documents tell to type is there, and will do what they say."""

import re
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
SAID_TO_BE = [
    found
    for document in DOCUMENTS
    for found in re.findall(r"`(\w+)` in `((?:\w+/)+\w+\.py)`", (ROOT / document).read_text())
]


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


@pytest.mark.parametrize(("name", "path"), sorted(set(SAID_TO_BE)))
def test_whatever_is_said_to_be_in_a_module_is_defined_there(name: str, path: str) -> None:
    defined = rf"^\s*((async )?def |class ){name}\b|^\s*{name}(: .*)? = "
    assert re.search(defined, (ROOT / path).read_text(), flags=re.MULTILINE | re.IGNORECASE)
