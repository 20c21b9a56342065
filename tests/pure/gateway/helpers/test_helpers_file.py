"""The file of helpers: what it means, and that what is wrong with it is said by helper and key."""

from pathlib import Path
from typing import Any

import pytest

from services.gateway.helpers.configured import Helpers, read_helpers
from services.gateway.helpers.helpers_file import BUILT_IN, InvalidHelpersFile
from services.gateway.model.configured.catalog import read_catalog
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.turns.here.instructed import NOTHING_SAID, filled, prompt
from shared.settings import Settings
from tests.pure.gateway.samples import turn

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "docs" / "helpers.example.toml"
ONE = '[helpers.one]\nname = "One"\ninstructions = "Be one."\n'
MODELS = '[[upstreams]]\nname = "a"\nbase_url = "http://a/v1"\nmodels = [{name = "small", aliases = ["quick"]}]\n'


def helpers(path: Path, text: str, **changes: Any) -> Helpers:
    file = path / "assistants"
    file.write_text(text, encoding="utf-8")
    settings = Settings(_env_file=None, helpers_file=str(file), **changes)
    return read_helpers(settings, read_catalog(settings), TOOL_NAMES)


def refusal(path: Path, text: str, **changes: Any) -> str:
    with pytest.raises(InvalidHelpersFile) as refused:
        helpers(path, text, **changes)
    said = str(refused.value)
    assert said.startswith(f"HELPERS_FILE {path / 'assistants'}: ")
    return said.partition("assistants: ")[2]


def test_the_example_says_what_it_says_it_does(tmp_path: Path) -> None:
    read = helpers(tmp_path, EXAMPLE.read_text())
    assert [helper.id for helper in read.all] == ["charter", "empty-legs"]
    assert (read.model_of("charter"), read.model_of("empty-legs")) == ("gpt-5-mini", None)
    told = read.instructed("charter")
    assert told.instructions.startswith("You help a charter broker")
    assert told.parameters == {"temperature": 0.3, "max_completion_tokens": 800}
    assert read.instructed("empty-legs").parameters == {}
    assert read.opening_message("charter") == read.all[0].table.opening_message
    assert read.opening_message("empty-legs") is None


def test_without_a_file_the_charter_desk_is_there() -> None:
    settings = Settings(_env_file=None)
    read = read_helpers(settings, read_catalog(settings), TOOL_NAMES)
    (charter,) = read.all
    assert (charter.id, charter.table.model) == ("charter", None)
    opening = read.opening_message("charter")
    assert opening is not None
    assert opening == opening.strip() != ""
    assert len(charter.table.starter_questions) == 4


def test_what_is_built_in_lies_where_the_wheel_and_the_image_are_made_from() -> None:
    assert BUILT_IN == ROOT / "services" / "gateway" / "helpers" / "charter.toml"
    wheel = (ROOT / "pyproject.toml").read_text()
    assert 'packages = ["services", "shared", "deploy"]' in wheel  # all files in them, as hatchling does
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "!services" in ignored
    assert not [line for line in ignored if line.endswith(".toml") and line != "!pyproject.toml"]


def test_a_name_that_no_helper_has_is_a_label(tmp_path: Path) -> None:
    read = helpers(tmp_path, ONE)
    for name in (None, "", "two", "One"):
        assert read.instructed(name) is NOTHING_SAID
        assert read.model_of(name) is read.opening_message(name) is None


def test_there_may_be_no_helper(tmp_path: Path) -> None:
    assert helpers(tmp_path, "helpers = {}").all == []


@pytest.mark.parametrize("model", ["small", "quick"])
def test_a_model_is_named_as_callers_name_it(tmp_path: Path, model: str) -> None:
    (tmp_path / "models.toml").write_text(MODELS)
    configured = {"models_file": str(tmp_path / "models.toml"), "default_model": "small"}
    assert helpers(tmp_path, f'{ONE}model = "{model}"', **configured).model_of("one") == model
    said = refusal(tmp_path, f'{ONE}model = "other"', **configured)
    assert said == "helpers.one.model: 'other' is none that an upstream has"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "helpers: is missing"),
        ("x = ", "is no TOML: Invalid value (at end of document)"),
        ("helpers = []", "helpers: Input should be a valid dictionary"),
        (ONE + ONE, "is no TOML: Cannot declare ('helpers', 'one') twice (at line 4, column 13)"),
        ("other = 1\n" + ONE, "other: is not known"),
        ("[helpers.one]", "helpers.one.name: is missing; helpers.one.instructions: is missing"),
        (
            ONE.replace("helpers.one", 'helpers."One two"'),
            "helpers.One two: String should match pattern '^[a-z0-9][a-z0-9_-]{0,63}$'",
        ),
        (ONE + "model = 1", "helpers.one.model: Input should be a valid string"),
        (ONE + 'model = " "', r"helpers.one.model: String should match pattern '^[^\x00]*[^\x00\s][^\x00]*$'"),
        (ONE + "description = 1", "helpers.one.description: Input should be a valid string"),
        (ONE + 'opening_message = ""', "helpers.one.opening_message: String should have at least 1 character"),
        (ONE + 'starter_questions = "a"', "helpers.one.starter_questions: Input should be a valid list"),
        (
            ONE + 'starter_questions = ["a", ""]',
            "helpers.one.starter_questions[1]: String should have at least 1 character",
        ),
        (ONE.replace('"Be one."', '" "'), "helpers.one.instructions: "),
        (ONE.replace('"One"', '"' + "x" * 256 + '"'), "helpers.one.name: String should have at most 255 characters"),
        (ONE + "temperature = 1", "helpers.one.temperature: is not known"),
        (ONE + 'tools = ["book_trip"]', "helpers.one.tools: 'book_trip' is none; there are create_trip, list_quotes, "),
        (
            ONE.replace("Be one.", "It is {todays}. {today} {{x}}"),
            "helpers.one.instructions: {todays} is none; there are {today}, {user}, {trip}",
        ),
        (ONE + 'tools = ["a b"]', "helpers.one.tools[0]: "),
        (ONE + "parameters = 1", "helpers.one.parameters: "),
        (
            ONE + "parameters = {temperature = 3}",
            "helpers.one.parameters.temperature: Input should be less than or equal to 2",
        ),
        (
            ONE + 'parameters = {temperature = "hot"}',
            "helpers.one.parameters.temperature: Input should be a valid number",
        ),
        (
            ONE + "parameters = {temperature = nan}",
            "helpers.one.parameters.temperature: Input should be a finite number",
        ),
        (ONE + "parameters = {top_p = 1.5}", "helpers.one.parameters.top_p: Input should be less than or equal to 1"),
        (
            ONE + "parameters = {max_tokens = 0}",
            "helpers.one.parameters.max_tokens: Input should be greater than or equal to 1",
        ),
        (ONE + "parameters = {max_tokens = 1.5}", "helpers.one.parameters.max_tokens: Input should be a valid integer"),
        (ONE + "parameters = {seed = true}", "helpers.one.parameters.seed: Input should be a valid integer"),
        (ONE + "parameters = {stream = false}", "helpers.one.parameters.stream: is no parameter"),
        (ONE + 'parameters = {model = "m"}', "helpers.one.parameters.model: is no parameter"),
        (ONE + "parameters = {tools = []}", "helpers.one.parameters.tools: is no parameter: `tools` of a helper"),
        (ONE + "parameters = {when = 2026-01-01}", "helpers.one.parameters.when: "),
    ],
)
def test_what_is_wrong_is_said_by_helper_and_key(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


def test_other_parameters_go_as_they_are(tmp_path: Path) -> None:
    read = helpers(tmp_path, ONE + 'parameters = {reasoning_effort = "low", stop = ["END"], seed = 7}')
    assert read.instructed("one").parameters == {"reasoning_effort": "low", "stop": ["END"], "seed": 7}


def test_a_file_that_is_not_there_is_said() -> None:
    settings = Settings(_env_file=None, helpers_file="/nowhere.toml")
    with pytest.raises(InvalidHelpersFile) as refused:
        read_helpers(settings, read_catalog(settings), TOOL_NAMES)
    assert str(refused.value) == "HELPERS_FILE /nowhere.toml: No such file or directory"


def test_instructions_stand_behind_what_holds_for_every_conversation() -> None:
    assert prompt("House rules.", "Be one.") == "House rules.\n\nBe one."
    assert prompt("House rules.", "") == "House rules."
    assert prompt(" ", "Be one.") == "Be one."
    assert prompt(" ", "") == ""


def test_instructions_have_what_they_name_of_the_turn() -> None:
    told = filled('On {today} for {user}: {trip}. Say {"at": {}} or {{user}}.', turn(user_id="ann {today}"))
    day = turn().asked_at.date().isoformat()
    assert told == f'On {day} for ann {{today}}: none that is known. Say {{"at": {{}}}} or {{{{user}}}}.'
